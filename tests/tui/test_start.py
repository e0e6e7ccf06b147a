"""What the console may not bring along before its first paint, and what it never brings."""

from __future__ import annotations

import subprocess
import sys

SLOW = (
    "httpx",
    "websockets",
    "plotext",
    "stamina",
    "keyring",
    "msgspec",
    "novacron_core.api",
    "novacron_core.client",
    "novacron_tui.access",
    "novacron_tui.connection.session",
    "novacron_tui.vms",
)
NEVER = ("libvirt", "sqlalchemy", "litestar", "novacron_server")


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_first_paint_waits_for_no_network_library() -> None:
    modules = loaded_after("import novacron_tui.app, novacron_tui.sign_in.screen")
    assert not [name for name in SLOW if name in modules]


def test_the_whole_console_needs_nothing_of_the_server() -> None:
    modules = loaded_after(
        "import novacron_tui.app, novacron_tui.screens.vm_list, novacron_tui.vms.create, novacron_core.client"
    )
    assert not [name for name in NEVER if name in modules]
