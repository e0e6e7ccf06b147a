"""How long a file and a function may be: what is longer does more than one thing, or says here why it does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = ("novacron_core", "novacron_tui", "server", "tests", "tools")
FILE_LINES, FUNCTION_LINES = 300, 40
GENERATED = "migrations/versions"
LONG = {
    "server/novacron_server/__main__.py::serve": "one parameter for each flag, with its help",
    "server/novacron_server/health/routes.py::routes": "one small answer for each health endpoint",
    "server/novacron_server/inventory/compose.py::compose_vm": "one line for each field of a VM",
    "server/novacron_server/parts.py::_build": "one line for each part, in the order they need each other",
    "server/novacron_server/vms/routes.py::routes": "one row for each endpoint",
    "server/novacron_server/volumes/changing.py::on": "what may refuse a change, in its order, and then the change",
    "novacron_tui/themes.py::_theme": "one line for each colour",
    "tests/cli/test_certificates.py::test_it_is_shown_trusted_once_and_a_changed_one_is_refused": "one story",
    "tests/journeys/test_alpine.py::test_an_image_becomes_a_vm_runs_is_stopped_and_deleted": "one story",
    "tests/journeys/test_moving.py::test_a_disk_is_moved_twice_while_its_guest_writes": "one story",
    "tests/screenshots.py::journey": "one story",
    "tests/server/hypervisor/test_real_guests.py::test_an_alpine_guest_from_nothing_to_nothing": "one story",
}
"""Functions that may be longer than the others, and why."""


def sources() -> list[Path]:
    found = [path for place in PLACES for path in (ROOT / place).rglob("*.py") if GENERATED not in path.as_posix()]
    assert len(found) > 300, "this looks in the wrong place"
    return found


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(`file::name`, lines) of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.relative_to(ROOT).as_posix()}::{node.name}", node.end_lineno - node.lineno + 1


def test_no_file_is_long() -> None:
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > FILE_LINES} == {}


def test_only_functions_with_a_reason_are_long() -> None:
    """And a reason goes when its function is short again."""
    long = {name: count for path in sources() for name, count in functions(path) if count >= FUNCTION_LINES}
    assert {name: count for name, count in long.items() if name not in LONG} == {}
    assert set(LONG) - set(long) == set()
