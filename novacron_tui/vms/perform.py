"""Performing actions on VMs: confirm, send once per key press, and report the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from uuid import uuid4

from novacron_core.api import vms as api
from novacron_core.api.operations import BulkItem, Operation, OperationState
from novacron_core.api.vms import VM, BulkOptions, BulkRequest, State
from novacron_core.api.volumes import Volume
from novacron_core.errors import NovaCronError, ServerUnreachable
from novacron_core.rules.bulk_words import left_out_text
from novacron_core.rules.operation_words import done, noun
from novacron_core.rules.vm_actions import TRANSIENT, VMAction, has_effect_already
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.actions import MANY, ActionContext, Danger, refusal
from novacron_tui.connection.store import VMKey, key_of
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import DELETE, INTERRUPTING, STOPPING, Verb, send
from novacron_tui.vms.bulk import left_out, summary
from novacron_tui.vms.columns import owner_text
from novacron_tui.vms.disk_chains import chain_words
from novacron_tui.widgets.confirm import Confirmation, Question
from novacron_tui.widgets.text_bar import Piece

RETRY_KEY_S = 60.0
"""A key press repeated within this time after a lost answer has the same idempotency key, so both have one effect."""
LONG_S = 10.0
"""An operation that took longer than this rings the bell at its end."""
_Press = tuple[str, frozenset[VMKey]]
"""An action and the VMs that it was requested for."""


class VMActionRunner:
    """Performs actions on one or many VMs for a screen."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context
        self._session = context.session
        self._keys: dict[_Press, tuple[str, float]] = {}
        self.bulks: dict[str, set[VMKey]] = {}
        """The VMs of each bulk that was started here, until its end was seen."""

    def why_not(self, verb: Verb, vm: VM | None) -> str | None:
        """The sentence that refuses the action now, also while a request for the VM is in flight."""
        if vm is not None and key_of(vm) in self._session.in_flight:
            return f"{vm.name} already has a request in progress: wait for the answer"
        return refusal(verb, self._session, vm)

    async def perform(self, verb: Verb, chosen: Sequence[VM], *, as_bulk: bool = False) -> None:
        """Perform `verb` on the VMs that allow it; report the reason for the others. `as_bulk`: also for a single VM as a
        bulk."""
        ready = [vm for vm in chosen if self.why_not(verb, vm) is None]
        if not ready:
            self._context.say(self.why_not(verb, chosen[0] if chosen else None) or "nothing is selected", "warn")
            return
        answer = await self._confirm(verb, ready, chosen)
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
        if len(chosen) > 1 or as_bulk:
            await self._perform_many(verb, chosen, allowed, answer)
        else:
            await self._perform_one(verb, allowed[0], answer)

    async def _confirm(self, verb: Verb, vms: Sequence[VM], chosen: Sequence[VM]) -> Confirmation | None:
        if not self._must_ask(verb, vms):
            return Confirmation()
        store = self._session.store
        left_out = self._left_out_words(verb, vms, chosen)
        return await self._context.ask(question(verb, vms, store.host_name, store.volumes.values(), left_out))

    def _left_out_words(self, verb: Verb, vms: Sequence[VM], chosen: Sequence[VM]) -> str:
        """How many of the chosen VMs the action leaves out, and why; empty when it leaves out none."""
        ready = {key_of(vm) for vm in vms}
        others = [vm for vm in chosen if key_of(vm) not in ready]
        if not others:
            return ""
        action, states = VMAction(verb.name), {vm.state for vm in others}
        is_done = (
            len(states) == 1 and State.CRASHED not in states and all(has_effect_already(action, vm) for vm in others)
        )
        why = str(others[0].state) if is_done else one_line(self.why_not(verb, others[0]) or "")
        return left_out_text("VMs", len(others), len(chosen), why, is_done=is_done)

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
        """Request the action for all of `ready` at once; the others of `chosen` are refused here, with their reason."""
        requested = {key_of(vm) for vm in ready}
        others = left_out(verb, [(vm, self._why_left_out(verb, vm)) for vm in chosen if key_of(vm) not in requested])
        try:
            op = await self._send_bulk(verb, ready, answer)
        except NovaCronError as e:
            self._context.say(f"{verb.label} {counted(len(ready), 'VM')}: {one_line(e.detail)}", "bad")
            return
        self._session.left_out[op.id] = others
        self._session.followed[op.id] = op
        self.bulks[op.id] = requested | {(item.host or "", item.vm_id) for item in others}
        self._session.changed()

    def _why_left_out(self, verb: Verb, vm: VM) -> str:
        current = self._session.store.vms.get(key_of(vm))
        return (current and self.why_not(verb, current)) or f"{vm.name} no longer exists"

    async def _send_bulk(self, verb: Verb, vms: Sequence[VM], answer: Confirmation) -> Operation:
        keys = frozenset(map(key_of, vms))
        body = BulkRequest(
            action=verb.name,  # type: ignore[arg-type]
            ids=[vm.id for vm in vms],
            options=BulkOptions(disks=answer.option and verb is DELETE),
        )
        send = lambda key: self._session.client.call(api.BULK, body=body, idempotency_key=key)  # noqa: E731
        return await self._send_once((verb.name, keys), keys, send)

    async def _send(self, verb: Verb, vm: VM, answer: Confirmation) -> Operation:
        keys = frozenset({key_of(vm)})
        return await self._send_once(
            (verb.name, keys), keys, lambda key: send(verb, self._session.client, vm, key, disks=answer.option)
        )

    async def _send_once(
        self, press: _Press, vms: frozenset[VMKey], request: Callable[[str], Awaitable[Operation]]
    ) -> Operation:
        """Send the request of a key press: repeated soon after a lost answer, it has the same idempotency key."""
        key, pressed_at = self._keys.pop(press, ("", 0.0))
        if not key or monotonic() - pressed_at > RETRY_KEY_S:
            key = str(uuid4())
        self._session.in_flight |= vms
        try:
            return await request(key)
        except ServerUnreachable:
            self._keys[press] = (key, monotonic())  # the server may or may not have received it
            raise
        finally:
            self._session.in_flight -= vms


