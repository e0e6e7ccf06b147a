"""Performing actions on VMs: confirm, send once per key press, and report the outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from uuid import uuid4

from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.errors import NovaCronError, ServerUnreachable
from novacron_core.rules.operation_words import done, noun
from novacron_core.rules.vm_actions import TRANSIENT
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.actions import ActionContext, Danger, refusal
from novacron_tui.connection.store import VMKey, key_of
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import DELETE, INTERRUPTING, STOPPING, Verb, send
from novacron_tui.vms.bulk import Bulk, ItemState
from novacron_tui.vms.columns import owner_text
from novacron_tui.vms.disk_chains import chain_words
from novacron_tui.widgets.confirm import Confirmation, Question
from novacron_tui.widgets.text_bar import Piece

MANY = 10
"""For an action on more VMs than this, their number must be typed."""
MAX_CONCURRENT = 4
"""Concurrent requests of one bulk action: fast for the operator without flooding a host."""
RETRY_KEY_S = 60.0
"""A key press repeated within this time after a lost answer has the same idempotency key, so both have one effect."""


class VMActionRunner:
    """Performs actions on one or many VMs for a screen."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context
        self._session = context.session
        self._keys: dict[tuple[str, VMKey], tuple[str, float]] = {}
        self.bulk: Bulk | None = None

    def why_not(self, verb: Verb, vm: VM | None) -> str | None:
        """The sentence that refuses the action now, also while a request for the VM is in flight."""
        if vm is not None and key_of(vm) in self._session.in_flight:
            return f"{vm.name} already has a request in progress: wait for the answer"
        return refusal(verb, self._session, vm)

    async def perform(self, verb: Verb, chosen: Sequence[VM]) -> None:
        """Perform `verb` on the VMs that allow it; report the reason for the others."""
        ready = [vm for vm in chosen if self.why_not(verb, vm) is None]
        if not ready:
            self._context.say(self.why_not(verb, chosen[0] if chosen else None) or "nothing is selected", "warn")
            return
        answer = await self._confirm(verb, ready)
        if answer is None:
            return
        # The VMs may have changed while the question was open: check the rules again.
        allowed = [
            current
            for vm in ready
            if (current := self._session.store.vms.get(key_of(vm))) and not self.why_not(verb, current)
        ]
        if not allowed:
            current = self._session.store.vms.get(key_of(ready[0]))
            self._context.say(self.why_not(verb, current) or f"{ready[0].name} no longer exists", "warn")
            return
        if len(chosen) > 1:
            await self._perform_many(verb, chosen, allowed, answer)
        else:
            await self._perform_one(verb, allowed[0], answer)

    async def _confirm(self, verb: Verb, vms: Sequence[VM]) -> Confirmation | None:
        if not self._must_ask(verb, vms):
            return Confirmation()
        return await self._context.ask(
            question(verb, vms, self._session.store.host_name, self._session.store.volumes.values())
        )

    def _must_ask(self, verb: Verb, vms: Sequence[VM]) -> bool:
        """Whether the action needs a yes: it loses something, it is for many VMs, or guests of a production server
        would stop."""
        if verb.danger in (Danger.LOSES_WORK, Danger.DESTROYS) or len(vms) > MANY or _any_goes(verb, vms):
            return True
        return self._session.server.production and verb in INTERRUPTING

    async def _perform_one(self, verb: Verb, vm: VM, answer: Confirmation) -> None:
        try:
            op = await self._send(verb, vm, answer)
        except NovaCronError as e:
            self._context.say(f"{verb.label} {one_line(vm.name)}: {one_line(e.detail)}", "bad")
            return
        self._context.follow(op, verb.words.doing)

    async def _perform_many(self, verb: Verb, chosen: Sequence[VM], ready: Sequence[VM], answer: Confirmation) -> None:
        """Send a request for each of `ready`, a few at a time; the others of `chosen` are refused with their reason."""
        self.bulk = bulk = Bulk(verb, chosen)
        wanted = {key_of(vm) for vm in ready}
        for vm in chosen:
            if key_of(vm) not in wanted:
                current = self._session.store.vms.get(key_of(vm))
                bulk.finish(
                    key_of(vm),
                    ItemState.REFUSED,
                    (current and self.why_not(verb, current)) or f"{vm.name} no longer exists",
                )
        gate = asyncio.Semaphore(MAX_CONCURRENT)
        self._session.changed()
        async with asyncio.TaskGroup() as group:
            for vm in ready:
                group.create_task(self._perform_item(bulk, vm, answer, gate))
        self._session.changed()

    async def _perform_item(self, bulk: Bulk, vm: VM, answer: Confirmation, gate: asyncio.Semaphore) -> None:
        async with gate:
            current = self._session.store.vms.get(key_of(vm))
            if current is None or (refused := self.why_not(bulk.verb, current)):
                bulk.finish(
                    key_of(vm), ItemState.REFUSED, f"{vm.name} no longer exists" if current is None else refused or ""
                )
                return
            try:
                op = await self._send(bulk.verb, current, answer)
            except ServerUnreachable as e:
                bulk.finish(key_of(vm), ItemState.FAILED, f"{vm.name}: {e.detail}")
            except NovaCronError as e:
                bulk.finish(
                    key_of(vm), ItemState.REFUSED, e.detail if vm.name in e.detail else f"{vm.name}: {e.detail}"
                )
            else:
                bulk.accepted(key_of(vm), op)

    async def _send(self, verb: Verb, vm: VM, answer: Confirmation) -> Operation:
        press = (verb.name, key_of(vm))
        key, pressed_at = self._keys.pop(press, ("", 0.0))
        if not key or monotonic() - pressed_at > RETRY_KEY_S:
            key = str(uuid4())
        self._session.in_flight.add(key_of(vm))
        try:
            return await send(verb, self._session.client, vm, key, disks=answer.option)
        except ServerUnreachable:
            self._keys[press] = (key, monotonic())  # the server may or may not have received it
            raise
        finally:
            self._session.in_flight.discard(key_of(vm))


