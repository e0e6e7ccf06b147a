"""The filter language in SQL: how a column matches a word, and a time a term, as `rules.filters.language` does in Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, not_

from novacron_core.rules.filters.language import Term, fold, has_wildcards
from novacron_server.database.rows import storable

Condition = ColumnElement[bool]
Text = ColumnElement[Any]
_WILD = {"*": ".*", "?": "."}
_LONGEST_AGE_S = 100 * 366 * 86400.0


def negatable(term: Term, found: Condition) -> Condition:
    """The condition of a term. A value that is missing (NULL) does not match, so it matches the negation, as in Python."""
    return not_(func.coalesce(found, False)) if term.negated else found


def in_time(time: ColumnElement[Any], term: Term, now: datetime) -> Condition:
    """Whether a time matches a term of the kind `age` or `since`."""
    if term.field == "since":
        return time >= datetime.fromtimestamp(term.number, UTC)
    moment = now - timedelta(seconds=min(term.number, _LONGEST_AGE_S))
    conditions: dict[str, Condition] = {
        "<": time > moment, "<=": time >= moment, ">": time < moment, ">=": time <= moment, "=": time == moment,
    }  # fmt: skip
    return conditions[term.operator]


def like(column: Text, word: str, term: Term) -> Condition:
    """Whether a column matches a word, ignoring case. Only letters of ASCII have lower case in every database: a word
    with others is matched as a regular expression that has both cases of each letter."""
    folded = storable(fold(word))
    if folded.isascii():
        return func.lower(column).like(_pattern(folded, term), escape="\\")
    return column.op("~")(_expression(folded, term))


def _pattern(word: str, term: Term) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    if has_wildcards(word):
        return escaped.replace("*", "%").replace("?", "_")
    if term.operator == "contains":
        return f"%{escaped}%"
    return escaped if term.quoted else f"{escaped}%"


def _expression(word: str, term: Term) -> str:
    if has_wildcards(word):
        return f"^{''.join(_WILD.get(letter) or _either_case(letter) for letter in word)}$"
    letters = "".join(_either_case(letter) for letter in word)
    if term.operator == "contains":
        return letters
    return f"^{letters}$" if term.quoted else f"^{letters}"


def _either_case(letter: str) -> str:
    cases = sorted({letter, letter.upper(), letter.lower()})
    return f"({'|'.join(re.escape(case) for case in cases)})"
