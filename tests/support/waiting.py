"""Waits for a condition, by the fair clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support.fair_clock import fair_now

T = TypeVar("T")


async def until(probe: Callable[[], Awaitable[T | None]], timeout_s: float = 15.0) -> T:
    """Call `probe` until it returns a value other than None, and return that value."""
    deadline = fair_now() + timeout_s
    while fair_now() < deadline:
        if (found := await probe()) is not None:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not seen within {timeout_s} s")


def wait_until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until `holds` returns True."""
    deadline = fair_now() + timeout_s
    while not holds():
        assert fair_now() < deadline, f"condition not true within {timeout_s:.0f} s"
        time.sleep(0.05)
