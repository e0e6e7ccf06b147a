"""The two kinds of structs on the wire: what a server says (Value) and what a client asks for (Request).

A Value tolerates fields it does not know, so that an older console can talk to a newer server. A Request refuses
them, so that a misspelt field is an error and not a silent default.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec

from novacron_core.values.open_enum import OpenEnum

T = TypeVar("T")


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Something a server tells. Times are RFC 3339 in UTC; sizes are bytes unless a name says otherwise."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something a client asks for. Refuses what this version does not know: fields, and values of enumerations."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            for one in value if isinstance(value, list) else (value,):
                if isinstance(one, OpenEnum) and not one.known:
                    raise ValueError(f"Invalid enum value {one.value!r}")


class Nothing(Request, frozen=True):
    """No query, no body, or no answer."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list: `page` counts from 1, `total` counts all that match."""

    items: list[T]
    total: int
    page: int
    page_size: int


class ListQuery(Request, frozen=True):
    """What every list takes. `q` is filter text, `sort` a field name, with `-` before it for descending."""

    q: Annotated[str, msgspec.Meta(max_length=500)] = ""
    sort: Annotated[str, msgspec.Meta(max_length=64)] = ""
    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
