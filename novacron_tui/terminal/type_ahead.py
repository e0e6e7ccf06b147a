"""Keys that come in a burst: each takes its whole effect before the next is dispatched.

Textual hands keys to the widget with the focus as they come, while what a key does (move the focus, open a screen)
happens later, by messages. On a slow line several keys arrive at once: without this the second would go to the field,
or the screen, that the first is just leaving. And what a key does is painted in one frame: without this the list, the
status line and the footer would follow each other frame by frame.
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
_PATIENCE_S = 3.0
"""No key is held back longer than this by one before it: a handler that hangs must not take the keyboard with it."""
_LOOK_S = 0.05
_HELD_S = 0.025
"""Painting waits no longer than this for the whole effect of a key, and not again so soon: of a burst, and of a key that
takes its time, one sees how it goes on."""
_EDITING = frozenset({"enter", "tab", "shift+tab", "backspace", "left", "right"})


class Forget(Message):
    """To the app: what was typed ahead was meant for something that does not come."""


@runtime_checkable
class AwaitsForm(Protocol):
    """A screen that may have no field yet for what is typed. `awaits_form`: keep it until there is one."""

    @property
    def awaits_form(self) -> bool: ...


class TypeAhead:
    """Asked by the app for every key and paste, before it is dispatched."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._kept: deque[tuple[Typed, Screen[object] | None]] = deque()
        """What waits, and the screen whose form it was typed for, if it was for one."""
        self._turn: Typed | None = None
        self._settling: asyncio.Task[None] | None = None
        self._held: asyncio.TimerHandle | None = None
        self._painted_at = 0.0

    def keeps(self, event: Typed) -> bool:
        """True when it is not this event's turn yet: it is posted to the app again when it is."""
        if event is self._turn:
            self._turn = None
            return False
        if _is_text(event) and self._awaits_form():
            self._keep(event, self._app.screen_stack[-1])
            return True
        if self._settling is None:
            self._begin()
            return False
        if not self._kept or not self._awaits_form():
            self._keep(event)
            return True
        return False  # a key that is no text, while text waits for a form: ctrl+q must not wait with it

    def forget(self) -> None:
        """Drop what waits."""
        self._kept.clear()

    def close(self) -> None:
        """The app ends."""
        self._kept.clear()
        if self._settling is not None:
            self._settling.cancel()

    def _keep(self, event: Typed, meant_for: Screen[object] | None = None) -> None:
        self._kept.append((event, meant_for))
        if self._settling is None:
            self._begin()

    def _begin(self) -> None:
        self._hold()
        self._settling = asyncio.create_task(self._dispatch_in_turn(), name="type ahead")

    async def _dispatch_in_turn(self) -> None:
        try:
            await self._settle()
            self._paint()
            while self._kept:
                if not await self._form_is_there(self._kept[0][1] or self._app.screen):
                    self._kept.clear()
                    return
                if self._kept:
                    self._turn, _ = self._kept.popleft()
                    self._app.post_message(self._turn)
                    await self._settle()
        finally:
            self._paint()
            self._settling = None

    def _hold(self) -> None:
        """Paint nothing until what the key does is done."""
        loop = asyncio.get_running_loop()
        if self._held is None and loop.time() - self._painted_at > _HELD_S:
            self._app._begin_batch()
            self._held = loop.call_later(_HELD_S, self._paint)

    def _paint(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._held = None
            self._painted_at = asyncio.get_running_loop().time()
            self._app._end_batch()
            if self._app.screen_stack:
                self._app.screen.check_idle()  # it was idle, and looks again only when it is told something

    def _awaits_form(self) -> bool:
        screen = self._app.screen_stack[-1] if self._app.screen_stack else None
        return isinstance(screen, AwaitsForm) and screen.awaits_form

    async def _form_is_there(self, screen: Screen[object]) -> bool:
        """Wait for the form of the screen that what is kept was typed for; False when another one comes in its place."""
        while self._awaits_form():  # noqa: ASYNC110 - no event tells when a screen gets its form; only while keys wait
            await asyncio.sleep(_LOOK_S)
        return self._app.screen is screen

    # -- when a key has taken its effect -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Return when the last key has been handled, and what it caused: two rounds from the widget with the focus up
        to the app in which neither the screen nor the focus changed. A key bubbles up in the first, the messages of
        its action in the second; a screen takes part from when it is pushed, and answers once it is mounted."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._answered(self._app)
                calm = 0
                while calm < 2 and self._app.is_running:
                    before = self._place()
                    for node in self._way_up():
                        await self._answered(node)
                    calm = calm + 1 if self._place() == before else 0
        except TimeoutError:
            pass

    def _place(self) -> tuple[object, object]:
        return (self._app.screen_stack[-1] if self._app.screen_stack else None, self._app.focused)

    def _way_up(self) -> list[DOMNode]:
        start = self._app.focused or self._app.screen
        return list(start.ancestors_with_self)

    async def _answered(self, node: DOMNode) -> None:
        """Return when this node has handled every message it has now."""
        answered = asyncio.Event()
        if not node.call_later(answered.set):
            return
        while node.is_attached and not answered.is_set():
            # A node that is taken away does not answer: look again from time to time.
            try:
                async with asyncio.timeout(_LOOK_S):
                    await answered.wait()
            except TimeoutError:
                continue


def _is_text(event: Typed) -> bool:
    return isinstance(event, Paste) or event.is_printable or event.key in _EDITING
