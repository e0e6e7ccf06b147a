"""The form that sends an image file of this machine to the server, with how far it is; leaving it stops the sending."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Button, Input

from novacron_core.api import images
from novacron_core.api.images import Image, ImageQuery
from novacron_core.errors import NovaCronError
from novacron_core.values.ages import age_text
from novacron_core.values.names import is_sha256, why_not_image_name
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.images.file import format_for, name_for, pieces
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Refused, choice
from novacron_tui.widgets.sheet import Sheet
from novacron_tui.widgets.text_bar import Piece
from novacron_tui.widgets.toggle import Toggle

_TOLD_EVERY_S = 0.2
_BAR = 20
_BY_NAME = "-"


class UploadImage(Sheet[Image | None]):
    """Dismissed with the image that the server took, or None."""

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._session, self._glyphs = session, glyphs
        self._format = choice([("by the file's name", _BY_NAME), ("qcow2", "qcow2"), ("raw", "raw")])
        self._replace = Toggle("over an image of that name")
        self._sending = False
        self._began = self._told_at = 0.0
        self._fields = {
            "file": FormField("File", why_not=_why_not_file, id="file", advice="on the machine of this console"),
            "name": FormField("Name", why_not=_why_not_name, id="name", placeholder="the file's own"),
            "format": FormField("Format", self._format, id="format"),
            "sha256": FormField("SHA-256", why_not=_why_not_sum, id="sha256", advice="what arrives must have it; may be empty"),
            "replace": FormField("Replace", self._replace, id="replace"),
        }  # fmt: skip

    def compose(self) -> ComposeResult:
        yield from self.sheet("Upload an image", "Upload", self._fields.values())

    def on_mount(self) -> None:
        self._fields["file"].widget.focus()

    def action_leave(self) -> None:
        if not self._sending:
            self.dismiss(None)
            return
        self.workers.cancel_group(self, "send")
        self._hold(False)
        self.say([Piece("stopped: the server keeps nothing of it", "warn")])

    @on(Input.Submitted)
    @on(Button.Pressed, "#send")
    def action_send(self) -> None:
        wrong = [field for field in self._fields.values() if field.check()]
        if not self._sending and not wrong:
            self._hold(True)
            self._send()

    @work(exclusive=True, group="send")
    async def _send(self) -> None:
        file = Path(self._fields["file"].value.strip()).expanduser()
        try:
            image = await self._upload(file)
        except OSError as e:
            self._refuse("file", (e.strerror or str(e)).lower())
        except Refused as e:
            self._refuse(e.field, e.sentence)
        except NovaCronError as e:
            self._refuse("", one_line(e.detail))
        else:
            self.dismiss(image)

    async def _upload(self, file: Path) -> Image:
        length = await asyncio.to_thread(_length, file)
        if wrong := why_not_image_name(name := self._fields["name"].value.strip() or name_for(file)):
            raise Refused(wrong, "name")
        if (offline := self._session.store.why_no_change()) is not None:
            raise Refused(offline)
        wanted = str(self._format.value)
        query = ImageQuery(
            format=format_for(file) if wanted == _BY_NAME else "raw" if wanted == "raw" else "qcow2",
            sha256=self._fields["sha256"].value.strip().lower(),
            replace=self._replace.value,
        )
        self._began, self._told_at = time.monotonic(), 0.0
        body = pieces(file, lambda sent: self._tell(sent, length))
        return await self._session.client.upload(images.PUT, body, length, query=query, name=name)

    def _tell(self, sent: int, length: int) -> None:
        """How far it is, a few times a second."""
        now = time.monotonic()
        if sent >= length:
            self.say([Piece("all of it is sent: the server looks into it…", "busy")])
        elif now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            rate = sent / max(now - self._began, 0.001)
            bar = self._glyphs.bar(sent / length, _BAR)
            told = f" {sent / length:4.0%}  {age_text((length - sent) / rate)} left"
            self.say([Piece(bar, "busy"), Piece(told), Piece(f"  {size_text(rate)}/s of {size_text(length)}", "quiet")])

    def _refuse(self, field: str, sentence: str) -> None:
        self._hold(False)
        if field:
            self._fields[field].complain(sentence)
            self._fields[field].widget.focus()
        self.say([] if field else [Piece(sentence, "bad")])

    def _hold(self, held: bool) -> None:
        self._sending = held
        self.query_one("#send", Button).disabled = held
        if held:
            self.say([Piece("one moment…", "quiet")])


def _length(file: Path) -> int:
    """Bytes. Raises OSError, Refused for what is no file."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Refused("that is no file", "file")
    return found.st_size


def _why_not_file(text: str) -> str | None:
    return None if text.strip() else "the path of a qcow2 or raw file"


def _why_not_name(text: str) -> str | None:
    return why_not_image_name(text.strip()) if text.strip() else None


def _why_not_sum(text: str) -> str | None:
    return None if not text.strip() or is_sha256(text.strip()) else "64 hexadecimal digits, or nothing"
