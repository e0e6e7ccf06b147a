"""The two kinds of wire structs: what a server sends (Value) and what a client sends (Request).

A Value ignores unknown fields, so that an older console works with a newer server. A Request refuses them, so that a
misspelled field is an error and not a silent default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec

from novacron_core.values.open_enum import OpenEnum

T = TypeVar("T")
Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time, with its time zone: one without could be compared with no other."""


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Sent by a server. It contains no cycle, so the garbage collector need not walk through the thousands of them that a
    fleet has (`gc=False`). Times are RFC 3339 in UTC; sizes are in bytes unless the name says otherwise."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Sent by a client. Refuses unknown fields and unknown enumeration values."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, OpenEnum) and not item.known:
                    raise ValueError(f"Invalid enum value {item.value!r}")


def is_of_unknown_kind(error: msgspec.ValidationError, tag_field: str) -> bool:
    """Whether decoding failed because a newer server sent a kind of a union that this version does not know."""
    return "Invalid value" in str(error) and f"$.{tag_field}" in str(error)


class Nothing(Request, frozen=True):
    """No query, no body, or an empty response."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list. `page` counts from 1; `total` is the number of all matches."""

    items: list[T]
    total: int
    page: int
    page_size: int


class ListQuery(Request, frozen=True):
    """The query of every list. `q` is filter text; `sort` is a field name, with a `-` prefix for descending."""

    q: Annotated[str, msgspec.Meta(max_length=500)] = ""
    sort: Annotated[str, msgspec.Meta(max_length=64)] = ""
    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
