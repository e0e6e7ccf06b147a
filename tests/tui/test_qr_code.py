"""QR codes in the terminal: every module as it is, dark on light."""

from __future__ import annotations

import re

import pytest
import segno

from novacron_tui.terminal.qr_code import drawn

TEXT = "otpauth://totp/NovaCron:bob?secret=ABCDEFGHIJKLMNOPABCDEFGHIJKLMNOP&issuer=NovaCron"
_PIECE = re.compile(r"\x1b\[([0-9;]+)m([^\x1b]*)")
_DARK = {"16": 1, "231": 0}


def modules(lines: list[str], *, ascii_only: bool) -> list[list[int]]:
    """The modules of a drawn code, by its colours."""
    rows: list[list[int]] = []
    for line in lines:
        assert line.endswith("\x1b[0m")
        above, below = [], []
        for style, text in _PIECE.findall(line):
            colors = re.findall(r"[34]8;5;(\d+)", style)
            count = len(text) // 2 if ascii_only else len(text)
            above += [_DARK[colors[0]]] * count if colors else []
            below += [_DARK[colors[-1]]] * count if colors else []
        rows += [above] if ascii_only else [above, below]
    return rows


@pytest.mark.parametrize("ascii_only", [False, True])
def test_code_is_drawn_module_by_module(ascii_only: bool) -> None:
    wanted = [list(row) for row in segno.make(TEXT, micro=False, error="m").matrix_iter(border=2)]
    lines = drawn(TEXT, ascii_only=ascii_only)
    assert modules(lines, ascii_only=ascii_only)[: len(wanted)] == wanted
    assert len(lines) <= (len(wanted) if ascii_only else 24), "it fits a terminal of 24 lines"
    assert not ascii_only or "".join(lines).isascii()
