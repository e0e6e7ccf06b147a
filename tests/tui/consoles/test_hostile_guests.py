"""What a hostile guest may send: it never raises, and costs bounded time and memory; and cuts change nothing."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from novacron_tui.consoles.bittty_screen import BitttyScreen
from novacron_tui.consoles.emulator import TerminalEmulator
from novacron_tui.consoles.guest_stream import MAX_NUMBER, GuestStream
from novacron_tui.consoles.pyte_screen import PyteScreen
from novacron_tui.consoles.screen_rows import ScreenRow
from novacron_tui.terminal.safe_text import harmful
from tests.support.guest_output import CORPUS

HOSTILE: dict[str, bytes] = {
    "OSC without end": b"\x1b]0;" + b"x" * 4_000_000,
    "OSC of megabytes": (b"\x1b]52;c;" + b"QUJD" * 200_000 + b"\x07") * 2,
    "DCS without end": b"\x1bPq" + b"#0;2;0;0;0~~@@" * 60_000,
    "APC without end": b"\x1b_" + b"G" * 4_000_000,
    "PM and SOS": (b"\x1b^" + b"p" * 1_000_000 + b"\x1b\\" + b"\x1bX" + b"s" * 1_000_000 + b"\x1b\\"),
    "strings in strings": b"\x1b]0;" * 60_000,
    "a million parameters": b"\x1b[" + b"1;" * 500_000 + b"m",
    "a long number": b"\x1b[" + b"9" * 1_000_000 + b"C",
    "intermediates": b"\x1b[" + b"!" * 1_000_000 + b"p" + b"\x1b" + b"(" * 50_000,
    "repeat": b"a\x1b[999999999b" * 600,
    "insert lines": b"\x1b[999999999L" * 600,
    "delete characters": b"\x1b[999999999P\x1b[999999999@" * 2_500,
    "scroll": b"\x1b[999999999S\x1b[999999999T" * 500,
    "move": b"\x1b[999999999;999999999H\x1b[999999999A\x1b[999999999D" * 2_500,
    "tabs": b"\x1b[999999999I\x1b[999999999Z\x1b[3g\x1bH" * 600,
    "combining": b"a" + "\u0301".encode() * 30_000,
    "wide": "日".encode() * 20_000,
    "resets": b"\x1bcx" * 200,
    "erase": b"\x1b[2Jx" * 600,
    "alignment": b"\x1b#8" * 200,
    "alternate": b"\x1b[?1049h\x1b[?1049l" * 500,
    "queries": b"\x1b[6n\x1b[c\x1b]11;?\x07" * 600,
    "bells": b"\x07" * 30_000,
    "styles": b"".join(b"\x1b[38;2;%d;%d;%dmx" % (n % 251, n % 241, n % 239) for n in range(12_000)),
    "links": b"".join(b"\x1b]8;;http://x/%d\x07x" % n for n in range(12_000)),
    "title stack": b"\x1b]0;abc\x07\x1b[22t" * 8_000,
    "SGR stack": b"\x1b[#{" * 20_000,
    "macros": (b"\x1bP1;0;1!z" + b"1b5b312a7a" * 100 + b"\x1b\\\x1b[1*z") * 500,
    "printer": b"\x1b[5i" + b"lost?\r\n" * 2_500,
    "VT52": b"\x1b[?2l\x1bY" + b"abc" * 2_500,
    "sizes": b"\x1b[8;9999;9999t\x1b[?40h\x1b[?3h" * 600,
    "charsets": b"\x1b(0\x1b)0\x0e\x1bn\x1b~\x1bN\x1bO" * 600,
    "noise": bytes(range(256)) * 200,
    "margins": b"\x1b[?69h\x1b[5;10s\x1b[9999;1r\x1b[3;4r\n" * 2_500,
}
ENDLESS = ("OSC without end", "DCS without end", "APC without end", "a million parameters", "a long number")


def state(of: TerminalEmulator) -> tuple[object, ...]:
    rows = tuple(of.line(line) for line in range(of.first_line, of.end_line))
    return rows, of.cursor, of.modes, of.title, of.bells, of.faults, of.take_answers()


def fed(pieces: list[bytes], make: Callable[..., TerminalEmulator] = TerminalEmulator) -> TerminalEmulator:
    of = make(40, 8, scrollback_lines=50, now=lambda: 0.0)
    for piece in pieces:
        of.feed(piece)
    return of


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_output_costs_bounded_time_and_memory(name: str) -> None:
    """Generous bounds: an emulator that keeps or repeats what it should not is over them by orders of magnitude."""
    data = HOSTILE[name]
    of = TerminalEmulator(scrollback_lines=100)
    of.feed(b"warm up\r\n" * 200)
    tracemalloc.start()
    try:
        began = time.process_time()
        for at in range(0, len(data), 4096):
            of.feed(data[at : at + 4096])
            of.take_answers()
        took = time.process_time() - began
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert of.faults == 0
    assert grown < 20_000_000, "bittty keeps the last 10,000 styles"
    assert took < 20
    of.feed(b"\x1b\\\x18\x1bc\x1b[mstill here")
    assert of.line(of.top_line) == (("still here", of.line(of.top_line)[0][1]),)
    assert of.size == (80, 24)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_step_of_hostile_output_takes_long(name: str) -> None:
    """So that a key is answered between two of them. The best of three: a busy machine, or a collection of garbage, makes
    any single step long."""

    def longest(data: bytes) -> float:
        of = TerminalEmulator()
        found, began = 0.0, time.thread_time()
        done = of.feed(data, 0.0)
        while not done:
            now = time.thread_time()
            found, began = max(found, now - began), now
            done = of.feed(b"", 0.0)
        return found

    assert min(longest(HOSTILE[name][:300_000]) for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_costs_the_same_per_byte(name: str) -> None:
    """As a ratio: twice as much takes about twice as long, not four times."""

    def took(data: bytes) -> float:
        of = TerminalEmulator()
        began = time.process_time()
        for at in range(0, len(data), 512):
            of.feed(data[at : at + 512])
        return time.process_time() - began

    data = HOSTILE[name][:1_000_000]
    short = min(took(data[: len(data) // 4]) for _ in range(3))
    assert min(took(data) for _ in range(3)) < 10 * short + 0.05


SEQUENCES = st.sampled_from(
    [data[at : at + 12] for data in CORPUS.values() for at in range(0, len(data) - 12, 7)]
    + [b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b\\", b"\x07", b"\x1b(0", b"\x1b#8", b"\x1b[?1049h", b"\x1b[?1049l", b"\x18"]
    + [b"\x1b[3;5r", b"\x1b[?6h", b"\x1b[4h", b"\x1b[?7l", b"\x1b[999b", b"\x1b[2S", b"\x1b[2T", b"\x1b[3J", b"\x1b[!p"]
    + [
        "日".encode(),
        "\u0301".encode(),
        "👍🏽".encode(),
        "\u202e".encode(),
        b"\x1b7",
        b"\x1b8",
        b"\r\n",
        b"\t",
        b"\x08",
    ]
)
OUTPUT = st.lists(st.one_of(SEQUENCES, st.binary(max_size=8)), max_size=40).map(b"".join)


@given(data=OUTPUT, cuts=st.lists(st.integers(0, 400), max_size=12))
@example(data=b"\x1b]Pabcdefgx\x1b]Ry", cuts=[2, 3, 7])
@example(data="a\u0301".encode() + b"\x1b[3b\x1b]0;t\x1b\\", cuts=[1, 2, 4, 6, 12])
def test_cuts_change_nothing_and_nothing_raises(data: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(bounds)]
    whole = state(fed([data]))
    assert whole == state(fed(pieces))
    assert whole == state(fed([data[at : at + 1] for at in range(len(data))]))
    assert whole[5] == 0, "no fault of the emulator"


@given(data=OUTPUT, sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), min_size=1, max_size=4))
def test_sizes_may_change_at_any_time(data: bytes, sizes: list[tuple[int, int]]) -> None:
    of = TerminalEmulator(40, 8)
    for at, size in enumerate(sizes):
        of.feed(data[at * len(data) // len(sizes) : (at + 1) * len(data) // len(sizes)])
        of.resize(*size)
    of.feed(data)
    assert of.faults == 0
    check(of)


@given(data=OUTPUT)
@pytest.mark.parametrize("make_screen", [BitttyScreen, PyteScreen])
def test_every_cell_is_as_wide_as_it_says_and_harmless(make_screen: Callable[..., BitttyScreen], data: bytes) -> None:
    of = TerminalEmulator(40, 8, make_screen=make_screen)
    of.feed(data)
    check(of)


def check(of: TerminalEmulator) -> None:
    columns, rows = of.size
    for line in range(of.top_line, of.end_line):
        row: ScreenRow = of.line(line)
        text = "".join(text for text, _ in row)
        assert cell_len(text) <= columns
        assert not [char for char in text if harmful(char) or char in "\n\t"]
    assert 0 <= of.cursor.column < columns
    assert 0 <= of.cursor.row < rows


@given(data=OUTPUT)
def test_what_is_handed_on_is_whole_and_bounded(data: bytes) -> None:
    """Only whole sequences with small numbers, no C1 controls, no strings."""
    for step in GuestStream().steps(data):
        if step.kind == "write":
            assert not any("\x80" <= char <= "\x9f" for char in step.text)
            for part in step.text.split("\x1b")[1:]:
                assert part[:1] not in ("]", "P", "^", "_", "X", "")
                numbers = [
                    number for number in part[1:].split("m")[0].replace(":", ";").split(";") if number.isdecimal()
                ]
                assert all(int(number) <= MAX_NUMBER for number in numbers if "m" not in part)


def test_a_fault_of_the_emulator_resets_it_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    of = TerminalEmulator()
    of.feed(b"one\r\n" * 30)
    monkeypatch.setattr(of._screen, "write", lambda text: 1 / 0)
    of.feed(b"two")
    of.feed(b"three")
    assert of.faults == 1
    assert of.line(of.top_line)[0][0] == "three"
    assert of.line(0)[0][0] == "one", "the scrollback is kept"
