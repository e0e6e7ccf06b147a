"""A paste as it was, for terminals, and made harmless, for everything else."""

from __future__ import annotations

from textual.events import Paste

from novacron_tui.terminal.safe_text import clean

MAX_PASTE = 1 << 16
"""Maximum characters of a paste for anything but a terminal. No field holds more."""


class WholePaste(Paste):
    """A paste. `text` is made harmless, and long enough for every field; `whole` is what was pasted, without the last
    `dropped` characters."""

    def __init__(self, whole: str, dropped: int) -> None:
        super().__init__(clean(whole[:MAX_PASTE]))
        self.whole, self.dropped = whole, dropped


WholePaste.handler_name = Paste.handler_name
"""Widgets handle it as the paste that it is: Textual names handlers by the class of a message."""
