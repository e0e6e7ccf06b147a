"""Terminals that show less: without UTF-8, without colours, or without cursor movement."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from novacron_tui.metrics import heat_map
from novacron_tui.terminal import glyphs
from novacron_tui.terminal.capabilities import encoding_of, in_ascii, lacks_color, needs_ascii, why_not_drawable
from novacron_tui.widgets import chart
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(60)
CONSOLE = [sys.executable, "-m", "novacron_tui", "--server", "http://127.0.0.1:9"]
XTERM = {"TERM": "xterm-256color"}


class Screen(io.StringIO):
    """A terminal with an encoding."""

    def __init__(self, encoding: str = "utf-8", *, is_terminal: bool = True) -> None:
        super().__init__()
        self._encoding, self._is_terminal = encoding, is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "NOVACRON_ASCII", "PYTHONUTF8", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({}, "utf-8", "utf-8"),
        ({"LC_ALL": "C"}, "utf-8", "utf-8"),
        ({"LANG": "en_US.UTF-8"}, "utf-8", "utf-8"),
        ({"LANG": "de_DE.utf8@euro"}, "utf-8", "utf-8"),
        ({"LC_ALL": "en_US.ISO-8859-1"}, "utf-8", "iso8859-1"),
        ({"LANG": "ru_RU.KOI8-R"}, "utf-8", "koi8-r"),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "en_US.ISO-8859-1"}, "utf-8", "utf-8"),
        ({"LC_ALL": "", "LC_CTYPE": "en_US.ISO-8859-15"}, "utf-8", "iso8859-15"),
        ({"LANG": "en_US.UTF-8"}, "latin-1", "iso8859-1"),
        ({"LANG": "en_US.ISO-8859-1", "PYTHONIOENCODING": "utf-8"}, "utf-8", "utf-8"),
        ({"LANG": "en_US.ISO-8859-1", "PYTHONUTF8": "1"}, "utf-8", "utf-8"),
        ({"LANG": "xx_XX.nonsense"}, "ANSI_X3.4-1968", "ascii"),
        ({"LC_ALL": "en_US.\udcff"}, "utf-8", "utf-8"),
        ({"LC_ALL": "C.hex"}, "utf-8", "utf-8"),
        ({"LC_ALL": "C.rot13"}, "latin-1", "iso8859-1"),
        ({"LC_ALL": "C.utf-16"}, "utf-8", "utf-8"),
        ({"LC_ALL": "C.undefined"}, "utf-8", "utf-8"),
        ({"LC_ALL": "C.idna"}, "utf-8", "utf-8"),
    ],
)
def test_encoding_of_a_terminal(environment: dict[str, str], encoding: str, expected: str) -> None:
    assert encoding_of(Screen(encoding), environment) == expected
    assert needs_ascii(Screen(encoding), {**XTERM, **environment}) is (expected != "utf-8")


@pytest.mark.parametrize("kind", ["vt100", "vt220", "vt102-w", "linux", "linux-16color", "ansi", "sun-color"])
def test_terminals_without_unicode(kind: str) -> None:
    assert needs_ascii(Screen(), {"TERM": kind})
    assert not needs_ascii(Screen(is_terminal=False), {"TERM": kind}), "a file has no terminal"
    assert not needs_ascii(Screen(), {"TERM": kind, "NOVACRON_ASCII": "0"})


@pytest.mark.parametrize("kind", ["xterm", "xterm-256color", "screen", "tmux-256color", "alacritty", "linuxlike"])
def test_terminals_with_unicode(kind: str) -> None:
    assert not needs_ascii(Screen(), {"TERM": kind})
    assert needs_ascii(Screen(), {"TERM": kind, "NOVACRON_ASCII": "1"})


def test_terminals_without_colours() -> None:
    assert [lacks_color({"TERM": kind}) for kind in ("vt100", "vt220", "xterm-mono", "ansi-m")] == [True] * 4
    assert [lacks_color({"TERM": kind}) for kind in ("linux", "xterm", "")] == [False] * 3
    assert not lacks_color({"TERM": "vt220", "COLORTERM": "truecolor"})


def test_everything_that_is_drawn_has_an_ascii_form_of_the_same_width() -> None:
    sources = [Path(module.__file__ or "").read_text() for module in (glyphs, chart, heat_map)]
    drawn = {char for source in sources for char in source if not char.isascii()} | set("╭─╮│╰╯▔▁▎█…–·⠊⣿")
    assert not [char for char in drawn if len(in_ascii(char)) != 1 or not in_ascii(char).isascii()]


def test_letters_stay_where_the_encoding_has_them() -> None:
    assert in_ascii("Zoë … 名") == "Zoë ~ 名"
    assert in_ascii("Zoë … 名 Ж", "iso8859-1") == "Zoë ~ ?? ?"
    assert in_ascii("Zoë", "ascii") == "Zo?"


@pytest.mark.parametrize("kind", ["dumb", "unknown", "vt52", ""])
def test_no_console_on_a_terminal_that_cannot_show_it(kind: str) -> None:
    assert "TERM=xterm-256color" in (why_not_drawable({"TERM": kind}) or "")
    assert why_not_drawable(XTERM) is None
    for words in ([], ["--theme", "dark", "--no-ascii"]):
        with Terminal([*CONSOLE, *words], environment={"TERM": kind, "COLORTERM": ""}) as terminal:
            assert terminal.wait_end(20.0) == 2
            shown = terminal.text().split()
            assert " ".join(shown).startswith("novacron: the console cannot be drawn on this terminal")
            assert not terminal.screen.cursor.hidden


LATIN = {"LC_ALL": "en_US.ISO-8859-1"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (LATIN, []),
        ({"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}, []),
        ({"TERM": "vt220", "COLORTERM": ""}, []),
        ({}, ["--ascii"]),
    ],
)
def test_the_console_draws_in_ascii_by_itself(environment: dict[str, str], words: list[str]) -> None:
    with Terminal([*CONSOLE, *words], environment=environment) as terminal:
        terminal.see("N o v a C r o n", 20)
        terminal.see("cannot connect", 20)
        terminal.see(r"ctrl\+r retry")
        terminal.settle()
        shown = terminal.text()
        assert shown.isascii()
        assert "?" not in shown
        assert "+---" in shown
        terminal.send("\x11")
        assert terminal.wait_end(20.0) == 0


@pytest.mark.parametrize(("environment", "words"), [({"LANG": "en_US.UTF-8"}, []), ({"TERM": "vt220"}, ["--no-ascii"])])
def test_the_console_draws_fine_where_it_can_or_is_told_to(environment: dict[str, str], words: list[str]) -> None:
    with Terminal([*CONSOLE, *words], environment=environment) as terminal:
        terminal.see("█▄ █", 20)
        terminal.see("╭─", 20)


def test_states_names_and_typed_letters_in_a_terminal_of_another_encoding(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.console.in_a_terminal", str(tmp_path / "calls"), "token", "--ascii"]
    with Terminal(command, environment=LATIN) as terminal:
        terminal.see(r"web-01 .*\* running", 20)
        terminal.press("/")
        terminal.write("ë".encode("latin-1"))
        terminal.see("0 of 9")
        assert terminal.text().replace("\ufffd", "").isascii(), "the emulator reads UTF-8"
        terminal.press("esc", "?")
        terminal.see(r"\+- Keys on this screen -+\+")
