"""Procedures: how each kind of operation is run, undone, and resumed after a crash."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Generic

from novacron_core.values.operation_kinds import OperationKind
from novacron_server.operations import journal
from novacron_server.operations.context import OperationContext
from novacron_server.operations.journal import Journal, S
from novacron_server.operations.repository import StoredOperation


class Procedure(ABC, Generic[S]):
    """One kind of operation.

    Everything that `run` needs is in the request and the steps, which are committed when the operation is accepted, so
    that a later server can resume it. Every kind has `undo`, `resume` or both, or `continues`.
    """

    kind: OperationKind
    steps: type[S]
    """The type of its journal."""
    may_cancel: bool = False
    supersedes: frozenset[str] = frozenset()
    """Kinds of operations on the same target that are cancelled when this one is accepted."""
    continues: bool = False
    """After a crash `run` is called again, and continues where the journal and the tables say."""
    failpoints: tuple[str, ...] = ()
    """The failpoints before and after each side effect."""

    @abstractmethod
    async def run(self, context: OperationContext[S]) -> None:
        """Do the work. Any exception is followed by `undo`."""

    async def undo(self, entry: Journal[S]) -> str:
        """Undo what failed, was cancelled or, without a `resume`, was interrupted by a crash.

        Returns a sentence about what was found and done. Must be repeatable. Called only if a subclass overrides it.
        """
        raise NotImplementedError

    async def resume(self, context: OperationContext[S]) -> str:
        """After a crash, complete what was acknowledged (G1). Returns a sentence about what was found and done.

        Must be harmless when all or nothing had been done. Called only if a subclass overrides it.
        """
        raise NotImplementedError

    async def stop(self, context: OperationContext[S], why: str) -> bool:
        """Stop early, because an operator cancels it. Returns whether it will: `run` then raises StoppedEarly when it has
        stopped. The default is False: its task is cancelled instead. Raises DatabaseUnavailable."""
        return False

    @property
    def can_undo(self) -> bool:
        return type(self).undo is not Procedure.undo

    @property
    def can_resume(self) -> bool:
        return type(self).resume is not Procedure.resume

    def read(self, stored: StoredOperation) -> Journal[S]:
        """Read the journal of a stored operation of this kind. Raises msgspec.ValidationError."""
        return journal.read(stored, self.steps)


class Procedures:
    """The registry: one procedure for each kind."""

    def __init__(self, procedures: Iterable[Procedure[Any]]) -> None:
        """Raises ValueError when a kind has two procedures, or neither undo, resume nor `continues`."""
        self._by_kind: dict[str, Procedure[Any]] = {}
        for procedure in procedures:
            if procedure.kind in self._by_kind:
                raise ValueError(f"two procedures for {procedure.kind}")
            if not (procedure.can_undo or procedure.can_resume or procedure.continues):
                raise ValueError(f"{procedure.kind} has neither undo, resume nor `continues`")
            self._by_kind[procedure.kind] = procedure

    def __getitem__(self, kind: str) -> Procedure[Any]:
        """Raises KeyError for a kind without a procedure."""
        return self._by_kind[kind]

    def __contains__(self, kind: str) -> bool:
        return kind in self._by_kind

    def __iter__(self) -> Iterator[Procedure[Any]]:
        return iter(self._by_kind.values())
