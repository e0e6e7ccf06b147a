"""Wait until an app has nothing left to do, in far less time than Textual's own pilot takes for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, process_time

from textual._context import active_app

STEP_S = 0.002
"""Between two looks at the processor time of this process."""
BUSY_SHARE = 0.15
"""A step in which the process took more than this part of a core was not quiet."""
QUIET_STEPS = 3
LONGEST_S = 1.0
"""As with Textual: an app that never rests is left to the test after this time."""


async def until_quiet(min_sleep: float = 0.0, max_sleep: float = LONGEST_S) -> None:
    """Return once this process has rested for three steps of 2 ms and no thread of the event loop has work.

    It stands in for `textual._wait.wait_for_idle`, which sleeps for at least 20 ms, twice for each key: at some
    ten thousand keys, that was a third of the suite.
    """
    began = monotonic()
    quiet = 0
    while quiet < QUIET_STEPS or monotonic() - began < min_sleep:
        step_began, before = monotonic(), process_time()
        if step_began - began >= max_sleep:
            return
        await asyncio.sleep(STEP_S)
        took = monotonic() - step_began
        resting = process_time() - before < BUSY_SHARE * took and not threads_work()
        quiet = quiet + 1 if resting and not paint() else 0


def paint() -> bool:
    """Let the screens do what they have put off until their next frame, up to 17 ms from now. Return whether there was any."""
    app = active_app.get(None)
    waiting = (
        [screen for screen in app.screen_stack if screen._update_timer._active.is_set()]
        if app and app.is_running
        else []
    )
    for screen in waiting:
        screen._on_timer_update()
    return bool(waiting)


def threads_work() -> bool:
    """Whether calls that were handed to the threads of the event loop have not ended."""
    pool = getattr(asyncio.get_running_loop(), "_default_executor", None)
    if not isinstance(pool, ThreadPoolExecutor):
        return False
    idle: int = pool._idle_semaphore._value
    return pool._work_queue.qsize() > 0 or idle < len(pool._threads)
