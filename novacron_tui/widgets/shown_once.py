"""A dialog with a secret that is shown this one time."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from novacron_tui.widgets.detail import Detail, Lines


class ShownOnce(Detail, inherit_bindings=False):
    """`y` copies `secret` to the terminal's clipboard. It is left with escape alone: enter may have been meant for what
    was there before."""

    KEYS = "y copies · esc closes for good"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, title: str, lines: Lines, secret: str) -> None:
        super().__init__(title, lines)
        self._secret = secret

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._secret)
        self.query_one("VerticalScroll").border_subtitle = Content("copied · esc closes for good")
