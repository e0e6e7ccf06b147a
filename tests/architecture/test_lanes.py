"""What is skipped where it must run fails, and the lanes hold what their names say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.lanes import MUST_RUN, fail_if_it_must_run


class Item:
    """A test with these marks."""

    nodeid = "tests/faults/test_x.py::test_y"

    def __init__(self, *marks: str) -> None:
        self._marks = marks

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self._marks else None


def skipped() -> pytest.TestReport:
    longrepr = ("tests/faults/test_x.py", 3, "Skipped: needs root")
    return pytest.TestReport(Item.nodeid, ("", 3, ""), {}, "skipped", longrepr, "setup")


@pytest.mark.parametrize(
    ("marks", "value", "outcome"),
    [
        (("libvirtd",), "1", "failed"),
        (("qemu",), "1", "failed"),
        ((), "1", "skipped"),
        (("libvirtd",), "", "skipped"),
    ],
)
def test_a_skip_fails_where_the_test_must_run(
    monkeypatch: pytest.MonkeyPatch, marks: tuple[str, ...], value: str, outcome: str
) -> None:
    monkeypatch.setenv(MUST_RUN, value)
    report = skipped()
    fail_if_it_must_run(Item(*marks), report)  # type: ignore[arg-type]
    assert report.outcome == outcome
    assert "needs root" in str(report.longrepr)


def test_the_lanes_are_sorted_by_what_a_test_uses(request: pytest.FixtureRequest) -> None:
    items: list[Any] = request.session.items
    marks = {item.nodeid: {mark.name for mark in item.iter_markers()} for item in items}
    assert "fast" in marks[request.node.nodeid]
    assert not [test for test, names in marks.items() if {"fast", "qemu"} <= names or {"fast", "libvirtd"} <= names]
