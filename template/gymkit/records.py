# Part of the template: changes belong there (`copier update` merges this file).
"""The records of somebody's data set (JSONL, CSV, Parquet), and the fields that a task is made of."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gymkit.project import ProjectError

Record = dict[str, Any]


class BadRecord(ValueError):
    """A record that makes no task. The message says what is wrong with it."""


def read_records(path: Path) -> Iterator[tuple[int, Record | BadRecord]]:
    """The records of a file with their numbers: lines of JSONL, from 1; else places, from 1.

    Raises:
        ProjectError: the file cannot be read, or is of no such kind.
    """
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ProjectError(f"{path}: one of {', '.join(readers)} is wanted.")
    try:
        yield from reader(path)
    except OSError as error:
        raise ProjectError(f"{path}: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start}).") from None
    except csv.Error as error:
        raise ProjectError(f"{path} is no CSV file ({error}).") from None


def _jsonl(path: Path) -> Iterator[tuple[int, Record | BadRecord]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield number, BadRecord(f"this is no JSON ({error})")
                    continue
                yield number, record if isinstance(record, dict) else BadRecord("this is no JSON object")


def _csv(path: Path) -> Iterator[tuple[int, Record | BadRecord]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, record in enumerate(csv.DictReader(file, strict=True), 1):
            if None in record or None in record.values():
                yield number, BadRecord("it has not as many fields as the first line")
            else:
                yield number, dict(record)


def _parquet(path: Path) -> Iterator[tuple[int, Record | BadRecord]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ProjectError("A Parquet file wants pyarrow: `uv add --dev pyarrow`.") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except pyarrow.ArrowException as error:
        raise ProjectError(f"{path} is no Parquet file ({error}).") from None


def mapping(text: str) -> dict[str, list[str]]:
    """`question=prompt,options=A+B+C+D` as the columns of each field.

    Raises:
        ProjectError: it is not of this form.
    """
    found: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, _, columns = part.partition("=")
        if not field.isidentifier() or not all(columns.split("+")):
            raise ProjectError(f"--map: {part!r} is not of the form FIELD=COLUMN, or FIELD=COLUMN+COLUMN.")
        found[field] = columns.split("+")
    return found


def fields_of(record: Record, columns: Mapping[str, list[str]]) -> Record:
    """The fields of a record. Of several columns a field is a list; `a.b` is the column b within a.

    Args:
        record: From a file.
        columns: As `mapping` gives them; where there are none, all columns are fields.

    Raises:
        BadRecord: a column is not there.
    """
    if not columns:
        return record
    found: Record = {}
    for field, names in columns.items():
        values = [_value(record, name) for name in names]
        found[field] = values[0] if len(values) == 1 else values
    return found


def _value(record: Record, name: str) -> Any:
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise BadRecord(f"it has no column {name!r}; it has {', '.join(map(repr, record))}"[:300])
        value = value[part]
    return value
