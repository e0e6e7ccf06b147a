"""Type-ahead: each key takes full effect before the next one is dispatched.

Textual dispatches keys to the focused widget as they arrive, while the effects of a key (moving the focus, opening a
screen) happen later, by messages. On a slow connection several keys arrive at once; without this the second one would
go to the field or screen that the first one is leaving. The effects of a key are also painted in one frame; without
this the list, the status line and the footer would be updated in separate frames.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, runtime_checkable

from textual.app import App
from textual.dom import DOMNode
from textual.events import Key, Paste
from textual.message import Message
from textual.screen import Screen

Typed = Key | Paste
_MAX_DELAY_S = 3.0
"""Maximum delay of a key by the previous one: a handler that hangs must not block the keyboard."""
_POLL_S = 0.05
_MAX_PAINT_DELAY_S = 0.025
"""Maximum delay of painting for the full effect of a key, and minimum time between two delays: the progress of a burst,
or of a slow key, stays visible."""
_EDITING = frozenset({"enter", "tab", "shift+tab", "backspace", "left", "right"})


class Forget(Message):
    """Tells the app to drop keys typed ahead: they were meant for something that did not open."""


@runtime_checkable
class AwaitsForm(Protocol):
    """A screen whose form may not be shown yet. While `awaits_form`, typed text is kept for the form."""

    @property
    def awaits_form(self) -> bool: ...


class TypeAhead:
    """Called by the app for every key and paste before it is dispatched."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._waiting: deque[tuple[Typed, Screen[object] | None]] = deque()
        """Deferred events, each with the screen whose form it was typed for, or None."""
        self._current: Typed | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._paint_timer: asyncio.TimerHandle | None = None
        self._painted_at = 0.0

    def defers(self, event: Typed) -> bool:
        """True when the event must wait: it is posted to the app again later."""
        if event is self._current:
            self._current = None
            return False
        if _is_text(event) and self._awaits_form():
            self._enqueue(event, self._app.screen_stack[-1])
            return True
        if self._dispatcher is None:
            self._start()
            return False
        if not self._waiting or not self._awaits_form():
            self._enqueue(event)
            return True
        return False  # a key that is not text while text waits for a form: ctrl+q must not wait

    def clear(self) -> None:
        """Drop all deferred events."""
        self._waiting.clear()

    def close(self) -> None:
        """Stop: the app is exiting."""
        self._waiting.clear()
        if self._dispatcher is not None:
            self._dispatcher.cancel()

    def _enqueue(self, event: Typed, meant_for: Screen[object] | None = None) -> None:
        self._waiting.append((event, meant_for))
        if self._dispatcher is None:
            self._start()

    def _start(self) -> None:
        self._hold_painting()
        self._dispatcher = asyncio.create_task(self._dispatch_in_turn(), name="type ahead")

    async def _dispatch_in_turn(self) -> None:
        try:
            await self._wait_until_handled()
            self._release_painting()
            while self._waiting:
                if not await self._wait_for_form(self._waiting[0][1] or self._app.screen):
                    self._waiting.clear()
                    return
                if self._waiting:
                    self._current, _ = self._waiting.popleft()
                    self._app.post_message(self._current)
                    await self._wait_until_handled()
        finally:
            self._release_painting()
            self._dispatcher = None

    def _hold_painting(self) -> None:
        """Delay painting until the effects of the key are complete."""
        loop = asyncio.get_running_loop()
        if self._paint_timer is None and loop.time() - self._painted_at > _MAX_PAINT_DELAY_S:
            self._app._begin_batch()
            self._paint_timer = loop.call_later(_MAX_PAINT_DELAY_S, self._release_painting)

    def _release_painting(self) -> None:
        if self._paint_timer is not None:
            self._paint_timer.cancel()
            self._paint_timer = None
            self._painted_at = asyncio.get_running_loop().time()
            self._app._end_batch()
            if self._app.screen_stack:
                self._app.screen.check_idle()  # the screen is idle and would not repaint until the next message

    def _awaits_form(self) -> bool:
        screen = self._app.screen_stack[-1] if self._app.screen_stack else None
        return isinstance(screen, AwaitsForm) and screen.awaits_form

    async def _wait_for_form(self, screen: Screen[object]) -> bool:
        """Wait until the screen shows its form; False when another screen is opened instead."""
        while self._awaits_form():  # noqa: ASYNC110 - there is no event for a shown form; runs only while keys wait
            await asyncio.sleep(_POLL_S)
        return self._app.screen is screen

    # -- waiting for the effects of a key ----------------------------------------------------------------------------

    async def _wait_until_handled(self) -> None:
        """Return when the last key and its effects have been handled: after two rounds from the focused widget up to
        the app in which neither screen nor focus changed. In the first round the key bubbles up, in the second the
        messages of its action. A pushed screen takes part at once, and responds when it is mounted."""
        try:
            async with asyncio.timeout(_MAX_DELAY_S):
                await self._drain(self._app)
                idle_rounds = 0
                while idle_rounds < 2 and self._app.is_running:
                    previous = self._focus_state()
                    for node in self._ancestors():
                        await self._drain(node)
                    idle_rounds = idle_rounds + 1 if self._focus_state() == previous else 0
        except TimeoutError:
            pass

    def _focus_state(self) -> tuple[object, object]:
        return (self._app.screen_stack[-1] if self._app.screen_stack else None, self._app.focused)

    def _ancestors(self) -> list[DOMNode]:
        start = self._app.focused or self._app.screen
        return list(start.ancestors_with_self)

    async def _drain(self, node: DOMNode) -> None:
        """Return when the node has handled all its queued messages."""
        handled = asyncio.Event()
        if not node.call_later(handled.set):
            return
        while node.is_attached and not handled.is_set():
            # A removed node does not respond: check periodically.
            try:
                async with asyncio.timeout(_POLL_S):
                    await handled.wait()
            except TimeoutError:
                continue


def _is_text(event: Typed) -> bool:
    return isinstance(event, Paste) or event.is_printable or event.key in _EDITING
