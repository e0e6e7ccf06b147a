"""The journal of an operation: typed, versioned steps, each committed before it is done.

A journal outlives the server that wrote it: a later version reads it to finish or undo the work. So a field may be
added with a default, but must never change its meaning. To change one, increment the steps' `VERSION` and convert older
journals in `upgrade`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import structlog

from novacron_core.api.operations import Operation
from novacron_server.operations.repository import StoredOperation


class Steps(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation has decided and begun, stored as JSON in its row. Unknown fields are ignored."""

    VERSION: ClassVar[int] = 1
    version: int = 0
    """0: written before journals had versions, or not written yet."""

    @classmethod
    def upgrade(cls, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Convert a journal of an older version. The default returns it unchanged."""
        return raw

    def files(self) -> Iterable[tuple[str, str]]:
        """The (pool, name) pairs of files that the operation creates or removes: they are not listed as volumes."""
        return ()


S = TypeVar("S", bound=Steps)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Journal(Generic[S]):
    """An operation with its request and the last steps that it committed."""

    operation: Operation
    host_id: str
    request: dict[str, Any]
    steps: S
    accepted_seq: int = 0
    """The number of the last event of its acceptance; 0 if an earlier server process accepted it."""


def read(stored: StoredOperation, steps: type[S]) -> Journal[S]:
    """Read the journal of a stored operation. Raises msgspec.ValidationError."""
    raw = steps.upgrade(stored.steps)
    return Journal(stored.operation, stored.host_id or "", stored.request, msgspec.convert(raw, steps))


def read_all(stored: Iterable[StoredOperation], steps: type[S]) -> Iterator[Journal[S]]:
    """Read the journals of several operations. One that cannot be read is logged and left out (G14)."""
    for item in stored:
        try:
            yield read(item, steps)
        except msgspec.ValidationError as e:
            _log.error("unreadable journal", operation=item.operation.id, reason=str(e))


def write(steps: Steps) -> dict[str, Any]:
    """Return the steps as JSON values to store."""
    raw: dict[str, Any] = msgspec.to_builtins(steps)
    return {**raw, "version": type(steps).VERSION}
