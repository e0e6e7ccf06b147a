"""Performing actions on volumes: show the form, send once, and report the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from novacron_core.api import volumes
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import HandOver
from novacron_core.api.volumes import DeletionPreview
from novacron_core.errors import NovaCronError
from novacron_core.rules.bulk_words import left_out_text
from novacron_core.rules.operation_words import noun
from novacron_core.rules.volume_actions import VolumeAction as V
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.actions import ActionContext
from novacron_tui.cancelling import cancel_many
from novacron_tui.connection.form_request import Send, build_request, call_from_form, sender
from novacron_tui.images.upload import UploadImage
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes import forms
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.recipients import hand_over_form, read_recipients
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.form import Refused
from novacron_tui.widgets.text_bar import Piece

T = TypeVar("T")


async def create(context: ActionContext, _entry: object) -> None:
    """Show the form that creates a volume."""
    await context.show_dialog(forms.create(context.session.store, sender(context, volumes.CREATE, "creating")))


async def upload_image(context: ActionContext, _entry: object) -> None:
    """Show the form that uploads an image."""
    if (image := await context.show_dialog(UploadImage(context.session, context.glyphs))) is not None:
        size = size_text(image.size_bytes)
        context.say(f"{one_line(image.name)}: {size}, ready for new VMs; sha256 {image.sha256[:16]}…", "good")


async def move(context: ActionContext, chosen: Sequence[VolumeEntry]) -> None:
    """Show the form that moves volumes to another tier."""
    ready, left_out = _allowed(V.MOVE, chosen, context)
    if len(ready) != 1:
        await context.show_dialog(forms.move_many(ready, context.session.store, _mover(context, ready), left_out))
        return
    entry = ready[0]
    send = sender(context, volumes.MOVE, "moving", volume_id=entry.volume.id)
    await context.show_dialog(forms.move(entry, context.session.store, send, left_out))


def _mover(context: ActionContext, entries: Sequence[VolumeEntry]) -> Send:
    """What sends the request of the form once for each volume."""

    async def send(body: Any, key: str) -> None:
        if (offline := context.session.store.why_no_change()) is not None:
            raise Refused(offline)

        async def move_one(entry: VolumeEntry) -> Operation:
            own_key = str(uuid5(UUID(key), entry.id))
            client = context.session.client
            return await client.call(volumes.MOVE, body=body, idempotency_key=own_key, volume_id=entry.volume.id)

        await change_each(context, _named(entries), move_one, "moving")

    return send


async def hand_over(context: ActionContext, chosen: Sequence[VolumeEntry]) -> None:
    """Show the form that hands volumes over."""
    ready, left_out = _allowed(V.HAND_OVER, chosen, context)
    if not ready:
        return
    session, names = context.session, ", ".join(one_line(entry.volume.name) for entry in ready[:4])

    async def send(owner: str | None, tenant: str | None, key: str) -> None:
        body = build_request(HandOver, owner=owner, tenant=tenant)
        if len(ready) == 1:
            op = await call_from_form(session, volumes.HAND_OVER, body, key, volume_id=ready[0].volume.id)
            context.follow(op, "handing over")
            return
        if (offline := session.store.why_no_change()) is not None:
            raise Refused(offline)

        async def one(entry: VolumeEntry) -> Operation:
            own_key, client = str(uuid5(UUID(key), entry.id)), session.client
            return await client.call(volumes.HAND_OVER, body=body, idempotency_key=own_key, volume_id=entry.volume.id)

        await change_each(context, _named(ready), one, "handing over")

    more = f" and {len(ready) - 4:,} more" if len(ready) > 4 else ""
    size = size_text(sum(entry.volume.size_bytes for entry in ready))
    intro = [
        [Piece(f"{names}{more}", "strong"), Piece(f", {size}.")],
        [Piece("In another tenant its quota counts, and this one no longer sees it.", "quiet")],
        *_told(left_out),
    ]
    what = one_line(ready[0].volume.name) if len(ready) == 1 else counted(len(ready), "volume")
    await context.show_dialog(hand_over_form(f"Hand over {what}", intro, await read_recipients(session), send))


def _named(entries: Sequence[VolumeEntry]) -> list[tuple[str, VolumeEntry]]:
    return [(entry.volume.name, entry) for entry in entries]


async def change_each(
    context: ActionContext, named: Sequence[tuple[str, T]], change: Callable[[T], Awaitable[Operation]], doing: str
) -> None:
    """Request a change of each volume, given as (name, what `change` takes), say how many began, and report each end."""
    begun, refused = 0, []
    for name, thing in named:
        try:
            op = await change(thing)
        except NovaCronError as e:
            refused.append(f"{one_line(name)}: {one_line(e.detail)}")
        else:
            begun += 1
            context.session.followed[op.id] = op
    why = f"; {len(refused)} refused: {refused[0]}" if refused else ""
    context.say(f"{doing.capitalize()} {counted(begun, 'volume')}{why}", "warn" if refused else "busy")
    context.session.changed()


def _allowed(action: V, chosen: Sequence[VolumeEntry], context: ActionContext) -> tuple[list[VolumeEntry], str]:
    """The chosen volumes that allow the action, and how many others are left out, and why; empty when none is."""
    refused = [entry.why_not(action, entry.vm, context.session.store) for entry in chosen]
    reasons = [reason for reason in refused if reason is not None]
    ready = [entry for entry, reason in zip(chosen, refused, strict=True) if reason is None]
    if not reasons:
        return ready, ""
    return ready, left_out_text("volumes", len(reasons), len(chosen), one_line(reasons[0]), is_done=False)


async def grow(context: ActionContext, entry: VolumeEntry) -> None:
    """Show the form that makes a volume larger."""
    send = sender(context, volumes.RESIZE, "growing", volume_id=entry.volume.id)
    await context.show_dialog(forms.grow(entry, send))


async def clone(context: ActionContext, entry: VolumeEntry) -> None:
    """Show the form that copies a volume."""
    send = sender(context, volumes.CLONE, "copying", volume_id=entry.volume.id)
    await context.show_dialog(forms.clone(entry, context.session.store, send))


async def attach(context: ActionContext, entry: VolumeEntry) -> None:
    """Show the form that attaches a volume to a VM."""
    send = sender(context, volumes.ATTACH, "attaching a volume to", volume_id=entry.volume.id)
    await context.show_dialog(forms.attach(entry, context.session.store, send))


async def detach(context: ActionContext, entry: VolumeEntry) -> None:
    """Ask, and detach a volume from its VM."""
    vm = one_line(entry.vm.name) if entry.vm else "its VM"
    running = entry.vm is not None and entry.vm.state == "running"
    warning = "Unmount it in the guest first: it disconnects immediately." if running else "Its data is kept."
    question = Question(
        title=f"Detach {one_line(entry.volume.name)}?",
        lines=[[Piece(one_line(entry.volume.name), "strong"), Piece(f" from {vm}")], [Piece("")], [Piece(warning)]],
        yes="Detach",
    )
    if await context.ask(question) is not None:
        await _call(context, volumes.DETACH, entry, "detaching a volume from")


async def delete(context: ActionContext, chosen: Sequence[VolumeEntry]) -> None:
    """Ask, with the name or the number to type, and delete volumes."""
    ready, left_out = _allowed(V.DELETE, chosen, context)
    if len(ready) == 1:
        await _delete_one(context, ready[0], left_out)
    elif ready and await context.ask(_deletion_of_many(ready, context.session.store.host_name, left_out)) is not None:

        async def delete_one(entry: VolumeEntry) -> Operation:
            client = context.session.client
            return await client.call(volumes.DELETE, idempotency_key=str(uuid4()), volume_id=entry.volume.id)

        await change_each(context, _named(ready), delete_one, "deleting")


async def _delete_one(context: ActionContext, entry: VolumeEntry, left_out: str) -> None:
    """Show the server's preview of the deletion; the name must be typed to confirm."""
    name = one_line(entry.volume.name)
    try:
        preview = await context.session.client.call(volumes.DELETION, volume_id=entry.volume.id)
    except NovaCronError as e:
        context.say(f"delete {name}: {one_line(e.detail)}", "bad")
        return
    if preview.refused:
        context.say(one_line(preview.refused), "warn")
    elif await context.ask(_deletion(preview, context.session.store.host_name, left_out)) is not None:
        await _call(context, volumes.DELETE, entry, "deleting")


