"""Performing actions on volumes and pools: show the form, send once, and report the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from textual.screen import ModalScreen

from novacron_core.api import operations, pools, volumes
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.images import Image
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.volumes import DeletionPreview
from novacron_core.errors import NovaCronError
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.images.upload import UploadImage
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes import forms
from novacron_tui.volumes.actions import ATTACH, CANCEL, CLONE, CREATE, DELETE, DETACH, GROW, MOVE, UPLOAD, VolumeVerb
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.widgets.confirm import Confirmation, Question
from novacron_tui.widgets.form import Form, Refused
from novacron_tui.widgets.text_bar import Piece

Ask = Callable[[Question], Awaitable[Confirmation | None]]
Show = Callable[[ModalScreen[Any]], Awaitable[object]]
Say = Callable[[str, str], None]


class VolumeActionRunner:
    """`ask` shows a question and `show` a form; both wait for the answer. `say` shows a message with a tone."""

    def __init__(self, session: Session, glyphs: Glyphs, ask: Ask, show: Show, say: Say) -> None:
        self._glyphs = glyphs
        self._session, self._ask, self._show, self._say = session, ask, show, say

    async def perform(self, verb: VolumeVerb, entry: VolumeEntry | None) -> None:
        """Perform an action that is not refused."""
        if verb is CREATE:
            await self._show(forms.create(self._session.store, self._sender(volumes.CREATE, "creating")))
        elif verb is UPLOAD:
            await self._upload()
        elif entry is None:
            return
        elif verb is DETACH:
            await self._detach(entry)
        elif verb is DELETE:
            await self._delete(entry)
        elif verb is CANCEL:
            await self._cancel(entry)
        elif (form := self._form(verb, entry)) is not None:
            await self._show(form)

    async def _upload(self) -> None:
        image = await self._show(UploadImage(self._session, self._glyphs))
        if isinstance(image, Image):
            size = size_text(image.size_bytes)
            self._say(f"{one_line(image.name)}: {size}, ready for new VMs; sha256 {image.sha256[:16]}…", "good")

    async def set_tier(self, pool: Pool) -> None:
        """Show the form that sets the tier of a pool."""
        send = self._sender(pools.SET_TIER, "changing the tier of", pool_id=pool.id)
        await self._show(forms.pool_tier(pool, self._session.store, send))

    def _form(self, verb: VolumeVerb, entry: VolumeEntry) -> Form | None:
        store, volume_id = self._session.store, entry.volume.id
        if verb is MOVE:
            return forms.move(entry, store, self._sender(volumes.MOVE, "moving", volume_id=volume_id))
        if verb is GROW:
            return forms.grow(entry, self._sender(volumes.RESIZE, "growing", volume_id=volume_id))
        if verb is CLONE:
            return forms.clone(entry, store, self._sender(volumes.CLONE, "copying", volume_id=volume_id))
        if verb is ATTACH:
            return forms.attach(
                entry, store, self._sender(volumes.ATTACH, "attaching a volume to", volume_id=volume_id)
            )
        return None

    def _sender(self, endpoint: Endpoint[Any, Any, Any], doing: str, **path: Any) -> forms.Send:
        key = str(uuid4())  # submitting a form again after a lost answer must have one effect

        async def send(body: Any) -> None:
            try:
                op = await self._session.client.call(endpoint, body=body, idempotency_key=key, **path)
            except NovaCronError as e:
                field = e.fields[0].field if e.fields else ""
                raise Refused(one_line(e.detail), field) from e
            self._follow(op, doing)

        return send

    async def _detach(self, entry: VolumeEntry) -> None:
        vm = one_line(entry.vm.name) if entry.vm else "its VM"
        running = entry.vm is not None and entry.vm.state == "running"
        warning = "Unmount it in the guest first: it disconnects immediately." if running else "Its data is kept."
        question = Question(
            title=f"Detach {one_line(entry.volume.name)}?",
            lines=[[Piece(one_line(entry.volume.name), "strong"), Piece(f" from {vm}")], [Piece("")], [Piece(warning)]],
            yes="Detach",
        )
        if await self._ask(question) is not None:
            await self._call(volumes.DETACH, entry, "detaching a volume from")

    async def _delete(self, entry: VolumeEntry) -> None:
        """Show the server's preview of the deletion; the name must be typed to confirm."""
        name = one_line(entry.volume.name)
        try:
            preview = await self._session.client.call(volumes.DELETION, volume_id=entry.volume.id)
        except NovaCronError as e:
            self._say(f"delete {name}: {one_line(e.detail)}", "bad")
            return
        if preview.refused:
            self._say(one_line(preview.refused), "warn")
        elif await self._ask(_deletion(preview, self._session.store.host_name)) is not None:
            await self._call(volumes.DELETE, entry, "deleting")

    async def _cancel(self, entry: VolumeEntry) -> None:
        if entry.operation is None:
            return
        try:
            await self._session.client.call(operations.CANCEL, operation_id=entry.operation.id)
        except NovaCronError as e:
            self._say(f"cancel {one_line(entry.volume.name)}: {one_line(e.detail)}", "bad")
        else:
            self._say(f"Cancelling the operation on {one_line(entry.volume.name)}…", "busy")

    async def _call(self, endpoint: Endpoint[Any, Any, Any], entry: VolumeEntry, doing: str) -> None:
        try:
            op = await self._session.client.call(endpoint, idempotency_key=str(uuid4()), volume_id=entry.volume.id)
        except NovaCronError as e:
            self._say(f"{one_line(entry.volume.name)}: {one_line(e.detail)}", "bad")
        else:
            self._follow(op, doing)

    def _follow(self, op: Operation, doing: str) -> None:
        self._session.followed[op.id] = op
        self._say(f"{doing.capitalize()} {one_line(op.target.name or op.target.id)}…", "busy")
        self._session.changed()


def _deletion(preview: DeletionPreview, host_name: Callable[[str], str]) -> Question:
    volume = preview.volume
    lines = [
        [Piece(one_line(volume.name), "strong"), Piece(f" in {one_line(volume.pool)} on {one_line(host_name(volume.host))}")],
        [Piece(f"{size_text(volume.size_bytes)}, frees {size_text(preview.frees_bytes)} on disk", "quiet")],
        [Piece("")],
        [Piece("Its data is permanently deleted.")],
    ]  # fmt: skip
    return Question(f"Delete {one_line(volume.name)}?", lines, "Delete", typed=volume.name, typed_always=True)
