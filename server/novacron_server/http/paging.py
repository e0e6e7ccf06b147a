"""Filter, sort and cut a list as a query asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.problem import FieldError

T = TypeVar("T", bound=msgspec.Struct)


def page_of(
    items: Iterable[T], query: ListQuery, *, text: Callable[[T], str] | None = None, default_sort: str = "name"
) -> Page[T]:
    """The page a query asks for. Every word of `q` must be in `text(item)`, letter case aside.

    Without `text` the items were filtered before.

    Raises ValidationFailed for a sort field that the items do not have.
    """
    words = query.q.lower().split()
    if text and words:
        items = (item for item in items if all(word in text(item).lower() for word in words))
    found = list(items)
    field = (query.sort or default_sort).removeprefix("-")
    if found and field not in found[0].__struct_fields__:
        fields = ", ".join(found[0].__struct_fields__)
        message = f"one of {fields}"
        raise errors.ValidationFailed(f"sort: {message}", fields=[FieldError(field="sort", message=message)])
    found.sort(key=lambda item: _order(getattr(item, field)), reverse=query.sort.startswith("-"))
    begin = (query.page - 1) * query.page_size
    return Page(
        items=found[begin : begin + query.page_size], total=len(found), page=query.page, page_size=query.page_size
    )


def _order(value: Any) -> tuple[int, Any]:
    """None sorts first; what cannot be compared as it is sorts by its text."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, str(value))
