"""The groups of tests of `make test-fast`, `make test` and `make torture`. Marks are set from a test's fixtures."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
FAST_FOLDERS = ("architecture", "core", "tui", "server")
"""The tests in other folders start the program itself."""
LIBVIRTD_FIXTURES = frozenset({"storage", "libvirtd_named", "qemu"})
HEAVY_FIXTURES = LIBVIRTD_FIXTURES | {"postgres"}
SLOW_FILES = (
    "test_embedded.py",
    "test_transactions.py",
    "test_scale.py",
    "test_every_key.py",
    "test_terminal_use.py",
    "test_server_watch.py",
)
"""Without a heavy fixture, but with a PostgreSQL of their own or too long for the fast lane."""
TORTURE_FILES = (
    "test_every_key.py",
    "test_kills_during_moves.py",
    "test_kills_during_automatic_moves.py",
    "test_pulled_plugs.py",
    "test_moves_of_writing_guests.py",
)
MUST_RUN = "NOVACRON_TESTS_MUST_RUN"
"""Set by CI: a skipped test of libvirt, storage or faults fails, because a skipped suite proves nothing."""

hypothesis.settings.register_profile("torture", max_examples=5000, deadline=None)
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")
"""`make test` gives the same verdict on the same tree; new inputs are found by `make torture` and become examples."""


def set_marks(items: Iterable[pytest.Item]) -> None:
    """Mark each test: `fast` (no guest, no private libvirtd or PostgreSQL), `libvirtd`, `torture` (has a long form)."""
    for item in items:
        folder = item.path.relative_to(ROOT).parts[0]
        uses = set(getattr(item, "fixturenames", ()))
        if uses & LIBVIRTD_FIXTURES or folder == "faults":
            item.add_marker("libvirtd")
        heavy = bool(uses & HEAVY_FIXTURES) or any(item.get_closest_marker(name) for name in ("qemu", "slow"))
        if folder in FAST_FOLDERS and not heavy and item.path.name not in SLOW_FILES:
            item.add_marker("fast")
        fuzz = getattr(getattr(item, "function", None), "is_hypothesis_test", False)
        if folder == "faults" or item.path.name in TORTURE_FILES or fuzz:
            item.add_marker("torture")


def fail_if_it_must_run(item: pytest.Item, report: pytest.TestReport) -> None:
    """Turn a skip into a failure if CI relies on the test."""
    relied_on = any(item.get_closest_marker(name) for name in ("libvirtd", "qemu"))
    if report.skipped and relied_on and os.environ.get(MUST_RUN):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must run here ({MUST_RUN} is set), and was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_it_must_run(item, report)
    return report


def pytest_collection_modifyitems(items: list[Any]) -> None:
    set_marks(items)
