"""What a test of the console looks at and waits for, and what its operator does all the time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from textual.widgets import Input

from novacron_tui.app import Console
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.terminal.type_ahead import REACTION_S
from novacron_tui.widgets.confirm import Confirm
from tests.support.fair_clock import fair_now

SIZE = (100, 30)
"""Columns and lines of the terminal."""


def home(app: Console) -> VMListScreen:
    assert isinstance(app.screen, VMListScreen)
    return app.screen


def loaded(app: Console) -> bool:
    return isinstance(app.screen, VMListScreen) and app.session is not None and app.session.store.loaded


def to(app: Console, name: str) -> None:
    """Put the cursor on a VM."""
    table = home(app).pane.table
    table.move_to([row.name for row in table.rows].index(name))


async def until(pilot: Any, true: Callable[[], bool], what: str = "", deadline_s: float = 20.0) -> None:
    """Wait on a condition, with a deadline."""
    end = fair_now() + deadline_s
    while not true():
        if fair_now() > end:
            raise AssertionError(f"still not so after {deadline_s} s: {what or true}")
        await pilot.pause(0.01)
    await pilot.pause()


def line_text(app: Console, id: str) -> str:
    """What the line with this id says on the screen in front."""
    from novacron_tui.widgets.text_bar import TextBar

    return app.screen.query_one(f"#{id}", TextBar).text


def text(app: Console) -> str:
    """Everything that stands on the screen in front."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def react(pilot: Any) -> None:
    """Wait as long as an operator needs at least to read what has just appeared."""
    seen_at = monotonic()
    await until(pilot, lambda: monotonic() > seen_at + REACTION_S, "time to read")


async def answer(pilot: Any, *keys: str) -> None:
    """Press keys on the question in front, once it takes answers."""
    await until(pilot, lambda: isinstance(pilot.app.screen, Confirm) and pilot.app.screen.asked_at is not None)
    await react(pilot)
    await pilot.press(*keys)


async def fill(pilot: Any, *values: str) -> None:
    """Put each value into the field with the cursor, as a paste does, and press enter."""
    for value in values:
        field = pilot.app.screen.focused
        assert isinstance(field, Input), field
        field.value = value
        await pilot.pause()
        await pilot.press("enter")
