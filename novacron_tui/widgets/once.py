"""A call after a delay that is never lost.

Textual's `set_timer` makes a timer that skips what it is late for, also the only call that it is to make: when the process
stands still for longer than the delay between the two looks at the clock with which the timer begins, as it does in a garbage
collection or on a busy machine, nothing is ever called. A terminal that waits for its next frame then shows nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.message_pump import MessagePump
from textual.timer import Timer


def once(owner: MessagePump, delay_s: float, callback: Callable[[], object]) -> Timer:
    """Call `callback` after so many seconds, unless the owner is closed or the timer stopped before."""
    timer = Timer(owner, delay_s, callback=partial(owner.call_next, callback), repeat=0, skip=False)
    timer._start()
    owner._timers.add(timer)
    return timer
