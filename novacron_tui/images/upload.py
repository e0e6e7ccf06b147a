"""The form that uploads an image file, with progress; leaving it cancels the upload."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path

from novacron_core.api import images
from novacron_core.api.images import Image, ImageQuery
from novacron_core.errors import NovaCronError
from novacron_core.values.ages import age_text
from novacron_core.values.image_files import Format
from novacron_core.values.names import is_sha256, why_not_image_name
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.images.file import check_format, name_for, pieces
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Refused, Values, choice
from novacron_tui.widgets.text_bar import Piece
from novacron_tui.widgets.toggle import Toggle

_PROGRESS_EVERY_S = 0.2
_BAR = 20
_FORMATS: dict[str, Format] = {"qcow2": "qcow2", "raw": "raw"}
_BY_CONTENT = "-"


class UploadImage(Form[Image]):
    """Dismissed with the uploaded image, or None."""

    SENDING = "Uploading…"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        self._session, self._glyphs = session, glyphs
        self._started_at = self._shown_at = 0.0
        fields = {
            "file": FormField("File", why_not=_why_not_file, advice="Path on this computer"),
            "name": FormField("Name", why_not=_why_not_name, placeholder="file name"),
            "format": FormField("Format", choice([("by content", _BY_CONTENT), ("qcow2", "qcow2"), ("raw", "raw")])),
            "sha256": FormField("SHA-256", why_not=_why_not_sum, advice="Optional; the upload is rejected if it differs"),
            "replace": FormField("Replace", Toggle("replace an existing image")),
        }  # fmt: skip
        super().__init__("Upload an image", fields, "Upload", self._upload)

    def action_leave(self) -> None:  # type: ignore[override]
        """Cancel a running upload; else leave."""
        if not self.form.submitting:
            super().action_leave()
            return
        self.workers.cancel_group(self, "send")
        self.form.set_submitting(False)
        self.say([Piece("Upload cancelled; nothing was kept", "warn")])

    async def _upload(self, values: Values, _key: str) -> Image:
        file = Path(values["file"]).expanduser()
        try:
            return await self._send_file(file, values)
        except OSError as e:
            reason = (e.strerror or str(e)).lower()
            raise Refused(reason, {"file": reason}) from e
        except NovaCronError as e:
            raise Refused(one_line(e.detail)) from e

    async def _send_file(self, file: Path, values: Values) -> Image:
        length = await asyncio.to_thread(_length, file)
        if wrong := why_not_image_name(name := values["name"] or name_for(file)):
            raise Refused(wrong, {"name": wrong})
        if (offline := self._session.store.why_no_change()) is not None:
            raise Refused(offline)
        query = ImageQuery(
            format=await asyncio.to_thread(check_format, file, _FORMATS.get(values["format"])),
            sha256=values["sha256"].lower(),
            replace=bool(values["replace"]),
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


def _length(file: Path) -> int:
    """The size in bytes. Raises OSError, and Refused when it is not a regular file."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Refused(wrong := "Not a regular file", {"file": wrong})
    return found.st_size


def _why_not_file(text: str) -> str | None:
    return None if text.strip() else "Enter the path of a qcow2 or raw file"


def _why_not_name(text: str) -> str | None:
    return why_not_image_name(text.strip()) if text.strip() else None


def _why_not_sum(text: str) -> str | None:
    return None if not text.strip() or is_sha256(text.strip()) else "Enter 64 hexadecimal digits, or leave it empty"
