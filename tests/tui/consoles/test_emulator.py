"""The emulator against pyte, with its differences named, and what it answers and keeps."""

from __future__ import annotations

import re
import subprocess
import sys

import pyte
import pytest

from novacron_tui.consoles.bittty_screen import BitttyScreen
from novacron_tui.consoles.emulator import (
    ANSWERS_PER_S,
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_TITLE,
    TerminalEmulator,
    TerminalModes,
)
from novacron_tui.consoles.guest_screen import MakeScreen
from novacron_tui.consoles.pyte_screen import PyteScreen
from novacron_tui.consoles.screen_rows import BOLD, DIM, TRUE_COLOR, UNDERLINE, CellStyle, ScreenRow, text_of
from tests.support.guest_output import CORPUS

SCREENS = pytest.mark.parametrize("make_screen", [BitttyScreen, PyteScreen])
TEXT_DIFFERS = {
    ("htop", 7): "pyte wraps first when the cursor was moved up or down from a full line; xterm does not",
    ("bash", 4): "pyte has no CSI Z and I",
    ("regions", 5): "in origin mode pyte ignores rows beyond the region; xterm stops at its end",
    ("regions", 9): "the same",
    ("wide", 6): "pyte puts half of a wide character into the last column; xterm wraps it",
    ("wide", 7): "the same",
    ("wide", 9): "pyte leaves half of a wide character that was written over; xterm leaves a blank",
}
"""(sample, row): why. In all of them bittty is right."""
PYTE_COMPOSES = {("wide", 1)}
"""pyte alone writes e + U+0301 as one character; they look the same."""
RAW_DIFFERS = {
    ("dialog", row): "pyte's byte stream ignores character sets in UTF-8; xterm does not" for row in range(4, 12)
}


def emulator(
    make_screen: MakeScreen = BitttyScreen, data: bytes = b"", size: tuple[int, int] = (80, 24)
) -> TerminalEmulator:
    made = TerminalEmulator(*size, make_screen=make_screen)
    made.feed(data)
    return made


def shown(of: TerminalEmulator) -> list[str]:
    return [text_of(of.line(line)) for line in range(of.top_line, of.end_line)]


def kept(of: TerminalEmulator) -> list[str]:
    return [text_of(of.line(line)) for line in range(of.first_line, of.end_line)]


@pytest.mark.parametrize("name", CORPUS)
def test_screens_are_those_of_pyte_where_no_difference_is_named(name: str) -> None:
    ours, theirs = emulator(BitttyScreen, CORPUS[name]), emulator(PyteScreen, CORPUS[name])
    assert (ours.faults, theirs.faults) == (0, 0)
    assert ours.cursor == theirs.cursor
    assert ours.modes == theirs.modes
    assert kept(ours)[: ours.top_line] == kept(theirs)[: theirs.top_line]
    differing = {(name, row) for row, (a, b) in enumerate(zip(shown(ours), shown(theirs), strict=True)) if a != b}
    assert differing == {each for each in TEXT_DIFFERS if each[0] == name}


@pytest.mark.parametrize("name", CORPUS)
def test_screens_are_those_of_pyte_alone(name: str) -> None:
    """Without anything of ours before it: what GuestStream drops changes nothing that is seen."""
    screen = pyte.Screen(80, 24)
    pyte.ByteStream(screen).feed(CORPUS[name])
    ours = shown(emulator(BitttyScreen, CORPUS[name]))
    differing = {(name, row) for row, text in enumerate(screen.display) if text.rstrip() != ours[row]}
    assert differing - PYTE_COMPOSES - set(RAW_DIFFERS) == {each for each in TEXT_DIFFERS if each[0] == name}


def test_styles_are_those_of_pyte_but_for_what_it_lacks() -> None:
    """pyte has no dim, and turns the 256 colours into true ones."""
    ours, theirs = emulator(BitttyScreen, CORPUS["styles"]), emulator(PyteScreen, CORPUS["styles"])
    for row in range(2, 4):
        assert ours.line(row) == theirs.line(row)
    first = dict(ours.line(0))
    assert first["bold"] == CellStyle(flags=BOLD)
    assert first["dim"] == CellStyle(flags=BOLD | DIM)
    assert first["und"] == CellStyle(flags=UNDERLINE)
    assert dict(ours.line(1))["navy"] == CellStyle(208, 17)
    assert dict(ours.line(2))["both"] == CellStyle(TRUE_COLOR + 0x010203, TRUE_COLOR + 0xC86432)


