"""Filters, sorts and pages a list for a query."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.problem import FieldError

T = TypeVar("T", bound=msgspec.Struct)


def page_of(
    items: Iterable[T], query: ListQuery, *, text: Callable[[T], str] | None = None, default_sort: str = "name"
) -> Page[T]:
    """The requested page of `items`. Every word of `q` must occur in `text(item)`, ignoring case.

    Without `text`, the items must be filtered already. Raises ValidationFailed for a sort field that they do not have.
    """
    words = query.q.lower().split()
    if text and words:
        items = (item for item in items if all(word in text(item).lower() for word in words))
    found = list(items)
    field = (query.sort or default_sort).removeprefix("-")
    if found and field not in found[0].__struct_fields__:
        fields = ", ".join(found[0].__struct_fields__)
        message = f"must be one of {fields}"
        raise errors.ValidationFailed(f"sort: {message}", fields=[FieldError(field="sort", message=message)])
    keys = list(map(attrgetter(field), found))
    if set(map(type, keys)) != {str}:
        keys = list(map(_sort_key, keys))
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=query.sort.startswith("-"))
    begin = (query.page - 1) * query.page_size
    return Page(
        items=[found[index] for index in order[begin : begin + query.page_size]],
        total=len(found),
        page=query.page,
        page_size=query.page_size,
    )


def _sort_key(value: Any) -> tuple[int, Any]:
    """None sorts first, then numbers, then all other values by their text."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, str(value))
