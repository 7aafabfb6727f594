# Part of the template: changes belong there (`copier update` merges this file).
"""What tells a data row from others, without keeping it: digests of its values. And what a row takes in memory."""

import hashlib
import json
from collections.abc import Mapping
from sys import getsizeof
from typing import Any, NamedTuple

NOT_OF_THE_ROW = frozenset({"responses_create_params", "response"})
"""What a request for a verdict has besides the row's own keys."""

Digests = Mapping[str, bytes]
"""A digest of each value of a row, by its key."""


class RowKey(NamedTuple):
    """What tells a row from others: its own keys, and a digest of their values."""

    keys: tuple[str, ...]
    digest: bytes


def weight(value: Any, limit: int) -> int:
    """The bytes that a JSON value takes in memory. Counting ends beyond `limit`."""
    total, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        total += getsizeof(part)
        if total > limit:
            break
        if isinstance(part, dict):
            total += sum(map(getsizeof, part))
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return total


def own_part(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is the model's, or a request for a verdict without the response."""
    return {key: value for key, value in row.items() if key not in NOT_OF_THE_ROW}


def digests_of(row: Mapping[str, Any]) -> Digests:
    """A digest of each value of a row's own part."""
    return {key: _digest(value) for key, value in row.items()}


def row_digests(body: Mapping[str, Any], limit: int) -> Digests:
    """A digest of each value of the row that a request for a verdict carries; such as no value has, where the row takes
    more memory than the limit, as no session's row does.
    """
    own = own_part(body)
    return digests_of(own) if weight(own, limit) <= limit else dict.fromkeys(own, b"")


def row_key(digests: Digests, keys: tuple[str, ...] | None = None) -> RowKey | None:
    """The key of a row; None where it lacks one of `keys`, or has a `row_key` that is none of them: then they are not
    the whole row.

    Args:
        digests: Of a row, or of a request for a verdict that carries one.
        keys: The keys that count; without, all of the row's own.
    """
    if keys is None:
        keys = tuple(sorted(digests))
    elif not digests.keys() >= set(keys) or ("row_key" in digests and "row_key" not in keys):
        return None
    return RowKey(keys, hashlib.sha256(b"".join(digests[key] for key in keys)).digest())


def keys_matched(digests: Digests, key: RowKey | None, demo: Digests | None) -> int | None:
    """By how many keys a request carries a session's whole row; None where it does not.

    Args:
        digests: Of a request for a verdict.
        key: Of the session's row.
        demo: Of the demo row, where the session plays that because its seed named none: it is public, a part will do.
    """
    if demo is not None:
        shared = digests.keys() & demo.keys()
        same = sum(digests[key] == demo[key] for key in shared)
        return same if same == len(shared) and (same or not digests) else None
    # A row of nothing but its prompt can be recited by the model: no request can be told from a call of its own.
    return len(key.keys) if key is not None and key.keys and row_key(digests, key.keys) == key else None


def _digest(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).digest()


def _plain(value: Any) -> Any:
    """A JSON value in which whole numbers are written in one way: some clients send 1.0 as 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
