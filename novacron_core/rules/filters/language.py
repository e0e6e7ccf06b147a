"""The filter language: `state:running host:kvm-a tag:db memory>2G db-* -test`, the same in the console and the API.

Terms are joined by *and*. A bare word is searched in the name; with `*` or `?` it must match the whole name.
`field:a,b` matches any of the values, each a prefix of the field's text (so that `state:run` already matches while it
is typed), or the whole text in quotes. `field>8`, `>=`, `<`, `<=`, `=` compare numbers; sizes have the units of
`sizes.parse_size`. `-` or `!` negates a term. Quotes keep spaces together; `\\"` is a quote. Case is ignored, and so is
whether an accent is part of its letter (Unicode's NFC and NFD).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import reduce
from typing import Any, Generic, Literal, TypeVar

from novacron_core.values.sizes import parse_size

T = TypeVar("T")

Test = Callable[[T], bool]

Matcher = Callable[[str], bool]

MAX_LENGTH = 500
MAX_WORDS = 32
"""Values in one filter: each is compared with every object."""

_TERM = re.compile(
    r"(?P<not>[-!]?)(?:(?P<field>[a-z_]+)(?P<op>:|>=|<=|>|<|=))?"
    r'(?P<value>"(?:\\"|[^"])*"|"[^"]*|(?:\\"|[^\s"])*)',
    re.IGNORECASE,
)


class FilterError(ValueError):
    """An invalid filter, described in a sentence for the operator. `position` is a 0-based character offset."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class FilterField(Generic[T]):
    """A field of a filtered object. `read` returns a text, several texts, a number, or None when there is no value."""

    read: Callable[[T], Any]
    kind: Literal["text", "texts", "number", "size"] = "text"


def compile_filter(text: str, fields: Mapping[str, FilterField[T]]) -> Test[T]:
    """The predicate of a filter; an empty filter matches everything. `fields` must have the key `name`.

    Raises FilterError for an unknown field, a value of the wrong type, a text longer than MAX_LENGTH, or more than
    MAX_WORDS values.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter must have at most {MAX_LENGTH} characters")
    if count_words(text) > MAX_WORDS:
        raise FilterError(f"the filter must have at most {MAX_WORDS} words")
    tests = [_term(match, fields) for match in _terms(text)]
    if not tests:
        return lambda thing: True
    return reduce(_both, tests)


def count_words(text: str) -> int:
    """How many values an object is compared with. Raises FilterError."""
    return sum(match["value"].strip(",").count(",") + 1 for match in _terms(text))


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
            raise FilterError(f'"{text[position:]}": not a filter term', position)
        yield match
        position = match.end()


def _term(match: re.Match[str], fields: Mapping[str, FilterField[T]]) -> Test[T]:
    name = (match["field"] or "name").lower()
    quoted = match["value"].startswith('"')
    value = _unquoted(match["value"])
    field = fields.get(name)
    if field is None:
        raise FilterError(f"unknown field {name}: choose one of {', '.join(fields)}", match.start())
    if not value:
        raise FilterError(f'"{match[0].strip()}": a value is missing', match.start())
    if match["field"] is None:
        test: Test[T] = _texts(field, [value], _contains)
    elif match["op"] == ":":
        words = [word for word in value.split(",") if word]
        test = (
            _number(field, "=", words[0], match)
            if field.kind in ("number", "size") and words
            else _texts(field, words, _equals if quoted else _starts_with)
        )
    else:
        test = _number(field, match["op"], value, match)
    if match["not"]:
        return lambda thing: not test(thing)
    return test


def _unquoted(value: str) -> str:
    """The text of a value: between its quotes, of which the last may be missing while it is typed, or without any."""
    inner = value.removeprefix('"').removesuffix('"') if value.startswith('"') else value
    return inner.replace('\\"', '"')


def fold(text: str) -> str:
    """The form in which texts are compared: without case, and with one spelling of letters with accents."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _texts(field: FilterField[T], words: list[str], plain: Callable[[str], Matcher]) -> Test[T]:
    matchers = [_matcher(word, plain) for word in words]
    read, several = field.read, field.kind == "texts"

    def test(thing: T) -> bool:
        actual = read(thing)
        if several:
            return any(matches(fold(text)) for text in actual for matches in matchers)
        return actual is not None and any(matches(fold(str(actual))) for matches in matchers)

    return test if several or len(matchers) != 1 else _text(read, matchers[0])


def _text(read: Callable[[T], Any], matches: Callable[[str], bool]) -> Test[T]:
    """The common case: called for thousands of objects at every key."""

    def test(thing: T) -> bool:
        actual = read(thing)
        return actual is not None and matches(fold(actual if isinstance(actual, str) else str(actual)))

    return test


def _matcher(word: str, plain: Callable[[str], Matcher]) -> Matcher:
    """A glob must match the whole text; `plain` makes the matcher of a word without wildcards."""
    word = fold(word)
    if "*" in word or "?" in word:
        # `[` is a literal here: the character sets of fnmatch are not part of the filter language.
        pattern = re.compile(translate(word.replace("[", "[[]")))
        return lambda text: pattern.match(text) is not None
    return plain(word)


def _contains(word: str) -> Matcher:
    return lambda text: word in text


def _starts_with(word: str) -> Matcher:
    return lambda text: text.startswith(word)


def _equals(word: str) -> Matcher:
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
        raise FilterError(f"{match['field']} is not a number: use {match['field']}:{value}", match.start())
    try:
        wanted = float(parse_size(value)) if field.kind == "size" else float(value)
    except ValueError as e:
        raise FilterError(f'"{match[0].strip()}": expected a number after {match["op"]}', match.start()) from e
    compare, read = _COMPARE[op], field.read

    def test(thing: T) -> bool:
        actual = read(thing)
        return actual is not None and compare(float(actual), wanted)

    return test
