"""Structured logs on standard error: readable lines on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import Any

import msgspec
import structlog

_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls except newline and tab (a traceback has both), formats, bidirectional marks, lone surrogates and tags."""


def set_up() -> None:
    """Configure structlog, and the libraries' loggers, Python's warnings and uncaught errors likewise: every line of a
    log that is not a terminal is one JSON object."""
    terminal = sys.stderr.isatty()
    begin: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    end: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, make_harmless]
    factory: Any
    if terminal:
        end.append(structlog.dev.ConsoleRenderer())
        factory = structlog.WriteLoggerFactory(file=sys.stderr)
    else:
        end.append(structlog.processors.JSONRenderer(serializer=_json))
        factory = structlog.BytesLoggerFactory(file=sys.stderr.buffer)
    structlog.configure(
        processors=[*begin, *end],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*begin, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end[:-1], _as_text(end[-1])],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_of_thread


def _as_text(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """The renderer for a handler of `logging`, which writes text."""

    def as_text(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        line = render(logger, method, event)
        return line.decode() if isinstance(line, bytes) else str(line)

    return as_text


def _log_uncaught(kind: type[BaseException], error: BaseException, _trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, _trace)
    else:
        structlog.get_logger().critical("uncaught exception", exc_info=error)


def _log_of_thread(hook: threading.ExceptHookArgs) -> None:
    name = hook.thread.name if hook.thread else ""
    structlog.get_logger().error("uncaught exception of a thread", thread=name, exc_info=hook.exc_value)


def _log_unraisable(hook: Any) -> None:
    structlog.get_logger().error("uncaught exception", where=hook.err_msg or repr(hook.object), exc_info=hook.exc_value)


def make_harmless(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Make control, bidirectional and other invisible characters visible in every value: a terminal would obey those
    that a stranger puts into a path."""
    return {key: _harmless(value) for key, value in event.items()}


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else _HARMFUL.sub(_escape, value)
    if isinstance(value, list | tuple):
        return [_harmless(item) for item in value]
    if isinstance(value, dict):
        return {_harmless(key): _harmless(item) for key, item in value.items()}
    return value


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _json(event: Any, **_: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
