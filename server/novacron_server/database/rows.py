"""Converts between database rows and msgspec structs, for all repositories."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row

T = TypeVar("T", bound=msgspec.Struct)


def as_struct(row: Row[Any], kind: type[T]) -> T:
    """A struct from the columns named like its fields; the row may have more. Ids are strings."""
    return msgspec.convert({field: getattr(row, field) for field in kind.__struct_fields__}, kind)


def values(struct: msgspec.Struct) -> dict[str, Any]:
    """The struct's fields as column values."""
    return msgspec.structs.asdict(struct)