def question(
    verb: Verb, vms: Sequence[VM], host_name: Callable[[str], str], volumes: Iterable[Volume] = ()
) -> Question:
    """The question before a dangerous action; it names the VMs and their hosts, and of `volumes` those that a deletion
    of their disks deletes too."""
    one = vms[0] if len(vms) == 1 else None
    many = len(vms) > MANY
    lines = _summary(verb, vms, host_name) if many else [_named(verb, vm, host_name) for vm in vms]
    if verb.warning:
        lines += [[Piece("")], [Piece(verb.warning)]]
    if verb is DELETE and (words := chain_words(vms, volumes)):
        lines.append([Piece(words, "warn")])
    return Question(
        title=f"{verb.label.capitalize()} {one_line(one.name) if one else counted(len(vms), 'VM')}?",
        lines=lines,
        yes=verb.label.capitalize(),
        typed=(one.name if one else str(len(vms))) if verb is DELETE or many else "",
        typed_always=many,
        option=_disks_option(vms) if verb is DELETE else "",
    )


def _named(verb: Verb, vm: VM, host_name: Callable[[str], str]) -> list[Piece]:
    return [
        Piece(one_line(vm.name), "strong"),
        Piece(f" on {one_line(host_name(vm.host))}, {vm.state}"),
        Piece(f", {TRANSIENT}" if vm.transient and verb in STOPPING else "", "warn"),
    ]


def _summary(verb: Verb, vms: Sequence[VM], host_name: Callable[[str], str]) -> list[list[Piece]]:
    """Many VMs: how many in which state, on which hosts, whose, and the first names."""
    states = ", ".join(f"{number} {state}" for state, number in Counter(vm.state for vm in vms).most_common())
    hosts = Counter(one_line(host_name(vm.host)) for vm in vms)
    owners = Counter(owner_text(vm) or "nobody" for vm in vms)
    names = ", ".join(one_line(vm.name) for vm in vms[:_NAMED])
    lines = [
        [Piece(f"{counted(len(vms), 'VM')}", "strong"), Piece(f": {states}")],
        [Piece(f"on {counted(len(hosts), 'host')}: {_most(hosts)}")],
        [Piece(f"owners: {one_line(_most(owners))}", "quiet")],
        [Piece(f"{names} and {len(vms) - _NAMED} more", "quiet")],
    ]
    if _any_goes(verb, vms):
        lines.append([Piece("some of them are transient: they are gone when they stop", "warn")])
    return lines


def _most(numbers: Counter[str]) -> str:
    """`kvm-a (60), kvm-b (50), and 3 others`."""
    shown = ", ".join(f"{name} ({number})" for name, number in numbers.most_common(_NAMED))
    return f"{shown}, and {len(numbers) - _NAMED} others" if len(numbers) > _NAMED else shown


def _any_goes(verb: Verb, vms: Sequence[VM]) -> bool:
    """Whether one of the VMs is gone after this action, because libvirt has no definition of it."""
    return verb in STOPPING and any(vm.transient for vm in vms)


_NAMED = 5
"""At most this many names are listed; more do not fit."""


def _disks_option(vms: Sequence[VM]) -> str:
    own = [disk for vm in vms for disk in vm.disks if disk.device == "disk"]
    if len(own) != 1:
        names = ", ".join(one_line(disk.target) for disk in own[:_NAMED]) + (", …" if len(own) > _NAMED else "")
        which = f": {names}" if len(vms) == 1 else ""
        return f"also delete {'its' if len(vms) == 1 else 'their'} {counted(len(own), 'disk')}{which}" if own else ""
    return f"also delete its disk: {one_line(own[0].target)}, {size_text(own[0].size_bytes)}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f" in {seconds * 1000:.0f} ms" if seconds < 1 else f" in {seconds:.1f} s"


def outcome(op: Operation) -> tuple[str, str]:
    """The sentence and tone for an ended operation."""
    name = one_line(op.target.name or op.target.id)
    if op.state is OperationState.SUCCEEDED:
        took = (op.finished_at - (op.started_at or op.created_at)).total_seconds() if op.finished_at else None
        return f"{name}: {done(op.kind)}{_duration(took)}", "good"
    reason = one_line(op.problem.detail or op.problem.title) if op.problem else "no reason given"
    if op.state is OperationState.CANCELLED:  # cancelled on request: not an error
        return f"{name}: {noun(op.kind)} {op.state}: {reason.removeprefix(f'{op.state} ')}", "warn"
    return f"{name}: {noun(op.kind)} {op.state}: {reason}", "bad"
