"""Handing VMs over, adopting unmanaged ones and releasing managed ones: the forms, the question, and what is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4, uuid5

from novacron_core.api import vms as api
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import Adopt, HandOver
from novacron_core.api.vms import VM, BulkOptions, BulkRequest
from novacron_core.errors import NovaCronError
from novacron_core.values.counts import counted
from novacron_tui.actions import MANY, ActionContext
from novacron_tui.connection.form_request import build_request, call_from_form
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.recipients import (
    Recipients,
    hand_over_form,
    owner_field,
    read_recipients,
    tenant_field,
)
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.form import Form, Refused, Values
from novacron_tui.widgets.text_bar import Piece

_NAMED = 4
"""At most this many VMs are named; more do not fit."""
Lines = list[list[Piece]]


async def hand_over(context: ActionContext, vms: Sequence[VM]) -> None:
    """Show the form that hands VMs over; several go as one bulk."""
    if not vms:
        return
    session, recipients = context.session, await read_recipients(context.session)

    async def send(owner: str | None, tenant: str | None, key: str) -> None:
        if len(vms) == 1:
            body = build_request(HandOver, owner=owner, tenant=tenant)
            op = await call_from_form(session, api.HAND_OVER, body, key, vm_id=vms[0].id)
            context.follow(op, "handing over")
            return
        options = build_request(BulkOptions, owner=owner, tenant=tenant)
        request = BulkRequest(action="hand-over", ids=[vm.id for vm in vms], options=options)
        op = await call_from_form(session, api.BULK, request, key)
        session.followed[op.id] = op
        session.changed()

    intro = [
        *_what_goes(context, vms),
        [Piece("The new owner controls it. In another tenant its quota counts, and this one no longer "
               "sees it.", "quiet")],
    ]  # fmt: skip
    await context.show_dialog(hand_over_form(f"Hand over {_named(vms)}", intro, recipients, send))


async def adopt(context: ActionContext, vms: Sequence[VM]) -> None:
    """Show the form that takes unmanaged VMs into a tenant."""
    if not vms:
        return
    recipients = await read_recipients(context.session)

    async def submit(values: Values, key: str) -> None:
        body = build_request(Adopt, tenant=values["tenant"], owner=values["owner"] or None)
        if len(vms) == 1:
            op = await call_from_form(context.session, api.ADOPT, body, key, vm_id=vms[0].id)
            context.follow(op, "adopting")
            return
        if (offline := context.session.store.why_no_change()) is not None:
            raise Refused(offline)
        await _each(context, vms, _sender(context, api.ADOPT, key, body), "adopting")

    await context.show_dialog(_adopt_form(context, vms, recipients, submit))


def _adopt_form(
    context: ActionContext, vms: Sequence[VM], recipients: Recipients, submit: Callable[[Values, str], Awaitable[None]]
) -> Form[None]:
    user = context.session.user
    known = recipients if recipients.tenants else Recipients(recipients.names, [user.tenant])
    fields = {
        "tenant": tenant_field(known, value=user.tenant if user.tenant in known.tenants else known.tenants[0]),
        "owner": owner_field(recipients, "Owner", user.username, advice="A member of the tenant"),
    }
    intro = [
        *_what_goes(context, vms),
        [Piece("NovaCron manages it from then on: members of the tenant see and change it, and its quota counts.", "quiet")],
    ]  # fmt: skip
    return Form(f"Adopt {_named(vms)}", fields, "Adopt", submit, intro)


async def release(context: ActionContext, vms: Sequence[VM]) -> None:
    """Ask, and stop managing VMs, one after the other."""
    if not vms:
        return
    many = len(vms) > MANY
    lines = [
        *_what_goes(context, vms),
        [Piece("")],
        [Piece("It and its disks stay as they are, but belong to nobody: only administrators see them then.")],
        [Piece("Its tags, owner and tenant are forgotten.")],
    ]
    typed = str(len(vms)) if many else ""
    question = Question(f"Release {_named(vms)}?", lines, "Release", typed=typed, typed_always=many)
    if await context.ask(question) is not None:
        await _each(context, vms, _sender(context, api.RELEASE, str(uuid4())), "releasing")


def _sender(
    context: ActionContext, endpoint: Endpoint[Any, Any, Any], key: str, body: Any = None
) -> Callable[[VM], Awaitable[Operation]]:
    """What sends the request for one VM: repeated with the same key, it has one effect."""

    async def send(vm: VM) -> Operation:
        own_key = str(uuid5(UUID(key), vm.id))
        op: Operation = await context.session.client.call(endpoint, body=body, idempotency_key=own_key, vm_id=vm.id)
        return op

    return send


async def _each(
    context: ActionContext, vms: Sequence[VM], send: Callable[[VM], Awaitable[Operation]], doing: str
) -> None:
    """Request a change of each VM, say how many began and why others did not; each end is reported."""
    begun: list[Operation] = []
    refused: list[str] = []
    for vm in vms:
        try:
            begun.append(await send(vm))
        except NovaCronError as e:
            sentence = one_line(e.detail)
            refused.append(sentence if sentence.startswith(vm.name) else f"{one_line(vm.name)}: {sentence}")
    context.session.followed |= {op.id: op for op in begun}
    if len(vms) == 1 and begun:
        context.follow(begun[0], doing)
        return
    why = f"; {len(refused)} refused: {'; '.join(refused)}" if refused else ""
    context.say(f"{doing.capitalize()} {counted(len(begun), 'VM')}{why}", "bad" if refused else "busy")
    context.session.changed()


def _named(vms: Sequence[VM]) -> str:
    return one_line(vms[0].name) if len(vms) == 1 else counted(len(vms), "VM")


def _what_goes(context: ActionContext, vms: Sequence[VM]) -> Lines:
    """The VMs, and the disks and boot files that go with them."""
    disks = [disk for vm in vms for disk in vm.disks if disk.device == "disk" and not disk.read_only]
    owners = sorted({f"of {vm.owner} in {vm.tenant}" if not vm.unmanaged else "unmanaged" for vm in vms})
    of = f", {one_line(owners[0])}" if len(owners) == 1 else ""
    lines: Lines = [[Piece(_first([vm.name for vm in vms]), "strong"), Piece(of, "quiet")]]
    if disks:
        sources = _first([disk.source or disk.target for disk in disks])
        lines.append([Piece(f"{counted(len(disks), 'disk')} with it: ", "quiet"), Piece(sources)])
    managed = {(vm.host, vm.id, vm.tenant) for vm in vms if not vm.unmanaged}
    boot = [
        volume.name
        for volume in context.session.store.volumes.values()
        if volume.role in ("kernel", "initrd") and (volume.host, volume.vm, volume.tenant) in managed
    ]
    if boot:
        lines.append([Piece(f"{counted(len(boot), 'boot file')} with it: ", "quiet"), Piece(_first(sorted(boot)))])
    return lines


def _first(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(map(one_line, names[:_NAMED])) + more
