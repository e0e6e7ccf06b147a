"""The journal of an operation: typed, versioned steps, committed before what they announce is done.

A journal outlives the server that wrote it: a later version reads it to finish the work or to take it back. So a field
may be added with a default, but never change its meaning; a change of meaning raises `VERSION` of the steps and reads
older ones in `upgrade`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import structlog

from novacron_core.api.operations import Operation
from novacron_server.operations.repository import Stored


class Steps(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation has decided and begun, as JSON in its row. Unknown fields are ignored."""

    VERSION: ClassVar[int] = 1
    version: int = 0
    """0: written before journals had a version, or nothing was written yet."""

    @classmethod
    def upgrade(cls, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Journals of older versions as this one; by default they are read as they are."""
        return raw

    def files(self) -> Iterable[tuple[str, str]]:
        """(pool, name) of the files that the operation creates or removes, so that they are not listed as volumes."""
        return ()


S = TypeVar("S", bound=Steps)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Journal(Generic[S]):
    """An operation with what was written ahead of it: `request` as it was asked, `steps` as far as it came."""

    operation: Operation
    host_id: str
    request: dict[str, Any]
    steps: S
    accepted_seq: int = 0
    """The number of the last event of its acceptance, 0 where an earlier server accepted it."""


def read(stored: Stored, steps: type[S]) -> Journal[S]:
    """The journal of a stored operation. Raises msgspec.ValidationError when it cannot be read."""
    raw = steps.upgrade(stored.steps)
    return Journal(stored.operation, stored.host_id or "", stored.request, msgspec.convert(raw, steps))


def read_all(stored: Iterable[Stored], steps: type[S]) -> Iterator[Journal[S]]:
    """The journals of several; one that cannot be read is logged and left out."""
    for item in stored:
        try:
            yield read(item, steps)
        except msgspec.ValidationError as e:
            _log.error("unreadable journal", operation=item.operation.id, reason=str(e))


def write(steps: Steps) -> dict[str, Any]:
    """Steps as they are stored."""
    raw: dict[str, Any] = msgspec.to_builtins(steps)
    return {**raw, "version": type(steps).VERSION}