async def cancel(context: ActionContext, chosen: Sequence[VolumeEntry]) -> None:
    """Cancel the operations on volumes."""
    if len(chosen) == 1:
        await context.cancel_operation(chosen[0].operation, chosen[0].volume.name)
        return
    ready = [
        (op, entry.volume.name, noun(op.kind))
        for entry in chosen
        if (op := entry.operation) is not None and op.may_cancel
    ]
    await cancel_many(context, ready, len(chosen) - len(ready))


async def _call(context: ActionContext, endpoint: Endpoint[Any, Any, Any], entry: VolumeEntry, doing: str) -> None:
    try:
        op = await context.session.client.call(endpoint, idempotency_key=str(uuid4()), volume_id=entry.volume.id)
    except NovaCronError as e:
        context.say(f"{one_line(entry.volume.name)}: {one_line(e.detail)}", "bad")
    else:
        context.follow(op, doing)


_NAMED = 8
"""At most this many volumes are named in a question."""


def _deletion_of_many(entries: Sequence[VolumeEntry], host_name: Callable[[str], str], left_out: str) -> Question:
    size = sum(entry.volume.allocated_bytes for entry in entries)
    lines = [
        [
            Piece(one_line(entry.volume.name), "strong"),
            Piece(f" in {one_line(entry.volume.pool)} on {one_line(host_name(entry.volume.host))}"),
        ]
        for entry in entries[:_NAMED]
    ]
    if len(entries) > _NAMED:
        lines.append([Piece(f"and {len(entries) - _NAMED} more", "quiet")])
    lines += [
        [Piece(f"{size_text(size)} on disk", "quiet")],
        *_told(left_out),
        [Piece("")],
        [Piece("Their data is permanently deleted.")],
    ]
    title = f"Delete {counted(len(entries), 'volume')}?"
    return Question(title, lines, "Delete", typed=str(len(entries)), typed_always=True)


def _told(left_out: str) -> list[list[Piece]]:
    return [[Piece(left_out, "warn")]] if left_out else []


def _deletion(preview: DeletionPreview, host_name: Callable[[str], str], left_out: str) -> Question:
    volume = preview.volume
    lines = [
        [Piece(one_line(volume.name), "strong"), Piece(f" in {one_line(volume.pool)} on {one_line(host_name(volume.host))}")],
        [Piece(f"{size_text(volume.size_bytes)}, frees {size_text(preview.frees_bytes)} on disk", "quiet")],
        *_told(left_out),
        [Piece("")],
        [Piece("Its data is permanently deleted.")],
    ]  # fmt: skip
    return Question(f"Delete {one_line(volume.name)}?", lines, "Delete", typed=volume.name, typed_always=True)
