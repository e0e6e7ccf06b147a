"""What snapshot tests of the console have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from novacron_core.api.operations import OperationState
from novacron_core.api.problem import Problem
from novacron_core.client import Disconnected
from novacron_tui.app import Console
from tests.support.console.looking import until
from tests.support.console.wire import Stream
from tests.support.console.world import (
    NOW,
    event,
    fleet,
    inventory,
    live,
    operation,
    samples,
)

SMALL, LARGE = (80, 24), (140, 45)


def busy() -> Stream:
    """Two operations run, one has failed."""
    vms = fleet()
    locked = Problem(title="internal", status=500, code="internal", detail="the disk image is locked by another guest")
    ops = [
        operation("vm.stop", vms[1]),
        operation("vm.create", vms[7], progress=0.45, step="copying the disk", eta_s=40.0),
        operation(
            "vm.start", vms[5], state=OperationState.FAILED, problem=locked, created_at=NOW - timedelta(minutes=4)
        ),
        operation("vm.pause", vms[5], state=OperationState.SUCCEEDED, created_at=NOW - timedelta(hours=2)),
    ]
    event_lines = event(11, vms[5], "vm.crashed", note="I/O error on vda")
    sampled = [samples(5 * number) for number in range(8)]
    return Stream(live(), inventory(vms, operations=ops), event_lines, *sampled)


def home(app: Console) -> bool:
    return type(app.screen).__name__ == "VMListScreen" and app.session is not None and app.session.store.loaded


def says(word: str) -> Callable[[Console], bool]:
    return lambda app: any(word in str(widget.render()) for widget in app.screen.query("Static, TextBar"))


@dataclass(frozen=True)
class Picture:
    name: str
    app: Callable[[], Console]
    ready: Callable[[Console], bool] = home
    keys: Sequence[str | Callable[[Console], bool]] = ()
    """What is pressed, and between two keys what the app must show before the next one."""
    then: Callable[[Console], bool] | None = None
    sizes: Sequence[tuple[int, int]] = field(default=(SMALL, LARGE))

    async def press(self, pilot: Any) -> None:
        """Press the keys and wait for what they lead to."""
        for key in self.keys:
            await (pilot.press(key) if isinstance(key, str) else until(pilot, partial(key, pilot.app), self.name))
        if self.then:
            await until(pilot, partial(self.then, pilot.app), self.name)


def cut() -> Stream:
    stream = busy()
    stream.say(Disconnected("the connection to the server was lost", 3.0))
    return stream
