"""The form that uploads an image file, with progress; leaving it cancels the upload."""

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

_PROGRESS_EVERY_S = 0.2
_BAR = 20
_BY_NAME = "-"


class UploadImage(Sheet[Image | None]):
    """Dismissed with the uploaded image, or None."""

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._session, self._glyphs = session, glyphs
        self._format = choice([("by file name", _BY_NAME), ("qcow2", "qcow2"), ("raw", "raw")])
        self._replace = Toggle("replace an existing image")
        self._sending = False
        self._started_at = self._shown_at = 0.0
        self._fields = {
            "file": FormField("File", why_not=_why_not_file, id="file", advice="Path on this computer"),
            "name": FormField("Name", why_not=_why_not_name, id="name", placeholder="file name"),
            "format": FormField("Format", self._format, id="format"),
            "sha256": FormField("SHA-256", why_not=_why_not_sum, id="sha256", advice="Optional; the upload is rejected if it differs"),
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
        self._set_sending(False)
        self.say([Piece("Upload cancelled; nothing was kept", "warn")])

    @on(Input.Submitted)
    @on(Button.Pressed, "#send")
    def action_send(self) -> None:
        wrong = [field for field in self._fields.values() if field.check()]
        if not self._sending and not wrong:
            self._set_sending(True)
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
        self._started_at, self._shown_at = time.monotonic(), 0.0
        body = pieces(file, lambda sent: self._show_progress(sent, length))
        return await self._session.client.upload(images.PUT, body, length, query=query, name=name)

    def _show_progress(self, sent: int, length: int) -> None:
        """Show the progress a few times per second."""
        now = time.monotonic()
        if sent >= length:
            self.say([Piece("Uploaded; the server is checking the image…", "busy")])
        elif now - self._shown_at >= _PROGRESS_EVERY_S:
            self._shown_at = now
            rate = sent / max(now - self._started_at, 0.001)
            bar = self._glyphs.bar(sent / length, _BAR)
            progress = f" {sent / length:4.0%}  {age_text((length - sent) / rate)} left"
            self.say(
                [Piece(bar, "busy"), Piece(progress), Piece(f"  {size_text(rate)}/s of {size_text(length)}", "quiet")]
            )

    def _refuse(self, field: str, sentence: str) -> None:
        self._set_sending(False)
        if field:
            self._fields[field].show_error(sentence)
            self._fields[field].widget.focus()
        self.say([] if field else [Piece(sentence, "bad")])

    def _set_sending(self, sending: bool) -> None:
        self._sending = sending
        self.query_one("#send", Button).disabled = sending
        if sending:
            self.say([Piece("Uploading…", "quiet")])


def _length(file: Path) -> int:
    """The size in bytes. Raises OSError, and Refused when it is not a regular file."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Refused("Not a regular file", "file")
    return found.st_size


def _why_not_file(text: str) -> str | None:
    return None if text.strip() else "Enter the path of a qcow2 or raw file"


def _why_not_name(text: str) -> str | None:
    return why_not_image_name(text.strip()) if text.strip() else None


def _why_not_sum(text: str) -> str | None:
    return None if not text.strip() or is_sha256(text.strip()) else "Enter 64 hexadecimal digits, or leave it empty"
