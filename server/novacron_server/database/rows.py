"""Converts between database rows and msgspec structs, for all repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Row

_log = structlog.get_logger()
S = TypeVar("S")
T = TypeVar("T", bound=msgspec.Struct)


def as_struct(row: Row[Any], kind: type[T]) -> T:
    """A struct from the columns named like its fields; the row may have more. Ids are strings."""
    return msgspec.convert({field: getattr(row, field) for field in kind.__struct_fields__}, kind)


def read_each(rows: Iterable[Row[Any]], read: Callable[[Row[Any]], S]) -> list[S]:
    """Read the rows of a list. One that cannot be read, because it was edited or damaged, is logged and left out: it
    must not hide the others."""
    found = []
    for row in rows:
        try:
            found.append(read(row))
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            _log.error("a row cannot be read", id=str(row._mapping.get("id", "")), reason=str(error))
    return found


def values(struct: msgspec.Struct) -> dict[str, Any]:
    """The struct's fields as column values."""
    return msgspec.structs.asdict(struct)


def storable(text: str) -> str:
    """External text in a form that PostgreSQL can store: no NUL, no lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
