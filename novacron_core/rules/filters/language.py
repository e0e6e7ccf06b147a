"""The filter language: `state:running host:kvm-a tag:db memory>2G db-* -test`, the same in the console and the API.

Terms are joined by *and*. A bare word is searched in the name; with `*` or `?` it must match the whole name.
`field:a,b` matches any of the values, each a prefix of the field's text (so that `state:run` already matches while it
is typed), or the whole text in quotes. `field>8`, `>=`, `<`, `<=`, `=` compare numbers; sizes have the units of
`sizes.parse_size`, ages those of `ages.parse_duration` (`age<8h`). `since:` takes a time. `-` or `!` negates a term.
Quotes keep spaces together; `\\"` is a quote. Case is ignored, and so is whether an accent is part of its letter
(Unicode's NFC and NFD).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import reduce
from typing import Any, Generic, Literal, TypeVar, cast

from novacron_core.values.ages import parse_duration
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


Kind = Literal["text", "texts", "number", "size", "age", "since"]
Operator = Literal["contains", ":", ">", ">=", "<", "<=", "="]


@dataclass(frozen=True)
class FilterField(Generic[T]):
    """A field of a filtered object. `read` returns a text, several texts, a number, or None when there is no value.

    An `age` is in seconds. A `since` is in seconds since the epoch, and `:` means at that time or later; `parse` gives
    the number of a value, and raises ValueError with a sentence.
    """

    read: Callable[[T], Any]
    kind: Kind = "text"
    parse: Callable[[str], float] | None = None

    @property
    def numeric(self) -> bool:
        """Whether its values are compared as numbers."""
        return self.kind in ("number", "size", "age", "since")


@dataclass(frozen=True)
class Term:
    """A term of a filter, checked. `operator` is `contains` for a bare word. `number` is the value of a numeric field,
    whose operator is never `:`. `values` are the texts for any other; `quoted` ones must match the whole text."""

    field: str
    operator: Operator
    values: tuple[str, ...] = ()
    quoted: bool = False
    negated: bool = False
    number: float = 0.0


def compile_filter(text: str, fields: Mapping[str, FilterField[T]]) -> Test[T]:
    """The predicate of a filter; an empty filter matches everything. `fields` must have the key `name`.

    Raises FilterError as `parse_filter` does.
    """
    tests = [_test(term, fields[term.field]) for term in parse_filter(text, fields)]
    if not tests:
        return lambda thing: True
    return reduce(_both, tests)


def parse_filter(text: str, fields: Mapping[str, FilterField[Any]]) -> list[Term]:
    """The terms of a filter, for a reader of fields that is not Python: SQL.

    Raises FilterError for an unknown field, a value of the wrong type, a text longer than MAX_LENGTH, or more than
    MAX_WORDS values.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter must have at most {MAX_LENGTH} characters")
    if count_words(text) > MAX_WORDS:
        raise FilterError(f"the filter must have at most {MAX_WORDS} words")
    return [_term(match, fields) for match in _terms(text)]


def replace_values(text: str, field: str, replace: Callable[[str], str]) -> str:
    """The filter with other values for one field. Raises FilterError, also for a ValueError of `replace`."""
    parts, at = [], 0
    for match in _terms(text):
        if (match["field"] or "").lower() == field and match["op"] == ":" and match["value"]:
            try:
                value = replace(_unquoted(match["value"]))
            except ValueError as e:
                raise FilterError(f'"{match[0].strip()}": {e}', match.start()) from e
            parts += [text[at : match.start("value")], value]
            at = match.end("value")
    return "".join([*parts, text[at:]])


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


def _term(match: re.Match[str], fields: Mapping[str, FilterField[Any]]) -> Term:
    name = (match["field"] or "name").lower()
    value = _unquoted(match["value"])
    field, negated = fields.get(name), bool(match["not"])
    if field is None:
        raise FilterError(f"unknown field {name}: choose one of {', '.join(fields)}", match.start())
    if not value:
        raise FilterError(f'"{match[0].strip()}": a value is missing', match.start())
    if match["field"] is None:
        return Term(name, "contains", (value,), negated=negated)
    operator = cast("Operator", match["op"])
    if operator != ":":
        return Term(name, operator, negated=negated, number=_number(field, value, match))
    words = tuple(word for word in value.split(",") if word)
    if field.numeric and words:
        return Term(
            name, ">=" if field.kind == "since" else "=", negated=negated, number=_number(field, words[0], match)
        )
    return Term(name, ":", words, quoted=match["value"].startswith('"'), negated=negated)


def _test(term: Term, field: FilterField[T]) -> Test[T]:
    numeric = term.operator in _COMPARE
    test = _compare(term, field.read) if numeric else _texts(field, term.values, plain_matcher(term))
    if term.negated:
        return lambda thing: not test(thing)
    return test


def plain_matcher(term: Term) -> Callable[[str], Matcher]:
    """Makes the matcher of a word without wildcards."""
    return _contains if term.operator == "contains" else _equals if term.quoted else _starts_with


def matcher(word: str, plain: Callable[[str], Matcher]) -> Matcher:
    """Whether a folded text matches a word. A glob must match the whole text; `plain` is for a word without."""
    word = fold(word)
    if has_wildcards(word):
        # `[` is a literal here: the character sets of fnmatch are not part of the filter language.
        pattern = re.compile(translate(word.replace("[", "[[]")))
        return lambda text: pattern.match(text) is not None
    return plain(word)


def has_wildcards(word: str) -> bool:
    """Whether a word of a filter must match a whole text, with `*` and `?` for what may be there."""
    return "*" in word or "?" in word


def _unquoted(value: str) -> str:
    """The text of a value: between its quotes, of which the last may be missing while it is typed, or without any."""
    inner = value.removeprefix('"').removesuffix('"') if value.startswith('"') else value
    return inner.replace('\\"', '"')


def fold(text: str) -> str:
    """The form in which texts are compared: without case, and with one spelling of letters with accents."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _texts(field: FilterField[T], words: Iterable[str], plain: Callable[[str], Matcher]) -> Test[T]:
    matchers = [matcher(word, plain) for word in words]
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


def _number(field: FilterField[Any], value: str, match: re.Match[str]) -> float:
    if not field.numeric:
        raise FilterError(f"{match['field']} is not a number: use {match['field']}:{value}", match.start())
    parse = field.parse or _PARSE[field.kind]
    try:
        return float(parse(value))
    except ValueError as e:
        why = str(e) if field.parse or field.kind == "age" else f"expected a number after {match['op']}"
        raise FilterError(f'"{match[0].strip()}": {why}', match.start()) from e


_PARSE: dict[str, Callable[[str], float]] = {"number": float, "size": parse_size, "age": parse_duration}


def _compare(term: Term, read: Callable[[T], Any]) -> Test[T]:
    compare, wanted = _COMPARE[term.operator], term.number

    def test(thing: T) -> bool:
        actual = read(thing)
        return actual is not None and compare(float(actual), wanted)

    return test
