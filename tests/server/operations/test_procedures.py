"""Every kind of operation has words, a procedure with undo or resume, and failpoints around its side effects."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.rules.operation_words import WORDS, words
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.operations import journal
from novacron_server.operations.context import OperationContext
from novacron_server.operations.journal import Journal, Steps
from novacron_server.operations.procedures import Procedure, Procedures
from novacron_server.operations.repository import StoredOperation
from novacron_server.runtime.wiring import build_procedures
from novacron_server.vms.bulk.procedure import BulkVMs
from novacron_server.vms.procedures.create import CreateSteps, CreateVM
from novacron_server.vms.procedures.delete import DeleteSteps
from novacron_server.volumes import copy
from novacron_server.volumes.procedures.move import Move, MoveSteps

NONE: Any = None


def all_procedures() -> Procedures:
    """The registry as a server builds it, but without the parts that the procedures use."""
    bulk = BulkVMs(NONE, NONE, NONE, NONE, NONE, NONE)
    return build_procedures(NONE, NONE, NONE, NONE, CreateVM(NONE, NONE, NONE, NONE, ""), bulk, NONE, "")


@pytest.mark.parametrize("kind", OperationKind)
def test_every_kind_has_words_and_a_procedure(kind: OperationKind) -> None:
    assert kind in WORDS
    assert all((words(kind).verb, words(kind).doing, words(kind).done))
    assert kind in all_procedures()


def test_kind_of_a_newer_server_is_shown_by_its_verb() -> None:
    assert words("snapshot.revert").doing == "revert"


@pytest.mark.parametrize("procedure", list(all_procedures()), ids=lambda procedure: procedure.kind)
def test_every_procedure_has_undo_or_resume_and_reaches_its_failpoints(procedure: Procedure[Any]) -> None:
    assert procedure.can_undo or procedure.can_resume or procedure.continues
    assert len(procedure.failpoints) >= 2
    code = inspect.getsource(inspect.getmodule(type(procedure)) or copy) + inspect.getsource(copy)
    written = re.findall(r'failpoint\(f?"([^"]+)"\)', code)
    reached = {
        name.replace("{kind}", procedure.kind)
        .replace("{self.kind}", procedure.kind)
        .replace("{self._action}", procedure.kind.partition(".")[2])
        for name in written
    }
    assert set(procedure.failpoints) <= reached


class ToySteps(Steps, frozen=True):
    began: bool = False


class Toy(Procedure[ToySteps]):
    kind = OperationKind.VM_START
    steps = ToySteps

    async def run(self, context: OperationContext[ToySteps]) -> None:
        await context.write_ahead(began=True)


class ToyWithUndo(Toy):
    async def undo(self, entry: Journal[ToySteps]) -> str:
        return "unstirred" if entry.steps.began else "it had not begun"


def test_procedure_without_undo_and_resume_is_refused_and_so_is_a_duplicate() -> None:
    with pytest.raises(ValueError, match="neither undo, resume nor"):
        Procedures([Toy()])
    with pytest.raises(ValueError, match="two procedures"):
        Procedures([ToyWithUndo(), ToyWithUndo()])


def stored(kind: str, steps: dict[str, Any]) -> StoredOperation:
    operation = Operation(
        id="op-1",
        kind=kind,
        target=Target(type="vm", id="vm-1", name="web-01"),
        state=OperationState.RUNNING,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return StoredOperation(operation=operation, host_id="host-1", request={}, steps=steps, request_hash=None)


COPY = {"pool": "hot", "name": "data", "path": "/hot/data", "temporary": "data.op-1.part", "inode": 7}
MOVE = {
    "volume_id": "v", "name": "data", "from_pool": "hot", "from_path": "/hot/data", "to_pool": "cold",
    "to_path": "/cold/data", "tier": "cold", "from_tier": "hot", "vm_id": None, "bandwidth_bytes_s": 0, "from_inode": 3,
}  # fmt: skip


def test_journals_without_a_version_are_read() -> None:
    """Journals as written before version 1; missing fields get their defaults."""
    created = journal.read(
        stored("vm.create", {"pool": "hot", "volumes": ["web-01.qcow2"], "whole": True}), CreateSteps
    )
    assert (created.steps.pool, created.steps.volumes, created.steps.whole) == ("hot", ["web-01.qcow2"], True)
    assert journal.read(stored("vm.create", {}), CreateSteps).steps.version == 0
    assert journal.read(stored("vm.delete", {"goes": ["v"]}), DeleteSteps).steps.goes == ["v"]
    moved = journal.read(
        stored("volume.move", {"move": MOVE, "copy": COPY, "disk": {"vm": "vm-1", "target": "vda"}, "left": True}),
        MoveSteps,
    ).steps
    assert moved.move is not None and moved.copy is not None and moved.disk is not None
    assert (moved.move.to_pool, moved.copy.inode, moved.disk.target, moved.left) == ("cold", 7, "vda", True)
    assert set(moved.files()) == {("hot", "data"), ("cold", "data"), ("hot", "data.op-1.part")}
    assert journal.read(stored("volume.move", {}), MoveSteps).steps.move is None


def test_journal_is_written_with_its_version_and_read_back() -> None:
    raw = journal.write(MoveSteps(move=msgspec.convert(MOVE, Move)))
    assert raw["version"] == MoveSteps.VERSION
    assert journal.read(stored("volume.move", raw), MoveSteps).steps.move == msgspec.convert(MOVE, Move)


def test_unreadable_journal_is_an_error_and_the_others_are_read() -> None:
    broken, good = stored("vm.create", {"volumes": 7}), stored("vm.create", {"volumes": ["a"]})
    with pytest.raises(msgspec.ValidationError):
        journal.read(broken, CreateSteps)
    assert [entry.steps.volumes for entry in journal.read_all([broken, good], CreateSteps)] == [["a"]]
