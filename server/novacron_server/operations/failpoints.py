"""Named places where a test can make the server crash, pause or fail. Only NOVACRON_FAILPOINTS turns them on.

`vm.create:defined=crash,vm.stop:asked=pause,vm.create:uploaded=error`. `pause` waits until the file named by
NOVACRON_FAILPOINT_RELEASE exists. A server in production mode refuses to start with any of them set.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from novacron_core import errors

VARIABLE = "NOVACRON_FAILPOINTS"


def active() -> dict[str, str]:
    """Failpoint name → its action."""
    pairs = (item.partition("=") for item in os.environ.get(VARIABLE, "").split(",") if item)
    return {name.strip(): action.strip() for name, _, action in pairs}


async def failpoint(name: str) -> None:
    """Do what the environment sets for `name`, usually nothing. Raises Internal for `error`."""
    action = active().get(name) if VARIABLE in os.environ else None
    if action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "error":
        raise errors.Internal(f"failpoint {name}")
    elif action == "pause":
        release = Path(os.environ.get("NOVACRON_FAILPOINT_RELEASE", "/nonexistent"))
        while not release.exists():  # noqa: ASYNC110 - another process creates the file
            await asyncio.sleep(0.02)
