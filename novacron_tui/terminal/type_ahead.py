"""Type-ahead: each key takes full effect before the next one is dispatched.

Textual dispatches keys to the focused widget as they arrive, while the effects of a key (moving the focus, opening a
screen) happen later, by messages. On a slow connection several keys arrive at once; without this the second one would
go to the field or screen that the first one is leaving. The effects of a key are also painted in one frame; without
this the list, the status line and the footer would be updated in separate frames.

Keys that were not meant for what has the focus are dropped here: pasted text outside a text field, keys right after a
refused one, keys that were typed before a dialog opened by itself, and answers to a question that nobody can have read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

from textual.app import App
from textual.dom import DOMNode
from textual.events import Key, Paste
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from novacron_tui.terminal.bursts import MOTIONS
from novacron_tui.terminal.safe_text import clean

Typed = Key | Paste
REACTION_S = 0.3
"""Nobody reads and answers what has just appeared in less time: such keys were meant for something else."""
HABIT_S = 1.0
"""How long keys are ignored after the console opened without a form, and after each key that was ignored."""
_MAX_DELAY_S = 3.0
"""Maximum delay of a key by the previous one: a handler that hangs must not block the keyboard."""
_POLL_S = 0.05
_MAX_PAINT_DELAY_S = 0.025
"""Maximum delay of painting for the full effect of a key, and minimum time between two delays: the progress of a burst,
or of a slow key, stays visible."""
_EDITING = frozenset({"enter", "tab", "shift+tab", "backspace", "left", "right"})


class Forget(Message):
    """Tells the app to drop keys typed ahead: they were meant for something that did not open."""


class OpenedWithoutForm(Message):
    """Tells the app that a saved session has opened the console at once: somebody may be typing a password by habit."""


class HabitIgnored(Message):
    """Keys were dropped that were typed when the console had just opened without a form."""


class PasteIgnored(Message):
    """Pasted text was dropped, because no text field had the focus; `partly`: all of it after its first line."""

    def __init__(self, *, partly: bool = False) -> None:
        super().__init__()
        self.partly = partly


@runtime_checkable
class AwaitsForm(Protocol):
    """A screen whose form may not be shown yet. While `awaits_form`, typed text is kept for the form."""

    @property
    def awaits_form(self) -> bool: ...


@runtime_checkable
class KnowsKeys(Protocol):
    """A screen that knows which of its keys do more than change what it shows."""

    def acts(self, key: Key) -> bool: ...


@runtime_checkable
class TakesPastedKeys(Protocol):
    """What holds text fields that may be filled by several lines of pasted text, with enter and tab between them. In
    every other place pasted text ends at its first line, since enter could send, run or confirm something."""

    PASTED_KEYS: bool


@runtime_checkable
class AsksQuestion(Protocol):
    """A screen that asks a question. `asked_at` is the time.monotonic() at which it was shown, None before."""

    asked_at: float | None


@runtime_checkable
class TakesEveryKey(Protocol):
    """A widget that takes every key while it has the focus and `takes_every_key`, as a terminal does: neither bindings
    nor this module see them. It gets pasted text too, also as the keys that a terminal without paste marks makes of it."""

    @property
    def takes_every_key(self) -> bool: ...

    def take_key(self, key: Key) -> None: ...

    def take_paste(self, text: str) -> None: ...

    def take_pasted_keys(self, keys: Sequence[Key]) -> None: ...


def taker_of_keys(app: App[Any]) -> TakesEveryKey | None:
    """The widget that takes every key now; None for the usual way."""
    focused = app.screen_stack[-1].focused if app.screen_stack else None
    return focused if isinstance(focused, TakesEveryKey) and focused.takes_every_key else None


def key_acts(app: App[Any], key: Key) -> bool:
    """Whether a key does something when it is pressed now, beyond typing text, moving, and changing what a list shows.
    Called in the thread that reads the terminal, with the state that the last handled key left."""
    screen = app.screen_stack[-1] if app.screen_stack else None
    if screen is None or _is_field(screen.focused) or not _answers(key) or key.character in MOTIONS:
        return False
    if taker_of_keys(app) is not None:
        return False
    return screen.acts(key) if isinstance(screen, KnowsKeys) else True


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A deferred event. `meant_for` is the screen whose form it was typed for. `pasted`: not typed."""

    event: Typed
    meant_for: Screen[object] | None = None
    pasted: bool = False


