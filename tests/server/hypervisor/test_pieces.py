"""The pieces of a volume's content: through a pipe, and their checksum."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_server.hypervisor.storage.pieces import SparseChecksum, read_pieces, write_piece

LENGTHS = st.integers(1, 200_000)


def checksum(*pieces: bytes | int) -> str:
    """Of data, and of holes by their lengths."""
    made = SparseChecksum()
    for piece in pieces:
        if isinstance(piece, int):
            made.add_hole(piece)
        else:
            made.add_data(piece)
    return made.result()


@given(before=LENGTHS, data=st.binary(min_size=1, max_size=100), after=LENGTHS, cut=LENGTHS)
def test_zeros_count_the_same_as_data_and_as_holes(before: int, data: bytes, after: int, cut: int) -> None:
    content = bytes(before) + data + bytes(after)
    expected = checksum(content)
    assert checksum(before, data, after) == expected
    assert checksum(content[:cut], content[cut:]) == expected
    assert checksum(bytes(before), data, after) == expected


def test_every_difference_counts() -> None:
    expected = checksum(100_000, b"x", 100_000)
    for other in ((100_001, b"x", 99_999), (100_000, b"y", 100_000), (100_000, b"x", 100_001), (200_001,)):
        assert checksum(*other) != expected


def test_terabyte_of_nothing_costs_nothing() -> None:
    assert checksum(1 << 40, b"x", 1 << 40) != checksum(1 << 40, 1 << 40, b"x")


def test_pieces_go_through_a_pipe() -> None:
    pipe = io.BytesIO()
    write_piece(pipe, b"abc")
    write_piece(pipe, b"", 1 << 40)
    written = pipe.getvalue()
    assert list(read_pieces(io.BytesIO(written))) == [(b"abc", 0), (b"", 1 << 40)]
    with pytest.raises(BrokenPipeError, match="has stopped"):
        list(read_pieces(io.BytesIO(written[:-1])))
