"""What guests print, made harmless and readable."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_tui.terminal.printed import MAX_LINE, Printed, printed_lines
from novacron_tui.terminal.safe_text import harmful

_PARTS = st.sampled_from(
    ["a", "word ", "\n", "\r", "\r\n", "\x08", "\t", "\x07", "\x1b", "\x1b[", "\x1b[31m", "\x1b[2J", "\x1b[1;1H", "\x1b]0;t",
     "\x1b]52;c;aGk=\x07", "\x1bP1$r", "\x1b\\", "\x1bc", "\x1b(0", "\x9b1m", "\x90q", "\x9c", "\u202e", "\ufffd", "é", "\x00", "m"]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("plain\r\nnext", ["plain", "next"]),
        ("\x1b[1;31mred\x1b[0m text\n", ["red text"]),
        ("\x1b]0;title\x07after\x1b]52;c;c2VjcmV0\x1b\\!\n", ["after!"]),
        ("\x1bP+q544e\x1b\\x\x1b_apc\x1b\\y\x1b(Bz\x1b=\n", ["xyz"]),
        ("10%\r20%\r100%\r\ndone\n", ["100%", "done"]),
        ("downloading 10%\rdone\n", ["doneloading 10%"]),
        ("abd\x08c\n", ["abc"]),
        ("a\tb\n", ["a       b"]),
        ("\x1b[2;29HGNU GRUB\x1b[5;3H*Debian\x1b[6;3H Advanced\n", ["", "GNU GRUB", "*Debian", " Advanced"]),
        ("bell\x07 nul\x00\n", ["bell nul"]),
        ("\u202egnp.exe\n", ["·gnp.exe"]),
        ("web-01 login: ", ["web-01 login: "]),
        ("", []),
    ],
)
def test_lines(text: str, lines: list[str]) -> None:
    assert printed_lines(text) == lines


@given(st.lists(_PARTS, max_size=40))
def test_nothing_harmful_is_left(parts: list[str]) -> None:
    for line in printed_lines("".join(parts)):
        assert "\n" not in line
        assert not any(map(harmful, line))


@given(st.lists(_PARTS, max_size=30), st.integers(1, 5))
def test_where_the_text_is_cut_does_not_matter(parts: list[str], size: int) -> None:
    text, printed = "".join(parts), Printed()
    lines = [line for at in range(0, len(text), size) for line in printed.feed(text[at : at + size])]
    assert [*lines, *printed.rest] == printed_lines(text)


@pytest.mark.parametrize(
    "flood",
    [
        "x",
        "\r",
        "\x08",
        "a\x08",
        "\x1b",
        "\x1b[",
        "\x1b]0;",
        "\x1bP",
        "\x9d",
        "\x1b[1;1H",
        "\0",
        "\u202e",
        "\t",
        "1;",
        "é",
    ],
)
def test_flood_without_a_line_end_takes_little_time(flood: str) -> None:
    printed, text = Printed(), flood * ((2 << 20) // len(flood))
    started = time.process_time()
    lines = [line for at in range(0, len(text), 1 << 20) for line in printed.feed(text[at : at + (1 << 20)])]
    assert time.process_time() - started < 4.0
    assert all(len(line) <= MAX_LINE for line in lines)
