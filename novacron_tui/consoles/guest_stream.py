"""Takes what a guest sends apart, before an emulator sees it: the guest may be hostile, and emulators trust their input.

Emulators keep unfinished sequences without a bound, obey sequences that resize or print, and answer with text that the
guest has chosen. So an emulator only gets whole sequences that are listed here, with bounded numbers. The rest is acted
on here (titles, modes, queries) or dropped. The result does not depend on how the stream is cut into pieces.

Source: ECMA-48, the state machine of vt100.net/emu/dec_ansi_parser, and xterm's ctlseqs.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from rich.cells import get_character_cell_size

from novacron_tui.terminal.safe_text import MARK, harmful

StepKind = Literal["write", "combine", "repeat", "bell", "title", "query", "alternate", "forget", "reset"]
MAX_NUMBER = 9999
_MAX_SEQUENCE = 256
"""Characters of a control sequence; a longer one is dropped."""
_MAX_TITLE = 256
_MAX_PARAMETERS = 32
_MAX_WRITE = 1 << 10
"""Characters that are handed on at once: none of them takes long, so the emulator's owner can stop in between."""
_MAX_PENDING = 32
"""Pieces, of at most _MAX_WRITE characters together but for a few."""

_FAST = re.compile(
    r"(?:[\x08-\x0f\x20-\x7e\xa0-\U0010ffff]++"  # text, and the controls that only move the cursor
    r"|\x1b\[(?:[0-9]{1,4}(?:;[0-9]{1,4})?)?+[ABCDEFGHKLMPX@df]"
    r"|\x1b\[0?+J"
    r"|\x1b\[[0-9;:]{0,48}+m)++"
)
_STRING_END = {"]": re.compile(r"[\x07\x0a\x18\x1a\x1b]"), "": re.compile(r"[\x18\x1a\x1b]")}
"""An OSC ends at BEL too, and is given up at a line feed: a stray one would swallow a whole line at most."""
_CSI = re.compile(r"([<=>?]?)([0-9;:]*)([ -/]*)([@-~])")
_IGNORED = re.compile(r"[ -?]++")
_STRINGS = frozenset("]PX^_")
_MOVES = frozenset("\x08\t\n\x0b\x0c\r\x0e\x0f")
_PASSED_ESCAPES = frozenset("78DEHM")
_PASSED_CSI = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefgrsu")
_LONG_CSI = frozenset("JSTLMIZ")
"""What takes as long as a hundred letters is handed on by itself."""
_CHARSETS = frozenset("012AB")
_PASSED_MODES = frozenset({6, 7, 45})
_ALTERNATE_MODES = frozenset({47, 1047, 1049})
_NOTED_MODES = frozenset({1, 5, 25, 66, 2004})
MOUSE_MODES = frozenset({9, 1000, 1002, 1003})
_FIRST_FLAG, _LAST_FLAG = 0x1F1E6, 0x1F1FF
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_DROPPED = frozenset("\u200c\u200d" + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0x180B, 0x180E)))))
"""Joiners and variation selectors: they change how wide their neighbours are, which guests do not expect."""


class GuestStep(NamedTuple):
    """What to do next. `text` is what to write, to combine with the last character, a title, or the name of a query;
    `number` how often to repeat the last character, or 1 to enter and 0 to leave the alternate screen."""

    kind: StepKind
    text: str = ""
    number: int = 0


