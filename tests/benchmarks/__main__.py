"""`make bench`: figures, each beside a floor measured in the same run. `make bench ARGS=paint` runs one of them,
`ARGS=heat` and `ARGS=history` those that take some minutes.

The machine's mood moves both, so the ratio is what counts. Exit code 1 when a figure is over its limit.
"""

from __future__ import annotations

import sys

from tests.benchmarks import (
    access,
    api,
    bulk,
    changes,
    console,
    console_logs,
    event_lists,
    events,
    fleet,
    heat,
    live,
    metrics,
    moves,
    paint,
    pools,
    start,
    stream,
)
from tests.benchmarks.figure import Figure, show

BENCHMARKS = {
    "paint": paint.measure,
    "start": start.measure,
    "api": api.measure,
    "access": access.measure,
    "stream": stream.measure,
    "changes": changes.measure,
    "bulk": bulk.measure,
    "console": console.measure,
    "console-log": console_logs.measure,
    "events": events.measure,
    "event-lists": event_lists.measure,
    "fleet": fleet.measure,
    "metrics": metrics.measure,
    "heat": heat.measure,
    "history": metrics.measure_history,
    "live": live.measure,
    "moves": moves.measure,
    "pools": pools.measure,
}
LONG = {"heat", "history"}
"""Only when it is named."""


def main(names: list[str]) -> int:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names or [name for name in BENCHMARKS if name not in LONG]:
        for figure in BENCHMARKS[name]():
            print(show(figure), flush=True)
            figures.append(figure)
    return 0 if all(figure.good for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
