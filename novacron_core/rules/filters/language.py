"""The filter language: `state:running host:kvm-a tag:db memory>2G db-* -test`, the same in the console and the API.

Terms are joined by *and*. A bare word is looked for in the name, or matched whole when it has `*` or `?`. `field:a,b`
means one of them, each the beginning of what the field says (so that `state:run` finds something while it is typed), or
the whole of it in quotes; `field>8`, `>=`, `<`, `<=`, `=` compare numbers, with the units of `units.parse_size` for sizes. A `-`
or `!` before a term turns it round. Quotes keep spaces together. Letter case does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import reduce
from typing import Any, Generic, Literal, TypeVar

from novacron_core.values.sizes import parse_size

T = TypeVar("T")

Test = Callable[[T], bool]

Look = Callable[[str], bool]

MAX_LENGTH = 500

_TERM = re.compile(
    r'(?P<not>[-!]?)(?:(?P<field>[a-z_]+)(?P<op>:|>=|<=|>|<|=))?(?P<value>"[^"]*"?|[^\s"]*)', re.IGNORECASE
)


class FilterError(ValueError):
    """A filter that is not understood, in a sentence for the operator. `position` counts characters from 0."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class FilterField(Generic[T]):
    """What a filter may ask of a thing. `read` gives a text, several texts, a number, or None for none."""

    read: Callable[[T], Any]
    kind: Literal["text", "texts", "number", "size"] = "text"


def compile_filter(text: str, fields: Mapping[str, FilterField[T]]) -> Test[T]:
    """The test that a filter stands for; an empty one lets everything pass. `fields` must have `name`.

    Raises FilterError for a field that is not there, a value that does not fit, or a text that is too long.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH} characters")
    tests = [_term(match, fields) for match in _terms(text)]
    if not tests:
        return lambda thing: True
    return reduce(_both, tests)


def _both(first: Test[T], second: Test[T]) -> Test[T]:
    return lambda thing: first(thing) and second(thing)


def _terms(text: str) -> Iterable[re.Match[str]]:
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise FilterError(f"this is not understood: {text[position:]}", position)
        yield match
        position = match.end()


def _term(match: re.Match[str], fields: Mapping[str, FilterField[T]]) -> Test[T]:
    name = (match["field"] or "name").lower()
    quoted = match["value"].startswith('"')
    value = match["value"].strip('"')
    field = fields.get(name)
    if field is None:
        raise FilterError(f"there is no field {name}: there are {', '.join(fields)}", match.start())
    if not value:
        raise FilterError(f"{match[0].strip()} wants a value", match.start())
    if match["field"] is None:
        test: Test[T] = _texts(field, [value], _contained)
    elif match["op"] == ":":
        words = [word for word in value.split(",") if word]
        test = (
            _number(field, "=", words[0], match)
            if field.kind in ("number", "size") and words
            else _texts(field, words, _whole if quoted else _beginning)
        )
    else:
        test = _number(field, match["op"], value, match)
    if match["not"]:
        return lambda thing: not test(thing)
    return test


def _texts(field: FilterField[T], words: list[str], plain: Callable[[str], Look]) -> Test[T]:
    looks = [_look(word, plain) for word in words]
    read, several = field.read, field.kind == "texts"

    def test(thing: T) -> bool:
        found = read(thing)
        if several:
            return any(look(text.casefold()) for text in found for look in looks)
        return found is not None and any(look(str(found).casefold()) for look in looks)

    return test if several or len(looks) != 1 else _text(read, looks[0])


def _text(read: Callable[[T], Any], look: Callable[[str], bool]) -> Test[T]:
    """The common case, asked of thousands at every key."""

    def test(thing: T) -> bool:
        found = read(thing)
        return found is not None and look((found if isinstance(found, str) else str(found)).casefold())

    return test


def _look(word: str, plain: Callable[[str], Look]) -> Look:
    """A glob matches whole; what a word without one means is up to `plain`."""
    word = word.casefold()
    if "*" in word or "?" in word:
        # `[` is a letter here: file name sets are more than anybody types into a filter.
        pattern = re.compile(translate(word.replace("[", "[[]")))
        return lambda text: pattern.match(text) is not None
    return plain(word)


def _contained(word: str) -> Look:
    return lambda text: word in text


def _beginning(word: str) -> Look:
    return lambda text: text.startswith(word)


def _whole(word: str) -> Look:
    return lambda text: text == word


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
}


def _number(field: FilterField[T], op: str, value: str, match: re.Match[str]) -> Test[T]:
    if field.kind not in ("number", "size"):
        raise FilterError(f"{match['field']} is no number: write {match['field']}:{value}", match.start())
    try:
        wanted = float(parse_size(value)) if field.kind == "size" else float(value)
    except ValueError as e:
        raise FilterError(f"{match[0].strip()}: {value} is no number", match.start()) from e
    compare, read = _COMPARE[op], field.read

    def test(thing: T) -> bool:
        found = read(thing)
        return found is not None and compare(float(found), wanted)

    return test
