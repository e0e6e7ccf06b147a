"""The console on the small fixed world, run in the terminal it is started in: `python -m tests.support.console.in_a_terminal CALLS [TOKEN] [--ascii]`.

Without TOKEN it asks for a password. What it asked the server to change is written to CALLS when it has left, one line
each, and then that it has.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.console.wire import Wire, console


def main() -> None:
    wire = Wire()
    calls, *token = (word for word in sys.argv[1:] if word != "--ascii")
    app = console(wire, token="".join(token), ascii="--ascii" in sys.argv)
    app.run()
    if app.fault is not None:
        raise app.fault
    changes = [f"{call.method} {call.url.path}" for call in wire.calls if call.method != "GET"]
    Path(calls).write_text("\n".join([*changes, "left"]))


if __name__ == "__main__":
    main()