def question(
    verb: Verb,
    vms: Sequence[VM],
    host_name: Callable[[str], str],
    volumes: Iterable[Volume] = (),
    left_out: str = "",
) -> Question:
    """The question before a dangerous action; it names the VMs and their hosts, and of `volumes` those that a deletion
    of their disks deletes too. `left_out` tells of other VMs that were chosen."""
    one = vms[0] if len(vms) == 1 else None
    many = len(vms) > MANY
    lines = _summary(verb, vms, host_name) if many else [_named(verb, vm, host_name) for vm in vms]
    if left_out:
        lines.append([Piece(left_out, "warn")])
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


def took_long(op: Operation) -> bool:
    """Whether whoever asked for it may have turned to something else meanwhile."""
    return op.finished_at is not None and (op.finished_at - op.created_at).total_seconds() >= LONG_S


def outcome(op: Operation, left_out: Sequence[BulkItem] = ()) -> tuple[str, str]:
    """The sentence and tone for an ended operation. `left_out` are the VMs that a bulk does not request."""
    if op.counts is not None:
        return summary(op, left_out)
    name = one_line(op.target.name or op.target.id)
    if op.state is OperationState.SUCCEEDED:
        took = (op.finished_at - (op.started_at or op.created_at)).total_seconds() if op.finished_at else None
        return f"{name}: {done(op.kind)}{_duration(took)}", "good"
    reason = one_line(op.problem.sentence) if op.problem else "no reason given"
    if op.state is OperationState.CANCELLED:  # cancelled on request: not an error
        return f"{name}: {noun(op.kind)} {op.state}: {reason.removeprefix(f'{op.state} ')}", "warn"
    return f"{name}: {noun(op.kind)} {op.state}: {reason}", "bad"
