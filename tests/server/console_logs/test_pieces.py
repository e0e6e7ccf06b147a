"""Pieces of a console log and the cursors between them: nothing is lost and nothing comes twice, whatever is rotated."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_server.console_logs.pieces import LogPiece, LogWish, incomplete, read_piece
from tests.support.console_logs import NAME, RotatedLog


def read(
    log: RotatedLog, cursor: str = "", *, most: int = 1 << 20, tail: int | None = None, over: bool = False
) -> LogPiece:
    with log.opened() as files:
        return read_piece(
            files, LogWish(last_boot=False, cursor=cursor, max_bytes=most, tail_bytes=tail, over=over), None
        )


def read_rest(log: RotatedLog, cursor: str = "", most: int = 1 << 20) -> tuple[str, str]:
    """All that is there after a cursor, and the cursor after it."""
    text = ""
    while True:
        piece = read(log, cursor, most=most)
        assert piece.skipped_bytes == 0
        text, cursor = text + piece.text, piece.cursor
        if not piece.more:
            return text, cursor


@pytest.fixture
def log(tmp_path: Path) -> RotatedLog:
    return RotatedLog(tmp_path, limit_bytes=100)


_WRITES = st.lists(st.text(st.sampled_from("abc\n\x1bé€𝄞"), max_size=40), max_size=12)


@given(_WRITES, st.integers(4, 64))
def test_follower_gets_every_character_once(writes: list[str], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = RotatedLog(Path(folder), limit_bytes=80)
        cursor = got = ""
        for number, text in enumerate(writes):
            log.write(f"{number}:{text}".encode())
            new, cursor = read_rest(log, cursor, most)
            got += new
        assert got == "".join(f"{number}:{text}" for number, text in enumerate(writes))


@given(st.binary(max_size=300), st.integers(4, 50))
def test_pieces_of_noise_make_up_the_text(data: bytes, most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = RotatedLog(Path(folder), limit_bytes=90)
        log.write(data)
        text, cursor = "", ""
        for _ in range(200):
            piece = read(log, cursor, most=most, over=True)
            text, cursor = text + piece.text, piece.cursor
            if not piece.more:
                break
        assert text == data.decode(errors="replace")


@given(st.binary(max_size=12))
def test_only_a_begun_character_is_held_back(data: bytes) -> None:
    held = incomplete(data)
    assert held <= 3
    if held:
        with pytest.raises(UnicodeDecodeError, match="unexpected end"):
            data[-held:].decode()


def test_half_a_character_is_held_back_while_the_guest_runs(log: RotatedLog) -> None:
    log.write("x€".encode()[:-1])
    running = read(log)
    assert (running.text, read(log, over=True).text) == ("x", "x\ufffd")
    log.write("€".encode()[-1:])
    assert read(log, running.cursor).text == "€"


def test_rotated_away_while_followed(log: RotatedLog) -> None:
    log.write(b"first\n")
    cursor = read(log).cursor
    for number in range(60):
        log.write(f"line {number:03}\n".encode())
    piece = read(log, cursor)
    assert (piece.cut, piece.skipped_bytes) == (True, None)
    assert piece.text == log.kept.decode()


def test_deleted_while_followed_and_truncated(log: RotatedLog) -> None:
    log.write(b"0123456789" * 5)
    cursor = read(log).cursor
    log.path.write_bytes(b"new")
    piece = read(log, cursor)
    assert (piece.text, piece.cut, piece.skipped_bytes) == ("new", True, None)
    log.path.write_bytes(b"other text of the same length or more than that".ljust(80, b"."))
    assert read(log, cursor).cut
    log.path.unlink()
    gone = read(log, cursor)
    assert (gone.text, gone.cut, gone.size_bytes, gone.modified_s) == ("", True, 0, None)
    log.write(b"again")
    assert read(log, gone.cursor).text == "again"


def test_inode_that_is_used_again_is_no_old_file(log: RotatedLog) -> None:
    log.write(b"a" * 50)
    inode, offset, known = read(log).cursor.split("-")
    log.path.unlink()
    log.write(b"b" * 80)
    assert read(log, f"{log.path.stat().st_ino:x}-{offset}-{known}").cut
    del inode


def test_tail_says_what_it_leaves_out(log: RotatedLog) -> None:
    log.write(b"0123456789" * 15)
    piece = read(log, tail=25)
    assert (piece.text, piece.skipped_bytes, piece.size_bytes) == ("56789" + "0123456789" * 2, 125, 150)
    whole = read(log, tail=1000)
    assert (len(whole.text), whole.skipped_bytes) == (150, 0)


def test_piece_has_a_limit_and_says_that_there_is_more(log: RotatedLog) -> None:
    log.write(b"x" * 150)
    first = read(log, most=100)
    assert (len(first.text), first.more) == (100, True)
    second = read(log, first.cursor, most=100)
    assert (len(second.text), second.more) == (50, False)


def test_log_that_is_being_renamed_loses_no_file(log: RotatedLog) -> None:
    for letter in b"abcd":
        log.write(bytes([letter]) * 100)
    for missing in (f"{NAME}.0", NAME):  # between two of virtlogd's renames
        hidden = log.folder / "hidden"
        (log.folder / missing).rename(hidden)
        assert len(read(log).text) == 300
        hidden.rename(log.folder / missing)
    assert len(read(log).text) == 400
    files = sorted(path.name for path in log.folder.iterdir())
    assert files == sorted([NAME, *(f"{NAME}.{index}" for index in range(3))])
    assert len(list(itertools.chain(os.listdir("/proc/self/fd")))) < 200, "no descriptor stays open"