class GuestStream:
    """Turns bytes into steps. `modes` holds the numbers of the DEC private modes that are set."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending: list[str] = []
        self._state = "ground"
        self._collected = ""
        self._string = ""
        """The string that an escape character may be ending."""
        self.modes: set[int] = set()
        self.reset()

    def reset(self) -> None:
        """Forget the modes and an unfinished sequence."""
        self._state, self._collected, self._string = "ground", "", ""
        self._pending.clear()
        self.modes = {25}

    def steps(self, data: bytes) -> Iterator[GuestStep]:
        """The steps of the next bytes."""
        text = self._decoder.decode(data)
        at, end = 0, len(text)
        while at < end:
            if self._state == "ground" and (match := _FAST.match(text, at, min(end, at + _MAX_WRITE))):
                at = match.end()
                yield from self._take_text(match[0])
                if match.end() - match.start() > _MAX_WRITE // 4:
                    yield from self._flush()
            elif self._state == "string" and (skipped := self._skip_string(text, at)) > at:
                at = skipped
            elif self._state == "ignored" and (match := _IGNORED.match(text, at)):
                at = match.end()
            else:
                yield from self._step(text[at])
                at += 1
            if len(self._pending) > _MAX_PENDING:
                yield from self._flush()
        yield from self._flush()

    # -- text ------------------------------------------------------------------------------------------------------

    def _flush(self) -> Iterator[GuestStep]:
        if self._pending:
            text = "".join(self._pending)
            self._pending.clear()
            if text:
                yield GuestStep("write", text)

    def _take_text(self, text: str) -> Iterator[GuestStep]:
        odd = () if text.isascii() else {c for c in set(text) if not c.isascii() and _treatment(c) is not None}
        if not odd:
            self._pending.append(text)
        else:
            start = 0
            for at, char in enumerate(text):
                if char in odd:
                    self._pending.append(text[start:at])
                    start = at + 1
                    if (instead := _treatment(char)) == "combine":
                        yield from self._flush()
                        yield GuestStep("combine", char)
                    else:
                        self._pending.append(instead or "")
            self._pending.append(text[start:])

    # -- sequences -------------------------------------------------------------------------------------------------

    def _step(self, char: str) -> Iterator[GuestStep]:
        if char == "\x1b":
            self._string = self._collected if self._state == "string" else ""
            self._state, self._collected = "escape", ""
        elif char in "\x18\x1a":
            self._state = "ground"
        elif self._state == "string":
            self._state = "ground"
            if char == "\x07":
                yield from self._osc(self._collected)
            else:
                yield from self._control(char)
        elif char < " ":
            yield from self._control(char)
        elif self._state == "ground":
            if char != "\x7f":
                yield from self._take_text(MARK)  # a C1 control: from UTF-8 text, never meant as one
        elif char == "\x7f":
            pass
        elif char > "~":  # no sequence has letters of other alphabets
            self._state = "ground"
            yield from self._take_text(MARK if char < "\xa0" else char)
        elif self._state == "escape":
            yield from self._escape(char)
        elif self._state == "csi":
            self._collected += char
            if "@" <= char <= "~":
                self._state = "ground"
                yield from self._csi(self._collected)
            elif len(self._collected) > _MAX_SEQUENCE:
                self._state = "ignored"
        elif self._state == "ignored" and "@" <= char <= "~":
            self._state = "ground"
        elif self._state == "palette":
            self._collected += char
            if len(self._collected) == 7:
                self._state = "ground"

    def _control(self, char: str) -> Iterator[GuestStep]:
        """Controls act at once, also inside a sequence."""
        if char == "\x07":
            yield from self._flush()
            yield GuestStep("bell")
        elif char in _MOVES:
            self._pending.append(char)

    def _escape(self, char: str) -> Iterator[GuestStep]:
        before, self._collected = self._collected, self._collected + char
        if char < "0":
            if len(self._collected) > 2:
                self._collected = "??"  # too many intermediates: nothing listed
            return
        self._state = "ground"
        if before:
            if before in "()" and char in _CHARSETS:
                self._pending.append(f"\x1b{before}{char}")
            elif before == "#" and char == "8":
                self._pending.append("\x1b#8")
                yield from self._flush()
        elif char == "[":
            self._state, self._collected = "csi", ""
        elif char in _STRINGS:
            self._state, self._collected = "string", char
        elif char in _PASSED_ESCAPES:
            self._pending.append(f"\x1b{char}")
        elif char == "\\":
            if self._string.startswith("]"):
                yield from self._osc(self._string)
        elif char in "=>":
            self._note(66, char == "=")
        elif char == "Z":
            yield from self._flush()
            yield GuestStep("query", "attributes")
        elif char == "c":
            self._pending.clear()
            self.reset()
            yield GuestStep("reset")

    def _skip_string(self, text: str, at: int) -> int:
        """Collect as much of a string as a title may have. Returns the index of the character that may end it."""
        is_osc = self._collected.startswith("]")
        if self._collected == "]" and text[at] in "PR":  # the Linux console's palette, which has no end mark
            self._state, self._collected = ("palette", "") if text[at] == "P" else ("ground", "")
            return at + 1
        match = _STRING_END["]" if is_osc else ""].search(text, at)
        end = match.start() if match else len(text)
        room = _MAX_TITLE - len(self._collected)
        if is_osc and room > 0:
            self._collected += text[at : min(end, at + room)]
        return end

    def _osc(self, string: str) -> Iterator[GuestStep]:
        number, _, value = string[1:].partition(";")
        if number in ("0", "2"):
            yield from self._flush()
            yield GuestStep("title", value)
        elif number in ("10", "11") and value == "?":
            yield from self._flush()
            yield GuestStep("query", {"10": "foreground", "11": "background"}[number])

    def _csi(self, sequence: str) -> Iterator[GuestStep]:
        match = _CSI.fullmatch(sequence)
        if match is None:
            return
        marker, written, between, final = match.groups()
        if final == "m":
            if not marker and not between:
                self._pending.append(f"\x1b[{';'.join(written.split(';')[:_MAX_PARAMETERS])}m")
            return
        numbers = [_number(each) for each in written.split(";")[:_MAX_PARAMETERS]] if written else []
        if final in "hl":
            yield from self._set_modes(marker, numbers, final == "h")
        elif (query := _query(marker, between, final, numbers)) is not None:
            yield from self._flush()
            yield GuestStep("query", *query)
        elif final == "p" and between == "!" and not marker:
            self.modes = (self.modes - {1, 66}) | {25}
            self._pending.append("\x1b[!p")
        elif between or final not in _PASSED_CSI or marker not in ("", "?"):
            return
        elif marker:
            if final in "JK" and numbers[:1] != [3]:
                self._pending.append(f"\x1b[{numbers[0] if numbers else 0}{final}")
        elif final == "J" and numbers[:1] == [3]:
            yield from self._flush()
            yield GuestStep("forget")
        elif final == "b":
            yield from self._flush()
            yield GuestStep("repeat", number=max(1, numbers[0] if numbers else 1))
        elif not (final in "Tsu" and len(numbers) > 1):  # with more of them they are other functions
            self._pending.append(f"\x1b[{';'.join(map(str, numbers[:2]))}{final}")
        if final in _LONG_CSI:
            yield from self._flush()

    def _set_modes(self, marker: str, numbers: list[int], is_set: bool) -> Iterator[GuestStep]:
        end = "h" if is_set else "l"
        for number in numbers:
            if not marker:
                if number in (4, 20):
                    self._pending.append(f"\x1b[{number}{end}")
            elif marker != "?":
                continue
            elif number in _PASSED_MODES:
                self._pending.append(f"\x1b[?{number}{end}")
            elif number in _NOTED_MODES or number in MOUSE_MODES:
                self._note(number, is_set)
            elif number == 1048:
                self._pending.append("\x1b7" if is_set else "\x1b8")
            elif number in _ALTERNATE_MODES and is_set != bool(self.modes & _ALTERNATE_MODES):
                yield from self._flush()
                self.modes -= _ALTERNATE_MODES
                self._note(number, is_set)
                yield GuestStep("alternate", "saving" if number == 1049 else "", int(is_set))

    def _note(self, mode: int, is_set: bool) -> None:
        (self.modes.add if is_set else self.modes.discard)(mode)


def _number(written: str) -> int:
    """A parameter; empty and 0 are the default of every sequence that is passed on."""
    digits = written.partition(":")[0]
    return min(int(digits[:5]), MAX_NUMBER) if digits else 0


def _query(marker: str, between: str, final: str, numbers: list[int]) -> tuple[str, int] | None:
    """The name of what a sequence asks for, and its parameter."""
    number = numbers[0] if numbers else 0
    found = {
        ("", "", "c", 0): "attributes",
        (">", "", "c", 0): "version",
        ("", "", "n", 5): "status",
        ("", "", "n", 6): "position",
        ("?", "", "n", 6): "extended position",
        ("", "", "t", 18): "size",
        ("", "", "t", 19): "size",
    }.get((marker, between, final, number))
    if found is not None:
        return found, number
    if (marker, between, final) == ("?", "$", "p"):
        return "mode", number
    return None


@lru_cache(maxsize=8192)
def _treatment(char: str) -> str | None:
    """What to write instead of a character, or "combine"; None to write it as it is."""
    if char in _DROPPED:
        return ""
    if harmful(char):
        return MARK
    width = get_character_cell_size(char)
    if _FIRST_FLAG <= ord(char) <= _LAST_FLAG:  # two of them are one flag, on some terminals
        return chr(ord("A") + ord(char) - _FIRST_FLAG) + " " * (width - 1)
    if char in _SKIN_TONES:  # colours the character before it, on some terminals
        return MARK + " " * (width - 1)
    if width == 0:
        return "combine" if unicodedata.category(char)[0] in "ML" else MARK
    return None