class TypeAhead:
    """Called by the app for every key and paste before it is dispatched."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._waiting: deque[_Waiting] = deque()
        self._current: Typed | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._paint_timer: asyncio.TimerHandle | None = None
        self._painted_at = 0.0
        self._dropped: tuple[float, Widget | None] = (float("-inf"), None)
        """When the last key was dropped, and the focus then: what follows at once belongs to it."""
        self._habit_until = float("-inf")
        """Until when keys may be those of a password that nobody asked for."""
        self._appeared: tuple[Screen[Any] | None, float] = (None, 0.0)
        """The last dialog that no key opened, and when."""

    def defers(self, event: Typed) -> bool:
        """True when the event must not be dispatched now: it is posted to the app again later, or dropped."""
        if event is self._current:
            self._current = None
            return False
        if not self._waiting and taker_of_keys(self._app) is not None:
            return False  # it has no effects to wait for, unless it is the last one (see `taken`)
        if self._is_habit(event) or self._is_stray(event):
            return True
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

    def taken(self) -> None:
        """A widget has taken a key. If that was the last one that it takes, the key has effects, as any other has."""
        if self._dispatcher is None and taker_of_keys(self._app) is None:
            self._start()

    def paste(self, keys: Sequence[Key]) -> None:
        """Take keys that were pasted: into a text field they go as text, elsewhere they are dropped."""
        for is_text, group in groupby(keys, key=lambda key: key.is_printable):
            events: Sequence[Typed] = list(group)
            if is_text:
                events = [Paste(clean("".join(key.character or "" for key in events if isinstance(key, Key))))]
            for event in events:
                meant_for = self._app.screen_stack[-1] if self._awaits_form() else None
                if meant_for is None or _is_text(event):
                    self._enqueue(event, meant_for, pasted=True)

    @property
    def in_field(self) -> bool:
        """Whether a text field has the focus."""
        return bool(self._app.screen_stack) and _is_field(self._app.focused)

    def screen_opened(self, screen: Screen[Any]) -> None:
        """Note a dialog that opens although no key is being handled: what is typed at that moment is meant for the
        screen below."""
        if self._dispatcher is None and isinstance(screen, ModalScreen | AwaitsForm):
            self._appeared = (screen, asyncio.get_running_loop().time())

    def opened_without_form(self) -> None:
        """Ignore what is typed now, until nothing has been typed for HABIT_S."""
        self._habit_until = asyncio.get_running_loop().time() + HABIT_S

    def clear(self) -> None:
        """Drop all deferred events, and what is typed in the same breath."""
        self._waiting.clear()
        self._note_dropped()

    def close(self) -> None:
        """Stop: the app is exiting."""
        self._waiting.clear()
        if self._dispatcher is not None:
            self._dispatcher.cancel()

    def _enqueue(self, event: Typed, meant_for: Screen[object] | None = None, *, pasted: bool = False) -> None:
        self._waiting.append(_Waiting(event, meant_for, pasted))
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
                if not await self._wait_for_form(self._waiting[0].meant_for or self._app.screen):
                    self._waiting.clear()
                    return
                if self._waiting and self._waiting[0].pasted and not self._takes_pasted(self._waiting[0].event):
                    self._drop_pasted()
                elif self._waiting:
                    self._current = self._waiting.popleft().event
                    self._app.post_message(self._current)
                    await self._wait_until_handled()
        finally:
            self._release_painting()
            self._dispatcher = None

    # -- dropping ----------------------------------------------------------------------------------------------------

    def _takes_pasted(self, event: Typed) -> bool:
        """Whether the focus takes a part of pasted text: a text field takes text, and seldom a key."""
        focused = self._app.focused
        if focused is None or not _is_field(focused):
            return False
        return isinstance(event, Paste) or any(isinstance(node, TakesPastedKeys) for node in focused.ancestors)

    def _drop_pasted(self) -> None:
        """Drop the rest of pasted text, and say so, unless it was but the end of its first line."""
        partly = _is_field(self._app.focused)
        line_ended = partly and len(self._waiting) == 1 and _is_enter(self._waiting[0].event)
        while self._waiting and self._waiting[0].pasted:
            self._waiting.popleft()
        self._note_dropped()
        if not line_ended:
            self._app.post_message(PasteIgnored(partly=partly))

    def _note_dropped(self) -> None:
        self._dropped = (asyncio.get_running_loop().time(), self._app.focused if self._app.screen_stack else None)

    def _is_habit(self, event: Typed) -> bool:
        """Whether a key belongs to what is typed since the console opened by itself."""
        if event.time >= self._habit_until or not _answers(event) or self.in_field:
            return False
        self._habit_until = event.time + HABIT_S
        self._app.post_message(HabitIgnored())
        return True

    def _is_stray(self, event: Typed) -> bool:
        """Whether a key was typed for something else than what has the focus now."""
        screen = self._app.screen_stack[-1] if self._app.screen_stack else None
        if screen is None or not _answers(event):
            return False
        now, (appeared, at) = event.time, self._appeared
        if screen is appeared and now < at + REACTION_S:
            return True
        in_field = _is_field(screen.focused)
        if isinstance(screen, AsksQuestion) and (_is_enter(event) or not (in_field or _is_space(event))):
            # A key from before the question was typed ahead, with the key that asked it.
            if screen.asked_at is not None and screen.asked_at <= now < screen.asked_at + REACTION_S:
                return True
        elif self._awaits_form() or (isinstance(event, Key) and event.character in MOTIONS):
            return False
        dropped_at, focused = self._dropped
        if in_field or now >= dropped_at + REACTION_S or screen.focused is not focused:
            return False
        self._dropped = (max(dropped_at, now), focused)
        return True

    # -- painting ----------------------------------------------------------------------------------------------------

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
                # Now: Textual's clock, when it has painted just before, does so in one to two of its periods.
                self._app.screen.call_later(self._app.screen._on_timer_update)

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


def _is_field(widget: Widget | None) -> bool:
    """Whether a widget is a text field."""
    from textual.widgets import Input  # not before the first paint

    return isinstance(widget, Input)


def _is_enter(event: Typed) -> bool:
    return isinstance(event, Key) and event.key == "enter"


def _is_space(event: Typed) -> bool:
    return isinstance(event, Key) and event.character == " "


def _answers(event: Typed) -> bool:
    """Whether an event is text, enter or a paste, and not one that only moves the focus or leaves."""
    return isinstance(event, Paste) or event.is_printable or event.key == "enter"


def _is_text(event: Typed) -> bool:
    return isinstance(event, Paste) or event.is_printable or event.key in _EDITING
