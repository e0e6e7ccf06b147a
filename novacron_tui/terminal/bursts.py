"""Tells typed keys from pasted text that comes without the marks of a bracketed paste.

GNU screen, the Linux console, noVNC and some menus send pasted text as if it were typed, and each of its letters would
be a key. Text that comes faster and more varied than anybody types is therefore passed on as one UnmarkedPaste, whole.
Its first characters arrive before it can be told from typing, so keys that act wait until the decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic

from textual.events import Key
from textual.message import Message

BURST_S = 0.05
"""Characters within this time are judged together; it is also the longest time that a key waits."""
MIN_CHARACTERS, MIN_KINDS = 6, 4
"""What makes them a paste: so many characters, of so many different ones. A slow connection delivers a few keys in one
packet, seldom that many."""
SUSTAINED_S = 0.25
SUSTAINED_CHARACTERS, SUSTAINED_KINDS = 10, 6
"""The same for text that arrives key by key, as tools that imitate a keyboard send it: forty keys a second."""
MOTIONS = frozenset("hjklgG")
"""Letters that only move a cursor. They are typed fast, and do no harm."""


class UnmarkedPaste(Message):
    """Keys that were pasted, not typed. Pasted text in several pieces makes several of these messages."""

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__()
        self.keys = keys


class Bursts:
    """`acts` tells whether a key does something when it is pressed now: only such a key waits. `now` is in seconds."""

    def __init__(self, acts: Callable[[Key], bool], now: Callable[[], float] = monotonic) -> None:
        self._acts = acts
        self._now = now
        self._held: deque[tuple[Message, float]] = deque()
        """Messages that wait, in their order, each with the time of its arrival."""
        self._recent: deque[tuple[str, float]] = deque()
        """The characters of the last SUSTAINED_S that count."""
        self._pasting_until = 0.0

    def take(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The messages of one read from the terminal; returns those that are decided."""
        now = self._now()
        yield from self._release(now)
        found = [(message, now) for message in messages]
        self._held.extend(found)
        for message, _ in found:
            if isinstance(message, Key):
                self._count(message, now)
        if found and (now < self._pasting_until or self._is_paste(now)):
            yield from self._pass_on_paste(now)
        else:
            yield from self._release(now)

    def tick(self) -> Iterator[Message]:
        """The messages whose time has passed without more characters."""
        return self._release(self._now())

    @property
    def wait_s(self) -> float | None:
        """Seconds until the next message is decided; None while none waits."""
        return max(0.0, self._held[0][1] + BURST_S - self._now()) if self._held else None

    def _count(self, key: Key, now: float) -> None:
        """Note a character, unless it moves a cursor or repeats the last one, as a key that is held down does."""
        while self._recent and now - self._recent[0][1] > SUSTAINED_S:
            self._recent.popleft()
        character = key.character or ""
        repeated = bool(self._recent) and self._recent[-1][0] == character
        if key.is_printable and character not in MOTIONS and not repeated:
            self._recent.append((character, now))

    def _is_paste(self, now: float) -> bool:
        recent = [character for character, since in self._recent if now - since <= BURST_S]
        at_once = len(recent) >= MIN_CHARACTERS and len(set(recent)) >= MIN_KINDS
        kinds = {character for character, _ in self._recent}
        return at_once or (len(self._recent) >= SUSTAINED_CHARACTERS and len(kinds) >= SUSTAINED_KINDS)

    def _pass_on_paste(self, now: float) -> Iterator[Message]:
        held = [message for message, _ in self._held]
        self._held.clear()
        self._recent.clear()  # what follows within BURST_S belongs to it, and nothing later
        yield from (message for message in held if not isinstance(message, Key))
        if keys := [message for message in held if isinstance(message, Key)]:
            self._pasting_until = now + BURST_S
            yield UnmarkedPaste(keys)

    def _release(self, now: float) -> Iterator[Message]:
        while self._held:
            message, since = self._held[0]
            if now - since < BURST_S and isinstance(message, Key) and self._acts(message):
                return
            self._held.popleft()
            yield message
