# Part of the template: changes belong there (`copier update` merges this file).
"""Answers of services outside: kept in memory, and in a file of the user's that gives them again without a network.

A recording is a JSONL file, a request and its answer a line. A request is known by what is asked, and neither by the
service's address nor by a key: what was recorded at one place is an answer at another.
"""

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from gymkit.access import CannotServe
from gymkit.project import ROOT
from gymkit.redaction import redacted
from gymkit.tools import ToolFailed

__all__ = ["Recording", "ServiceSettings", "Unrecorded"]

log = logging.getLogger("gymkit")


class ServiceSettings(BaseModel):
    """Settings of the services outside."""

    service_mode: Literal["live", "record", "replay"] = Field(
        default="live",
        description="`live` asks; `record` asks as well, and keeps each answer; `replay` has the kept answers alone.",
    )
    service_recordings: str = Field(default="recordings", description="The folder of the kept answers.")
    service_rate: float = Field(default=10, gt=0, description="Requests per second to one service.")
    service_calls: int = Field(default=16, gt=0, description="Requests to one service at once.")
    service_seconds: float = Field(default=10, gt=0, description="Time limit of a request.")
    service_attempts: int = Field(default=4, gt=0, description="Requests for one call, where a service fails.")
    service_patience: float = Field(
        default=90, gt=0, description="Time limit of a call, its retries and the wait for its turn included."
    )
    service_bytes: int = Field(default=2_000_000, gt=0, description="Size limit of an answer, and of a page.")
    service_cache: int = Field(default=1000, ge=0, description="Answers of a service that are kept in memory.")
    page_networks: list[str] = Field(
        default_factory=list, description="Networks that are not public, of which pages may be read: `10.1.0.0/16`."
    )
    tool_seconds: float = Field(default=120, gt=0, description="Time limit of a tool call.")

    @model_validator(mode="after")
    def _is_done_in_time(self) -> "ServiceSettings":
        needed = self.service_patience + self.service_seconds
        if self.tool_seconds <= needed:
            raise ValueError(
                f"tool_seconds is {self.tool_seconds:g}, and a service may take {needed:g}: set it higher, or "
                "service_patience lower"
            )
        return self


class Unrecorded(ToolFailed):
    """Replay has no answer to this request. A policy chooses what it asks: so that is a text, and masks nothing."""


class Recording:
    """What one service has answered.

    Args:
        name: Of the service, and of its file.
        settings: Those of the server.

    Raises:
        CannotServe: the file is damaged, or cannot be read; one line names the place.
    """

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.mode = settings.service_mode
        self._path = ROOT / settings.service_recordings / f"{name}.jsonl"
        self._most = settings.service_cache
        self._cache: OrderedDict[str, Any] = OrderedDict()
        self._kept: dict[str, dict[str, Any]] = {} if self.mode == "live" else self._read()

    def find(self, request: Mapping[str, Any]) -> tuple[Any] | None:
        """The answer to a request, as the only item of a tuple; None where the service has to be asked.

        Args:
            request: What is asked, as JSON.

        Raises:
            ToolFailed: the service refused the request when it was recorded.
            Unrecorded: there is no answer, and the service may not be asked.
        """
        key = key_of(request)
        kept = self._kept.get(key)
        if kept is not None:
            if "refused" in kept:
                raise ToolFailed(kept["refused"])
            return (kept["answer"],)
        if self.mode == "replay":
            raise Unrecorded(
                f"{self.name} is played from recordings, and there is none for this request. Ask for something else."
            )
        if key in self._cache:
            self._cache.move_to_end(key)
            return (self._cache[key],)
        return None

    def keep(self, request: Mapping[str, Any], answer: Any, in_memory: bool = True) -> None:
        """Keep an answer: where it is recorded, in the file; else in memory, if it may be."""
        key = key_of(request)
        if self.mode == "record":
            self._write(key, {"request": request, "answer": answer})
        elif in_memory and self._most:
            self._cache[key] = answer
            if len(self._cache) > self._most:
                self._cache.popitem(last=False)

    def keep_refusal(self, request: Mapping[str, Any], text: str) -> None:
        """Keep in the recording that a request was refused."""
        if self.mode == "record":
            self._write(key_of(request), {"request": request, "refused": text})

    def _write(self, key: str, entry: dict[str, Any]) -> None:
        if key in self._kept:  # Two sessions have asked for the same.
            return
        line = redacted(json.dumps(entry, ensure_ascii=False))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # (Half a character is written as JSON's escape of it.)
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            log.error("%s cannot be written: %s", self._path.name, error.strerror)
            return
        self._kept[key] = json.loads(line)

    def _read(self) -> dict[str, dict[str, Any]]:
        kept: dict[str, dict[str, Any]] = {}
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if self.mode == "replay":
                log.warning("%s: there is no recording; record one with service_mode: record", self._shown)
            return kept
        except (OSError, UnicodeDecodeError) as error:
            raise CannotServe(f"{self._shown} cannot be read: {error}"[:300]) from None
        for number, line in enumerate(text.splitlines(), 1):
            try:
                entry = json.loads(line)
                kept[key_of(entry["request"])] = entry
                valid = "answer" in entry or isinstance(entry["refused"], str)
            except (ValueError, KeyError, TypeError, RecursionError):
                valid = False
            if not valid:
                raise CannotServe(
                    f"{self._shown}, line {number}: this is no recorded answer. Delete the line, or record anew."
                )
        if text and not text.endswith("\n"):
            raise CannotServe(f"{self._shown}: its last line has no end. Delete the line, or record anew.")
        return kept

    @property
    def _shown(self) -> str:
        return self._path.relative_to(ROOT).as_posix() if self._path.is_relative_to(ROOT) else str(self._path)


def key_of(request: Mapping[str, Any]) -> str:
    """What a request is known by."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
