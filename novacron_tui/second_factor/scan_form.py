"""The form with the QR code that an authenticator app reads, and the field for the code that the app shows then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from novacron_core.api import second_factor
from novacron_core.api.second_factor import RecoveryCodes, TotpSecret
from novacron_core.errors import NovaCronError
from novacron_tui.terminal.capabilities import lacks_color
from novacron_tui.terminal.qr_code import cells
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Refused, Values
from novacron_tui.widgets.text_bar import Piece, content

if TYPE_CHECKING:  # the client imports httpx and websockets: not before the first paint
    from novacron_core.client import Client

_BESIDE = 31
"""Cells of the text and the field beside the QR code."""
_FRAME = 2
_GAP = 2
_GROUP = 4


class ScanForm(Form[RecoveryCodes]):
    """Where the QR code does not fit the terminal, its address is shown instead."""

    DEFAULT_CSS = """
    ScanForm > VerticalScroll { width: auto; max-width: 100%; max-height: 100%; padding: 0 1; }
    ScanForm Horizontal#scan { height: auto; width: auto; }
    ScanForm #code-image { width: auto; height: auto; margin-right: 1; }
    ScanForm #beside { width: 31; height: auto; }
    ScanForm #beside Static { height: auto; }
    ScanForm #uri { display: none; color: $accent; }
    ScanForm FormField Label { width: 6; }
    ScanForm FormField .below { margin-left: 6; max-height: 4; }
    ScanForm.-small > VerticalScroll { width: 72; padding: 1 2 0 2; }
    ScanForm.-small #scan { width: 100%; }
    ScanForm.-small #code-image { display: none; }
    ScanForm.-small #uri { display: block; margin-top: 1; }
    ScanForm.-small #beside { width: 1fr; }
    """

    def __init__(self, client: Client, begun: TotpSecret, *, ascii_only: bool = False) -> None:
        fields = {"code": FormField("Code", advice="Six digits", why_not=lambda v: None if v.strip() else "Enter it")}
        super().__init__("Scan with your app", fields, "Turn on", self._confirm)
        self._client, self._begun = client, begun
        self._rows = [] if lacks_color() else cells(begun.uri, ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        secret = one_line(self._begun.secret)
        groups = [secret[begin : begin + _GROUP] for begin in range(0, len(secret), _GROUP)]
        image = Static(Content("\n").join(Content.assemble(*row) for row in self._rows), id="code-image")
        beside = Vertical(
            Static(content([Piece("Scan this with an authenticator app, or type its secret there:", "quiet")])),
            Static(content([Piece("\n" + " ".join(groups), "strong")])),
            Static(content([Piece(one_line(self._begun.uri), "accent")]), id="uri"),
            Static(content([Piece("\nThen type the code that the app shows:\n", "quiet")])),
            self.form,
            id="beside",
        )
        box = VerticalScroll(Horizontal(image, beside, id="scan"), can_focus=False)
        box.border_title = self.titled("Set up a second factor")
        box.border_subtitle = Content("ctrl+s turns it on · esc cancels")
        yield box

    def on_mount(self) -> None:
        super().on_mount()
        self._fit(self.app.size.width, self.app.size.height)

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size.width, event.size.height)

    def _fit(self, width: int, height: int) -> None:
        """Show the QR code if all of it fits: an app cannot read a part of it."""
        code_width = sum(len(text) for text, _ in self._rows[0]) if self._rows else 0
        fits = width >= code_width + _BESIDE + 2 * _FRAME + _GAP and height >= len(self._rows) + _FRAME
        self.set_class(not self._rows or not fits, "-small")

    async def _confirm(self, values: Values, _key: str) -> RecoveryCodes:
        try:
            return await self._client.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code=values["code"]))
        except NovaCronError as e:
            raise refused_by(e) from e


def refused_by(e: NovaCronError) -> Refused:
    """The refusal of a form whose fields have the names of the request's."""
    return Refused(one_line(e.detail), {error.field: one_line(error.message) for error in e.fields})
