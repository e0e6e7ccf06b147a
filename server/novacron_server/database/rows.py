"""A row as the struct that stands for it: one conversion for all repositories."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row

T = TypeVar("T", bound=msgspec.Struct)


def as_struct(row: Row[Any], kind: type[T]) -> T:
    """The columns named like the struct's fields; a row may have more. Ids are text on our side."""
    return msgspec.convert({field: getattr(row, field) for field in kind.__struct_fields__}, kind)


def values(struct: msgspec.Struct) -> dict[str, Any]:
    """The struct's fields as columns."""
    return msgspec.structs.asdict(struct)
