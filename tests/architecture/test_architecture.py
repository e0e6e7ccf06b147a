"""Architecture rules that an import linter cannot express."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import novacron_core.api
from novacron_core.api.endpoint import Endpoint, Method
from novacron_core.values.roles import ALWAYS_IN_SCOPE, GRANTABLE, READ_ONLY, Permission

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server" / "novacron_server"
PUBLIC_CHANGES = {
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/invitation",
    "POST /auth/password-reset",
}
"""What somebody who has no session yet must be able to send."""


def endpoints() -> list[Endpoint[Any, Any, Any]]:
    found = {}
    for module in pkgutil.iter_modules(novacron_core.api.__path__):
        for value in vars(importlib.import_module(f"novacron_core.api.{module.name}")).values():
            if isinstance(value, Endpoint):
                found[value.key] = value
    return list(found.values())


def sources(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if "migrations/versions" not in path.as_posix()]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_only_the_hypervisor_package_imports_libvirt() -> None:
    users = {path for path in sources(SERVER) if "libvirt" in imported(path)}
    assert users, "nobody imports libvirt: this test looks in the wrong place"
    outside = {p.relative_to(SERVER).as_posix() for p in users if not p.is_relative_to(SERVER / "hypervisor")}
    assert outside == set()
    assert not [path for path in users if path.is_relative_to(SERVER / "hypervisor" / "xml")]


def test_only_repositories_and_the_database_package_import_sql() -> None:
    users = {path for path in sources(SERVER) if imported(path) & {"sqlalchemy", "psycopg", "alembic"}}
    assert users
    outside = [
        path.relative_to(SERVER).as_posix()
        for path in users
        if path.name != "repository.py" and not path.is_relative_to(SERVER / "database")
    ]
    # The notifier is a raw LISTEN connection: it has no tables and no rows.
    assert set(outside) <= {"outbox/notify.py"}


def test_routes_decide_nothing() -> None:
    for path in SERVER.rglob("routes.py"):
        assert not imported(path) & {"sqlalchemy", "psycopg", "libvirt", "litestar"}, path


def test_every_endpoint_that_changes_something_names_a_permission() -> None:
    rows = endpoints()
    assert len(rows) > 20
    open_changes = {row.key for row in rows if row.method is not Method.GET and row.permission is Permission.PUBLIC}
    assert open_changes == PUBLIC_CHANGES


def test_api_tokens_change_nothing_of_their_users_account() -> None:
    """Every API token has the permission SIGNED_IN: a change of one's own account needs one that no scope contains."""
    changes = {
        row.key for row in endpoints() if row.method is not Method.GET and row.permission is Permission.SIGNED_IN
    }
    assert changes == {"POST /auth/ws-ticket"}
    assert not {Permission.SELF_CHANGE, Permission.SELF_SIGN_IN} & (GRANTABLE | ALWAYS_IN_SCOPE | READ_ONLY)


def test_accepted_work_answers_202_with_an_operation() -> None:
    from novacron_core.api.operations import Operation

    for row in endpoints():
        if row.returns is Operation and row.changes:
            assert row.status == 202, row.key


def test_the_console_brings_no_server_into_memory() -> None:
    code = "import novacron_tui.app, novacron_tui.startup.command_line, sys; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "textual.app" in modules
    assert not modules & {"libvirt", "sqlalchemy", "psycopg", "litestar", "uvicorn", "novacron_server"}


def test_the_first_paint_waits_for_no_network_library() -> None:
    code = "import novacron_tui.app, sys; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"httpx", "websockets", "plotext", "keyring", "bittty", "pyte"}


@pytest.mark.parametrize("package", ["novacron_core", "novacron_tui", "server/novacron_server"])
def test_broad_excepts_have_a_reason(package: str) -> None:
    for path in sources(ROOT / package):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "except Exception" in line or "except BaseException" in line:
                assert "noqa: BLE001 - " in line or "raise" in _block_after(path, number), f"{path}:{number}"


def _block_after(path: Path, number: int) -> str:
    return "\n".join(path.read_text().splitlines()[number : number + 12])


def test_endpoints_are_unique() -> None:
    counted = Counter((row.method, row.path) for row in endpoints())
    assert [key for key, count in counted.items() if count > 1] == []


def test_nobody_waits_with_wait_for() -> None:
    """Before Python 3.12 it can swallow a cancellation (bpo-37658); asyncio.timeout does not."""
    for package in ("novacron_core", "novacron_tui", "server/novacron_server"):
        for path in sources(ROOT / package):
            assert "asyncio.wait_for(" not in path.read_text(), path


def public_classes(package: Path) -> list[tuple[str, str]]:
    """The public classes that a package's modules define, each with its module's path."""
    return [
        (node.name, path.relative_to(ROOT).as_posix())
        for path in sources(package)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for package in ("novacron_core", "novacron_tui", "server/novacron_server"):
        for name, path in public_classes(ROOT / package):
            places.setdefault(name, []).append(path)
    assert len(places) > 200
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_the_console_makes_no_timer_that_textual_may_lose() -> None:
    """`widgets/once.py` tells why."""
    users = [path for path in sources(ROOT / "novacron_tui") if ".set_timer(" in path.read_text()]
    assert users == []
