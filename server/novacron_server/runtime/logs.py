"""Structured logs on standard error: readable lines on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import msgspec
import structlog

_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls except newline and tab (a traceback has both), formats, bidirectional marks, lone surrogates and tags."""


def set_up() -> None:
    """Configure structlog, and print the libraries' warnings to standard error too."""
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    processors += [structlog.processors.format_exc_info, make_harmless]
    factory: Any
    if sys.stderr.isatty():
        processors.append(structlog.dev.ConsoleRenderer())
        factory = structlog.WriteLoggerFactory(file=sys.stderr)
    else:
        processors.append(structlog.processors.JSONRenderer(serializer=_json))
        factory = structlog.BytesLoggerFactory(file=sys.stderr.buffer)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def make_harmless(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Make control, bidirectional and other invisible characters visible in every value: a terminal would obey those
    that a stranger puts into a path."""
    return {key: _harmless(value) for key, value in event.items()}


def _harmless(value: Any) -> Any:
    if isinstance(value, str) and not value.isprintable():
        return _HARMFUL.sub(_escape, value)
    if isinstance(value, list | tuple):
        return [_harmless(item) for item in value]
    if isinstance(value, dict):
        return {_harmless(key): _harmless(item) for key, item in value.items()}
    return value


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _json(event: Any, **_: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
