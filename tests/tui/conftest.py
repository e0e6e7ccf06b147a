"""The tests of the console: their keys are pressed as fast as the app answers."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.support.console.quiet import until_quiet


@pytest.fixture(autouse=True, scope="module")
def garbage_is_collected() -> Iterator[None]:
    """A console leaves what there is out of collections: in a process that opens a thousand of them, all that they were."""
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def quick_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pilot wait for a quiet app, instead of 40 ms a key."""
    monkeypatch.setattr("textual.app.wait_for_idle", until_quiet)
    monkeypatch.setattr("textual.pilot.wait_for_idle", until_quiet)