@pytest.mark.parametrize(
    ("data", "row"),
    [
        (b"\x1b[44mabc\x1b[7m\x1b[4m\x1b[1;1H\x1b[2X", (("  ", CellStyle(-1, 4)), ("c", CellStyle(-1, 4)))),
        (b"abc\x1b[4;44m\x1b[1;2H\x1b[2@", (("a", CellStyle()), ("  ", CellStyle(-1, 4)), ("bc", CellStyle()))),
        (b"abc\x1b[44m\x1b[1;1H\x1b[1P\x1b[1;4H\x1b[m\x1b[K", (("bc", CellStyle()),)),
    ],
    ids=["ECH", "ICH", "DCH"],
)
def test_erased_and_inserted_cells_take_the_background_alone(data: bytes, row: ScreenRow) -> None:
    """As in xterm 407: bittty took underline and reverse too."""
    merged: list[tuple[str, CellStyle]] = []
    for text, style in row:
        merged[-1:] = (
            [(merged[-1][0] + text, style)] if merged and merged[-1][1] == style else [*merged[-1:], (text, style)]
        )
    assert emulator(data=data).line(0)[: len(merged)] == tuple(merged)


@SCREENS
def test_the_alternate_screen_is_empty_and_the_main_one_comes_back(make_screen: MakeScreen) -> None:
    ours = emulator(make_screen, b"one\r\ntwo\x1b[?1049hover\x1b[?1049l\x1b[?1049h")
    assert ours.modes.alternate_screen
    assert shown(ours) == [""] * 24
    ours.feed(b"x\r\n" * 60 + b"\x1b[?1049l!")
    assert not ours.modes.alternate_screen
    assert shown(ours)[:2] == ["one", "two!"]
    assert ours.first_line == ours.top_line == 0, "nothing of an alternate screen is kept"


@SCREENS
def test_lines_that_leave_the_top_are_kept_up_to_a_bound(make_screen: MakeScreen) -> None:
    ours = TerminalEmulator(20, 4, scrollback_lines=10, make_screen=make_screen)
    ours.feed(b"".join(b"line %d\r\n" % number for number in range(100)))
    assert kept(ours) == [*(f"line {number}" for number in range(87, 100)), ""]
    assert text_of(ours.line(90)) == "line 90"
    assert ours.line(3) == ours.line(1000) == ()
    ours.feed(b"\x1b[3J")
    assert ours.first_line == ours.top_line == 97
    assert shown(ours)[0] == "line 97"


@SCREENS
@pytest.mark.parametrize("size", [(80, 10), (80, 40), (30, 24), (120, 24), (30, 8), (120, 50), (2, 1)])
def test_resizing_loses_no_line_and_keeps_the_cursor_on_its_text(
    make_screen: MakeScreen, size: tuple[int, int]
) -> None:
    ours = emulator(make_screen, b"".join(b"line %d\r\n" % number for number in range(30)) + b"prompt# ")
    ours.resize(*size)
    if size[0] >= 30:
        assert [line for line in kept(ours) if line] == [*(f"line {number}" for number in range(30)), "prompt#"]
        assert shown(ours)[ours.cursor.row] == "prompt#"
    ours.feed(b"ls")
    ours.resize(80, 24)
    assert ours.faults == 0
    if size[0] >= 30:
        assert "".join(kept(ours)).endswith("prompt# ls")


def test_the_main_screen_survives_a_resize_below_the_alternate_one() -> None:
    ours = emulator(data=b"".join(b"line %d\r\n" % number for number in range(20)) + b"prompt# \x1b[?1049hvim")
    ours.resize(60, 10)
    ours.feed(b"\x1b[?1049lls")
    assert ours.faults == 0
    assert [line for line in kept(ours) if line] == [*(f"line {number}" for number in range(20)), "prompt# ls"]


