"""The tests of the console: their keys are pressed as fast as the app answers."""

from __future__ import annotations

import pytest

from tests.support.console.quiet import until_quiet


@pytest.fixture(autouse=True)
def quick_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pilot wait for a quiet app, instead of 40 ms a key."""
    monkeypatch.setattr("textual.app.wait_for_idle", until_quiet)
    monkeypatch.setattr("textual.pilot.wait_for_idle", until_quiet)
