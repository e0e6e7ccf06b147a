"""An app with nothing but a terminal, which handles keys as the console does, and what guests send in tests."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from novacron_tui.consoles.terminal_view import TerminalView
from novacron_tui.terminal.themes import THEMES
from novacron_tui.terminal.type_ahead import TypeAhead, taker_of_keys

EVERY_KEY = (
    *"abcdefghijklmnopqrstuvwxyzABCXYZ0123456789",
    *(f"ctrl+{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *(f"f{number}" for number in range(1, 21)),
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete", "backspace", "tab"),
    *("shift+tab", "enter", "escape", "space", "slash", "colon", "question_mark", "full_stop", "comma", "ctrl+@"),
    *("ctrl+up", "shift+left", "ctrl+delete", "ctrl+right_square_bracket", "ctrl+backslash", "alt+x"),
)


class TerminalApp(App[None]):
    """`sent` is what the terminal sends to the guest, `leaked` the keys that reached a binding, `said` the messages."""

    ENABLE_COMMAND_PALETTE = True
    CSS = "Input { display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"leak('{key}')", priority=True) for key in EVERY_KEY[::2]),
        *(Binding(key, f"leak('{key}')") for key in EVERY_KEY[1::2]),
    ]

    def __init__(self, theme: str = "novacron-dark", **more: Any) -> None:
        super().__init__()
        for known in THEMES:
            self.register_theme(known)
        self.theme = theme
        self.sent: list[bytes] = []
        self.leaked: list[str] = []
        self.said: list[str] = []
        self.asked: list[str] = []
        self.type_ahead = TypeAhead(self)
        self.view = TerminalView(self.sent.append, **more)

    def compose(self) -> ComposeResult:
        yield self.view
        yield Input()

    def on_mount(self) -> None:
        self.view.focus()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            if self.type_ahead.defers(event):
                return
            if (taker := taker_of_keys(self)) is not None:
                taker.take_key(event) if isinstance(event, events.Key) else taker.take_paste(event.text)
                return
        await super().on_event(event)

    def action_leak(self, key: str) -> None:
        self.leaked.append(key)

    @on(TerminalView.Detached)
    def _detached(self) -> None:
        self.said.append("detached")

    @on(TerminalView.PasteAsked)
    def _asked(self, event: TerminalView.PasteAsked) -> None:
        self.asked.append(event.text)

    @property
    def typed(self) -> bytes:
        """All that was sent."""
        return b"".join(self.sent)


class ViewingApp(TerminalApp, inherit_bindings=False):
    """Without bindings: the keys of view mode reach the terminal."""

    BINDINGS: ClassVar[list[BindingType]] = []


def rows_of(view: TerminalView) -> list[str]:
    """What the terminal paints, row by row."""
    return [view.render_line(y).text for y in range(view.size.height)]


SHELL = (
    b"\x1b[1;32mroot@tiny\x1b[0m:\x1b[1;34m~\x1b[0m# ls --color /\r\n"
    b"\x1b[0m\x1b[01;36mbin\x1b[0m   \x1b[01;34mdev\x1b[0m  \x1b[01;34metc\x1b[0m   \x1b[01;36mlib\x1b[0m  "
    b"\x1b[01;34mproc\x1b[0m  \x1b[30;42mtmp\x1b[0m  \x1b[01;34musr\x1b[0m\r\n"
    b"\x1b[01;32minit\x1b[0m  linuxrc  \x1b[01;31mrootfs.tar.gz\x1b[0m  \x1b[40;33;01mttyS0\x1b[0m\r\n"
    b"\x1b[1;32mroot@tiny\x1b[0m:\x1b[1;34m~\x1b[0m# systemctl status nginx\r\n"
    b"\x1b[0;1;32m\xe2\x97\x8f\x1b[0m nginx.service - A high performance web server\r\n     Loaded: loaded "
    b"(/lib/systemd/system/nginx.service; \x1b[0;1;32menabled\x1b[0m)\r\n     Active: \x1b[0;1;32mactive (running)"
    b"\x1b[0m since Fri 2026-11-27 09:14:02 UTC; 2h ago\r\n"
    b"[ 4211.503] \x1b[33mwarning\x1b[0m: \x1b[1;31mnf_conntrack: table full, dropping packet\x1b[0m\r\n"
    b"\x1b[1;32mroot@tiny\x1b[0m:\x1b[1;34m~\x1b[0m# "
)


def editor(columns: int, rows: int) -> bytes:
    """The screen of an editor like vim."""
    text = [
        b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[2J\x1b[H",
        b"\x1b[94m# /etc/nginx/nginx.conf\x1b[0m\r\n\x1b[33muser\x1b[0m www-data;\r\n\x1b[33mworker_processes\x1b[0m \x1b[35mauto\x1b[0m;\r\n",
        b"\x1b[33mevents\x1b[0m {\r\n    \x1b[33mworker_connections\x1b[0m \x1b[31m768\x1b[0m;\r\n}\r\n\r\n\x1b[33mhttp\x1b[0m {\r\n",
        b'    \x1b[33minclude\x1b[0m \x1b[32m"/etc/nginx/mime.types"\x1b[0m;\r\n    \x1b[96m# \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e caf\xc3\xa9\x1b[0m\r\n}\r\n',
    ]
    tildes = b"".join(b"\x1b[%d;1H\x1b[94m~\x1b[0m" % row for row in range(12, rows))
    status = b"\x1b[%d;1H\x1b[7m nginx.conf [+]%*s\x1b[0m" % (rows - 1, columns - 15, b"5,24   All ")
    return b"".join(text) + tildes + status + b"\x1b[%d;1H\x1b[1m-- INSERT --\x1b[0m\x1b[5;24H" % rows
