"""Fixtures of the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture(autouse=True)
def no_pauses_between_reads() -> Iterator[None]:
    """A client repeats a read as often as ever, but at once: the pauses add up to 1.3 s wherever a server is missing."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield
