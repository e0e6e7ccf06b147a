"""A repeated test gets new module fixtures, and its first failure is printed at the end.

pytest-rerunfailures renews only function fixtures. The second run on the first run's server found its own volumes and
VMs there and could not pass, so the one rerun of CI was useless.
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
    """Print why the first run failed: the plugin prints only the test's name, and what failed once will fail again."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.line(report.longreprtext)
