"""Doing something to VMs: ask what must be asked, send it once per press, and tell how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from uuid import uuid4

from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM
from novacron_core.errors import NovaCronError, ServerUnreachable
from novacron_core.rules.operation_words import doing
from novacron_core.values.sizes import size_text
from novacron_tui.actions import Danger, refusal
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import VMKey, key_of
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import DELETE, Verb, done, send
from novacron_tui.vms.bulk import Bulk, ItemState
from novacron_tui.widgets.confirm import Confirmation, Question
from novacron_tui.widgets.text_bar import Piece

MANY = 10
"""More VMs than this in one destructive press, and their number must be typed."""
AT_ONCE = 4
"""Requests of one bulk that are under way together: quick for the operator, and no flood for a host."""
SAME_PRESS_S = 60.0
"""A press that repeats one whose answer never came, within this, carries its key: both have one effect."""
Ask = Callable[[Question], Awaitable[Confirmation | None]]
Say = Callable[[str, str], None]


class VMActionRunner:
    """Carries out verbs. `ask` shows a question and waits; `say` writes a sentence and its tone for the operator."""

    def __init__(self, session: Session, ask: Ask, say: Say) -> None:
        self._session = session
        self._ask = ask
        self._say = say
        self._keys: dict[tuple[str, VMKey], tuple[str, float]] = {}
        self.bulk: Bulk | None = None

    def why_not(self, verb: Verb, vm: VM | None) -> str | None:
        """The sentence that refuses it now, a request of ours still on its way included."""
        if vm is not None and key_of(vm) in self._session.asked:
            return f"{vm.name} was asked already: the answer is on its way"
        return refusal(verb, self._session, vm)

    async def perform(self, verb: Verb, chosen: Sequence[VM]) -> None:
        """Do `verb` to the VMs that allow it; the others are named with the reason."""
        ready = [vm for vm in chosen if self.why_not(verb, vm) is None]
        if not ready:
            self._say(self.why_not(verb, chosen[0] if chosen else None) or "nothing is selected", "warn")
            return
        answer = await self._asked(verb, ready)
        if answer is None:
            return
        # While the question stood, the world went on: ask the rules again about what is true now.
        still = [
            now for vm in ready if (now := self._session.store.vms.get(key_of(vm))) and not self.why_not(verb, now)
        ]
        if not still:
            now = self._session.store.vms.get(key_of(ready[0]))
            self._say(self.why_not(verb, now) or f"{ready[0].name} is gone", "warn")
            return
        if len(chosen) > 1:
            await self._many(verb, chosen, still, answer)
        else:
            await self._one(verb, still[0], answer)

    async def _asked(self, verb: Verb, vms: Sequence[VM]) -> Confirmation | None:
        if verb.danger not in (Danger.LOSES_WORK, Danger.DESTROYS):
            return Confirmation()
        return await self._ask(question(verb, vms, self._session.store.host_name))

    async def _one(self, verb: Verb, vm: VM, answer: Confirmation) -> None:
        try:
            op = await self._send(verb, vm, answer)
        except NovaCronError as e:
            self._say(f"{verb.label} {one_line(vm.name)}: {one_line(e.detail)}", "bad")
            return
        self._session.followed[op.id] = op
        self._say(f"{one_line(vm.name)}: {verb.doing} accepted", "busy")
        self._session.changed()

    async def _many(self, verb: Verb, chosen: Sequence[VM], ready: Sequence[VM], answer: Confirmation) -> None:
        """Ask for each of `ready`, a few at once; the others of `chosen` are refused with their reason."""
        self.bulk = bulk = Bulk(verb, chosen)
        wanted = {key_of(vm) for vm in ready}
        for vm in chosen:
            if key_of(vm) not in wanted:
                now = self._session.store.vms.get(key_of(vm))
                bulk.settle(key_of(vm), ItemState.REFUSED, (now and self.why_not(verb, now)) or f"{vm.name} is gone")
        gate = asyncio.Semaphore(AT_ONCE)
        self._session.changed()
        async with asyncio.TaskGroup() as group:
            for vm in ready:
                group.create_task(self._one_of(bulk, vm, answer, gate))
        self._session.changed()

    async def _one_of(self, bulk: Bulk, vm: VM, answer: Confirmation, gate: asyncio.Semaphore) -> None:
        async with gate:
            now = self._session.store.vms.get(key_of(vm))
            if now is None or (refused := self.why_not(bulk.verb, now)):
                bulk.settle(key_of(vm), ItemState.REFUSED, f"{vm.name} is gone" if now is None else refused or "")
                return
            try:
                op = await self._send(bulk.verb, now, answer)
            except ServerUnreachable as e:
                bulk.settle(key_of(vm), ItemState.FAILED, f"{vm.name}: {e.detail}")
            except NovaCronError as e:
                bulk.settle(
                    key_of(vm), ItemState.REFUSED, e.detail if vm.name in e.detail else f"{vm.name}: {e.detail}"
                )
            else:
                bulk.accepted(key_of(vm), op)

    async def _send(self, verb: Verb, vm: VM, answer: Confirmation) -> Operation:
        press = (verb.name, key_of(vm))
        key, pressed_at = self._keys.pop(press, ("", 0.0))
        if not key or monotonic() - pressed_at > SAME_PRESS_S:
            key = str(uuid4())
        self._session.asked.add(key_of(vm))
        try:
            return await send(verb, self._session.client, vm, key, disks=answer.option)
        except ServerUnreachable:
            self._keys[press] = (key, monotonic())  # nobody knows whether it was heard
            raise
        finally:
            self._session.asked.discard(key_of(vm))


def question(verb: Verb, vms: Sequence[VM], host_name: Callable[[str], str]) -> Question:
    """What is asked before a dangerous verb: it names the VMs and their hosts."""
    one = vms[0] if len(vms) == 1 else None
    lines = [
        [Piece(one_line(vm.name), "strong"), Piece(f" on {one_line(host_name(vm.host))}, "), Piece(str(vm.state))]
        for vm in vms[:MANY]
    ]
    if len(vms) > MANY:
        lines.append([Piece(f"and {len(vms) - MANY} more", "quiet")])
    lines += [[Piece("")], [Piece(verb.warning)]]
    many = len(vms) > MANY
    word = str(len(vms)) if one is None else one.name
    return Question(
        title=f"{verb.label.capitalize()} {one_line(one.name) if one else f'{len(vms)} VMs'}?",
        lines=lines,
        yes=verb.label.capitalize(),
        typed=word if verb is DELETE or many else "",
        typed_always=many,
        option=_disks_option(vms) if verb is DELETE else "",
    )


_NAMED = 5
"""So many disks are named before they go; more do not fit."""


def _disks_option(vms: Sequence[VM]) -> str:
    own = [disk for vm in vms for disk in vm.disks if disk.device == "disk"]
    if len(own) != 1:
        names = ", ".join(one_line(disk.target) for disk in own[:_NAMED]) + (", …" if len(own) > _NAMED else "")
        which = f": {names}" if len(vms) == 1 else ""
        return f"delete {'its' if len(vms) == 1 else 'their'} {len(own)} disks too{which}" if own else ""
    return f"delete its disk too: {one_line(own[0].target)}, {size_text(own[0].size_bytes)}"


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f" in {seconds * 1000:.0f} ms" if seconds < 1 else f" in {seconds:.1f} s"


def outcome(op: Operation) -> tuple[str, str]:
    """How an operation ended, and its tone."""
    name = one_line(op.target.name or op.target.id)
    if op.state is OperationState.SUCCEEDED:
        took = (op.finished_at - (op.started_at or op.created_at)).total_seconds() if op.finished_at else None
        return f"{name}: {done(op.kind)}{_took(took)}", "good"
    reason = one_line(op.problem.detail or op.problem.title) if op.problem else "no reason was given"
    if op.state is OperationState.CANCELLED:  # somebody wished it: nothing to be alarmed by
        return f"{name}: {doing(op.kind)} {op.state}: {reason.removeprefix(f'{op.state} ')}", "warn"
    return f"{name}: {doing(op.kind)} {op.state}: {reason}", "bad"