def test_sizes_are_bounded() -> None:
    ours = emulator()
    ours.resize(10**6, 10**6)
    assert ours.size == (MAX_COLUMNS, MAX_ROWS)
    ours.resize(-5, 0)
    assert ours.size == (2, 1)
    ours.feed(b"\x1b[8;50;132t\x1b[?40h\x1b[?3h")
    assert ours.size == (2, 1), "a guest does not resize"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"ab\x1b[6n", b"\x1b[1;3R"),
        (b"\x1b[?6n", b"\x1b[?1;1R"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[c", b"\x1b[?62;22c"),
        (b"\x1b[0c\x1bZ", b"\x1b[?62;22c" * 2),
        (b"\x1b[>c", b"\x1b[>1;10;0c"),
        (b"\x1b[18t", b"\x1b[8;24;80t"),
        (b"\x1b[?2004h\x1b[?2004$p", b"\x1b[?2004;1$y"),
        (b"\x1b[?2004$p", b"\x1b[?2004;2$y"),
        (b"\x1b]11;?\x07", b"\x1b]11;rgb:1010/1414/1b1b\x1b\\"),
        (b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:cdcd/d6d6/e0e0\x1b\\"),
    ],
)
def test_a_guest_is_answered(query: bytes, answer: bytes) -> None:
    ours = emulator(data=query)
    assert ours.take_answers() == answer
    assert ours.take_answers() == b""


@pytest.mark.parametrize(
    "query",
    [
        b"\x1b]0;rm -rf /\r\x07\x1b[21t\x1b[20t",
        b"\x1bP$qrm -rf /\x1b\\",
        b"\x1bP+q726d\x1b\\",
        b"\x1b]52;c;cm0K\x07\x1b]52;c;?\x07",
        b"\x1b]50;rm\x07\x1b]50;?\x07",
        b"\x1b]4;1;?\x07\x1b]4;1;rgb:72/6d/0d\x07",
        b"\x05",
        b"\x1b[?1337$p\x1b[1337$p",
        b"secret\x1b[1;1;1;1;1;6*y",
        b"\x1b[>q\x1b[=c\x1b[?u\x1b[1$w\x1b[1$u\x1b[?26n\x1b[?63n\x1b[x",
        b"\x1bP1;1;1!z726d0d\x1b\\\x1b[1*z",
    ],
)
def test_no_answer_has_text_that_the_guest_chose(query: bytes) -> None:
    ours = emulator(data=query * 3)
    assert ours.take_answers() == b""
    assert ours.faults == 0


def test_answers_are_bounded_in_rate() -> None:
    now = 0.0
    ours = TerminalEmulator(now=lambda: now)
    ours.feed(b"\x1b[6n" * 10_000)
    assert len(re.findall(rb"R", ours.take_answers())) == ANSWERS_PER_S
    ours.feed(b"\x1b[6n")
    assert ours.take_answers() == b""
    now = 1.5
    ours.feed(b"\x1b[6n")
    assert ours.take_answers() == b"\x1b[1;1R"


def test_titles_are_harmless_and_bounded() -> None:
    ours = emulator(data="\x1b]0;a\x9b31mb\u202ec\td".encode() + b"\x07")
    assert ours.title == "a·31mb·c d"
    ours.feed(b"\x1b]2;" + b"x" * 100_000 + b"\x1b\\after")
    assert ours.title == "x" * MAX_TITLE
    assert shown(ours)[0] == "after"
    ours.feed(b"\x1b]2;lost\rafter\nhere\x07")
    assert shown(ours)[1:2] != [""], "a string that never ends takes one line at most"


@SCREENS
def test_modes_and_bells(make_screen: MakeScreen) -> None:
    ours = emulator(make_screen, b"\x1b[?1;2004;1006;1002h\x1b=\x1b[?25l\x07\x07\x1b[?5h")
    assert ours.modes == TerminalModes(
        application_cursor=True,
        application_keypad=True,
        bracketed_paste=True,
        mouse_wanted=True,
        cursor_visible=False,
        reverse_screen=True,
    )
    assert ours.bells == 2
    ours.feed(b"\x1bc")
    assert ours.modes == TerminalModes()


@SCREENS
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a\u202eb", "a·b"),
        ("a\u200bb", "a·b"),
        ("a\x9b31mb\x85c", "a·31mb·c"),
        ("a\u200db\ufe0fc", "abc"),
        ("e\u0301" + "\u0301" * 500 + "x", "e\u0301\u0301x"),
        ("\U0001f1e9\U0001f1eax", "DEx"),
        ("👍🏽x", "👍·x"),
        ("日本", "日本"),
        ("\u0301a", "a"),
        ("a\x00\x01\x7fb", "ab"),
        ("ab\x1b[5bc", "abbbbbbc"),
    ],
)
def test_what_cells_contain(make_screen: MakeScreen, written: str, expected: str) -> None:
    ours = emulator(make_screen, written.encode())
    assert shown(ours)[0].replace("é", "e\u0301").rstrip() == expected
    assert ours.faults == 0


def test_invalid_utf_8_is_replaced() -> None:
    assert shown(emulator(data=b"a\xff\xc3(\xe6\x97b"))[0] == "a\ufffd\ufffd(\ufffdb"


def test_bytes_that_are_missing_are_noted() -> None:
    ours = emulator(data=b"\x1b[31mred \x1b[4")
    ours.note("… 1.2 MiB skipped …")
    ours.feed(b"plain")
    assert shown(ours)[:3] == ["red", "… 1.2 MiB skipped …", "plain"]
    assert ours.line(2) == (("plain", CellStyle()),)


def test_pyte_takes_the_place_of_a_bittty_that_is_missing() -> None:
    code = """
import sys
sys.modules["bittty"] = None
from novacron_tui.consoles.emulator import TerminalEmulator
emulator = TerminalEmulator()
emulator.feed(b"\\x1b[1mhello")
print(emulator.line(0)[0][0], type(emulator._screen).__name__)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["hello", "PyteScreen"]
