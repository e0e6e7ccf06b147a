"""Decodes untrusted bytes into request structs. Invalid input becomes a problem that names the field."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api.base import Request
from novacron_core.api.problem import FieldError
from novacron_core.values.names import PATTERN_RULES

T = TypeVar("T", bound=Request)
_PATH = re.compile(r"^(?P<message>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PATTERN = re.compile(r"Expected `str` matching regex (?P<pattern>'.*')", re.DOTALL)
_TIME = re.compile(r"RFC3339|[Tt]imestamp|`datetime`")
_DATE = re.compile(r"\d{4}-")
_NO_TIME = "enter a time with its zone, like 2026-11-26T22:00:00Z"
_IF_MATCH = re.compile(r'"(\d{1,18})"')
MAX_DEPTH = 16
MAX_VALUES = 10_000
"""A bulk of 5,000 ids has the most."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def body(raw: bytes, kind: type[T]) -> T:
    """Decode a JSON body. Raises InvalidArgument for invalid JSON and for more than the caps, ValidationFailed for values
    of the wrong type."""
    check_size(raw)
    try:
        decoded = msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as e:
        raise invalid(e) from e
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise errors.InvalidArgument("The request body is not valid JSON") from e
    if b"\\u0000" in raw:
        _refuse_nul("", msgspec.to_builtins(decoded))
    return decoded


def check_size(raw: bytes) -> None:
    """Raises InvalidArgument for JSON of more values, or deeper, than any request has: nothing of it is decoded."""
    opened = raw.count(b"[") + raw.count(b"{")
    if opened <= MAX_DEPTH and raw.count(b",") + opened <= MAX_VALUES:
        return
    bare = _STRING.sub(b"", raw)
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > MAX_VALUES:
        raise errors.InvalidArgument(f"The request body has more than {MAX_VALUES} values")
    depth = 0
    for letter in bare.translate(None, _NO_BRACKETS):
        depth += 1 if letter in b"[{" else -1
        if depth > MAX_DEPTH:
            raise errors.InvalidArgument(f"The request body is nested deeper than {MAX_DEPTH} levels")


def _refuse_nul(path: str, value: Any) -> None:
    """Raises ValidationFailed for the character U+0000, which PostgreSQL stores in no text and libvirt ends a text at."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(path, str(key))
            _refuse_nul(_join(path, str(key)), item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _refuse_nul(f"{path}[{number}]", item)
    elif isinstance(value, str) and "\0" in value:
        raise _wrong(path, "must not contain the character U+0000")


def query(pairs: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """Decode URL parameters, each given at most once. Raises ValidationFailed naming the parameter."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise _wrong(name, "given more than once")
        _refuse_nul(name, value)
        values[name] = value
    try:
        decoded = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as e:
        raise invalid(e) from e
    for name, attribute in zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True):
        text, value = values.get(name), getattr(decoded, attribute)
        # msgspec reads a number as the seconds since 1970, and `null` as a parameter that was not given.
        if text is not None and (value is None or (isinstance(value, datetime) and not _DATE.match(text))):
            raise _wrong(name, _NO_TIME if isinstance(value, datetime) else "must not be null")
    return decoded


def _wrong(name: str, message: str) -> errors.ValidationFailed:
    return errors.ValidationFailed(f"{name}: {message}", fields=[FieldError(field=name, message=message)])


def invalid(error: msgspec.ValidationError) -> errors.ValidationFailed:
    """Split msgspec's message into field and sentence: ``Expected `int` >= 1 - at `$.page``` is about field `page`."""
    match = _PATH.match(str(error))
    message, path = (match["message"], match["path"] or "") if match else (str(error), "")
    field = path.lstrip(".")
    if found := _UNKNOWN.search(message):
        field, message = _join(field, found["field"]), "unknown field"
    elif found := _MISSING.search(message):
        field, message = _join(field, found["field"]), "required"
    elif found := _PATTERN.search(message):
        message = PATTERN_RULES.get(literal_eval(found["pattern"]), "has a wrong form")
    elif _TIME.search(message):
        message = _NO_TIME
    sentence = f"{field}: {message}" if field else message
    return errors.ValidationFailed(sentence, fields=[FieldError(field=field, message=message)])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def if_match(value: str | None) -> int | None:
    """Parse an If-Match header as a generation; None without one. Raises InvalidArgument for anything else."""
    if value is None:
        return None
    match = _IF_MATCH.fullmatch(value.strip())
    if not match:
        raise errors.InvalidArgument('If-Match must be a quoted generation, e.g. "7"')
    return int(match[1])


def idempotency_key(value: str | None) -> str:
    """Check the Idempotency-Key header; empty without one. Raises InvalidArgument when it is too long or not ASCII."""
    if value is None:
        return ""
    if not _KEY.fullmatch(value):
        raise errors.InvalidArgument("Idempotency-Key must be 1 to 128 printable ASCII characters without spaces")
    return value


def length(value: str | None) -> int | None:
    """Parse the Content-Length header in bytes; None without one. Raises InvalidArgument for anything else."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise errors.InvalidArgument("Content-Length must be a number of bytes")
    return int(value)


def accepts_gzip(value: str) -> bool:
    """Whether an Accept-Encoding header takes gzip, by its name (RFC 9110, 12.5.3)."""
    for coding in value.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
    return False
