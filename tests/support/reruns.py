"""A test that is tried again gets fresh fixtures of its module, and its first failure is printed at the end.

pytest-rerunfailures renews only those of the function. A second try on the first try's server met its own volumes and
VMs there and could not pass: the one rerun of CI caught nothing.
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    if getattr(item, "execution_count", 1) < 2:
        return
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for definition in definitions:
            if definition.scope == "module" and definition.cached_result is not None:
                definition.finish(item._request)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print why the first try failed: the plugin names the test alone, and what failed once will fail again."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.line(report.longreprtext)
