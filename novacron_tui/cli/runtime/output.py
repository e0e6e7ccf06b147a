"""What commands print: aligned plain tables for people, JSON and YAML for programs.

Everything that is printed passes through safe_text here, so no name can send control sequences to the terminal; JSON
escapes everything except printable ASCII, so it keeps the server's exact text and is still harmless.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

from novacron_tui.cli.runtime.exit_codes import ReaderGone
from novacron_tui.terminal.capabilities import encoding_of, in_ascii, needs_ascii
from novacron_tui.terminal.look_alikes import look_alikes, spelled_out
from novacron_tui.terminal.safe_text import clean, one_line


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"

    @property
    def is_data(self) -> bool:
        """Whether it is for programs."""
        return self is not Output.TABLE


_PLAIN_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][a-z0-9_]*")
_YAML_KEY_MAX = 1024
"""YAML 1.2, 7.4: a key before its colon has this many characters at most; a longer one is written behind a `?`."""
"""Keys that YAML reads as texts without quotes."""


def json_text(value: object, *, indent: int | None = 2) -> str:
    """Structs and containers of them as ASCII JSON. DEL is escaped too, which JSON itself would let through."""
    import msgspec

    plain = json.loads(msgspec.json.encode(value))
    return json.dumps(plain, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")


def yaml_text(value: object) -> str:
    """Structs and containers of them as ASCII YAML, in blocks; texts are quoted, so that none is taken for a number."""
    import msgspec

    return "\n".join(_yaml_lines(json.loads(msgspec.json.encode(value))))


def show_json(value: object) -> None:
    print_styled(json_text(value))


def show_data(output: Output, value: object) -> None:
    """Print a value for programs."""
    print_styled(data_text(output, value))


def data_text(output: Output, value: object, *, stream: bool = False) -> str:
    """A value for programs. In a `stream` it is one of many: a line of JSON, or a document of YAML."""
    if output is Output.YAML:
        return f"---\n{yaml_text(value)}" if stream else yaml_text(value)
    return json_text(value, indent=None if stream else 2)


def print_line(text: str) -> None:
    """Print one or more lines on stdout, safe for a terminal. Raises ReaderGone."""
    print_styled(clean(text))


def print_styled(text: str) -> None:
    """Print text that is safe already, and may have colours of ours. Raises ReaderGone."""
    if not text.isascii() and needs_ascii(sys.stdout):
        text = in_ascii(text, encoding_of(sys.stdout))
    try:
        sys.stdout.write(text + "\n")
    except BrokenPipeError as e:
        raise ReaderGone from e


def print_line_now(text: str) -> None:
    """The same with a flush, for output that comes over time."""
    print_line(text)
    try:
        sys.stdout.flush()
    except BrokenPipeError as e:
        raise ReaderGone from e


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns as wide as their widest cell, the last one ragged. The head is bold when colours are enabled."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(head, *cells, strict=True)]
    first = _line(head, widths)
    print_styled(f"\x1b[1m{first}\x1b[0m" if colors_enabled() else first)
    for row in cells:
        print_styled(_line(row, widths))


def show_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print the properties of one object, one per line."""
    lines = [(cell(name), cell(value)) for name, value in pairs]
    longest = max(width(name) for name, _ in lines)
    for name, value in lines:
        print_line(_line((name, value), (longest, 0)))


def colors_enabled() -> bool:
    """Whether to use colours and bold on stdout. Source: no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def cell(value: Any) -> str:
    """The table cell of a value; a missing value is a dash, which differs from zero."""
    return shown(str(value)) if value not in (None, "", "–") else "-"


def shown(text: str) -> str:
    """A text on one line, safe for a terminal."""
    return one_line(text)


def distinct_names(names: Sequence[str]) -> list[str]:
    """The cells of names; where different names look alike, with what they are made of: `café (cafe\\u0301)`."""
    alike = look_alikes(names)
    return [f"{cell(name)} ({spelled_out(name)})" if name in alike else cell(name) for name in names]


def width(text: str) -> int:
    """How many terminal columns a text occupies."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me") for char in text)


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _yaml_entry(_yaml_key(key), item)]
    if isinstance(value, list) and value:
        lines = []
        for item in value:
            first, *rest = _yaml_lines(item)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [_yaml_scalar(value)]


def _yaml_entry(key: str, item: Any) -> list[str]:
    lines = _yaml_lines(item)
    before, sign = ([], f"{key}:") if len(key) <= _YAML_KEY_MAX else ([f"? {key}"], ":")
    if isinstance(item, dict | list) and item:
        return [*before, sign, *(f"  {line}" for line in lines)]
    return [*before, f"{sign} {lines[0]}"]


def _yaml_key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else _yaml_scalar(key)


def _yaml_scalar(value: Any) -> str:
    """As in JSON, but without halves of characters, and with the point that makes YAML 1.1 read a number."""
    if isinstance(value, float) and "." not in (text := repr(value)):
        return text.replace("e", ".0e")
    if not isinstance(value, str):
        return json.dumps(value)
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(letter if " " <= letter <= "~" else _yaml_escape(ord(letter)) for letter in quoted)


def _yaml_escape(number: int) -> str:
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text + " " * max(0, wide - width(text)) for text, wide in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
