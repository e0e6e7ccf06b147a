"""The console on the small fixed world, run in the terminal it is started in: `python -m tests.support.console.in_a_terminal CALLS [TOKEN] [--ascii] [--fleet]`.

Without TOKEN it asks for a password. What it asked the server to change is written to CALLS when it has left, one line
each, and then that it has. `--fleet`: 2,000 VMs, with storage and metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path

from novacron_tui.app import Console
from tests.support.console.metrics_world import samples
from tests.support.console.metrics_world import wire as metrics_wire
from tests.support.console.storage_world import stored
from tests.support.console.storage_world import wire as storage_wire
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import live, vm

FLEET = 2000
FLAGS = ("--ascii", "--fleet")


def main() -> None:
    calls, *token = (word for word in sys.argv[1:] if word not in FLAGS)
    app, wire = _console("".join(token))
    app.run()
    if app.fault is not None:
        raise app.fault
    changes = [f"{call.method} {call.url.path}" for call in wire.calls if call.method != "GET"]
    Path(calls).write_text("\n".join([*changes, "left"]))


def _console(token: str) -> tuple[Console, Wire]:
    plain = "--ascii" in sys.argv
    if "--fleet" not in sys.argv:
        wire = Wire()
        return console(wire, token=token, ascii=plain), wire
    wire = metrics_wire(**storage_wire().routes)
    vms = [vm(f"vm-{number:04d}", number) for number in range(FLEET)]
    return console(wire, Stream(live(), stored(vms=vms), samples()), token=token, ascii=plain), wire


if __name__ == "__main__":
    main()
