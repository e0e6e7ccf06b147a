"""The only place that converts SQLAlchemy and psycopg errors to NovaCron errors and decides which may be retried."""

from __future__ import annotations

import psycopg
from sqlalchemy import exc as sa

from novacron_core.errors import Conflict, DatabaseUnavailable, Internal, NotFound, NovaCronError
from novacron_server.database.refusals import ConnectionFailure

RETRY_AFTER_S = 2.0
_BUSY = {"57014": "a statement took too long", "55P03": "a lock was held too long", "53300": "too many connections"}
READ_ONLY = "the database is read-only: it may be a standby"
_WAIT = {
    "25006": READ_ONLY,
    "26000": "a connection pooler has lost a prepared statement",
    "42P05": "a connection pooler has mixed up prepared statements",
    "0A000": "the tables have just changed",
    "57P04": "the database was dropped",
    "58030": "the database cannot read or write its files",
}
"""States of the database that pass: a change waits for them, and is not refused for good."""
_RETRYABLE = {"40001", "40P01"}
"""serialization_failure, deadlock_detected. Source: PostgreSQL, appendix A."""

Fault = (sa.SQLAlchemyError, psycopg.Error)
"""The exceptions that the driver and SQLAlchemy raise."""


class Expired(Exception):
    """A transaction exceeded its time budget of `limit_s`, which is --database-budget-s."""

    def __init__(self, limit_s: float | None = None) -> None:
        super().__init__()
        self.limit_s = limit_s


class StatementTooSlow(DatabaseUnavailable):
    """The database works, but has ended a statement that took longer than it may."""


class OutcomeUnknown(DatabaseUnavailable):
    """The connection was lost during a COMMIT: the commit may have happened, or may still happen."""


def sqlstate(exc: BaseException) -> str:
    """PostgreSQL's five-character error code, empty when there is none."""
    return getattr(_driver_error(exc), "sqlstate", None) or ""


def primary_message(exc: BaseException) -> str:
    """PostgreSQL's own message in one line, empty when there is none. It may contain values of rows."""
    error = _driver_error(exc)
    return " ".join((error.diag.message_primary or "").split()) if isinstance(error, psycopg.Error) else ""


def lost_connection(exc: BaseException) -> bool:
    """Whether the connection was lost or never established, as opposed to an error reported by the database."""
    if isinstance(exc, sa.DBAPIError) and exc.connection_invalidated:
        return True
    code = sqlstate(exc)
    return isinstance(_driver_error(exc), (psycopg.OperationalError, psycopg.InterfaceError)) and (
        not code or code.startswith(("08", "57P"))
    )


def is_retryable(exc: BaseException) -> bool:
    """Whether the same transaction may succeed when run again; nothing of the first run is left."""
    return sqlstate(exc) in _RETRYABLE or lost_connection(exc)


def translate(exc: BaseException, *, read_only: bool = False) -> NovaCronError:
    """The NovaCron error for a driver error. The driver's text may contain row values, so it is not passed on. A write
    in a transaction that was opened as `read_only` is an error of ours."""
    if isinstance(exc, Expired):
        within = f"within {exc.limit_s:g} s (--database-budget-s)" if exc.limit_s else "in time"
        return DatabaseUnavailable(f"the database did not answer {within}", retry_after_s=RETRY_AFTER_S)
    if isinstance(failure := _driver_error(exc), ConnectionFailure):
        return DatabaseUnavailable(failure.reason, retry_after_s=RETRY_AFTER_S)
    if isinstance(exc, sa.TimeoutError):
        return DatabaseUnavailable("all database connections are in use", retry_after_s=RETRY_AFTER_S)
    code = sqlstate(exc)
    if code == "57014":
        return StatementTooSlow(f"the database is busy: {_BUSY[code]}", retry_after_s=RETRY_AFTER_S)
    if code in _BUSY:
        return DatabaseUnavailable(f"the database is busy: {_BUSY[code]}", retry_after_s=RETRY_AFTER_S)
    if code in _RETRYABLE:
        return DatabaseUnavailable(
            "the database is busy: concurrent changes to the same rows", retry_after_s=RETRY_AFTER_S
        )
    if code in _WAIT and not (read_only and code == "25006"):
        return DatabaseUnavailable(_WAIT[code], retry_after_s=RETRY_AFTER_S)
    if code.startswith("53"):
        return DatabaseUnavailable("the database is out of disk space or memory", retry_after_s=RETRY_AFTER_S)
    if lost_connection(exc):
        return DatabaseUnavailable("the database cannot be reached", retry_after_s=RETRY_AFTER_S)
    if code == "23505":
        return Conflict("An object with this name or id already exists")
    if code == "22P02":
        return NotFound("No object with this id")  # a malformed id cannot exist
    return Internal(f"the database rejected a statement ({code or type(exc).__name__})")


def at_start(exc: BaseException) -> NovaCronError:
    """Like `translate`, for an operator who starts a server: with what to do, which may name roles and databases."""
    failure = _driver_error(exc)
    return DatabaseUnavailable(str(failure)) if isinstance(failure, ConnectionFailure) else translate(exc)


def unknown_outcome() -> OutcomeUnknown:
    """The error to raise when it is unknown whether a change was stored."""
    return OutcomeUnknown(
        "the database connection was lost while the change was stored; check whether it was made before repeating it",
        retry_after_s=RETRY_AFTER_S,
    )


def _driver_error(exc: BaseException) -> BaseException:
    inner = exc.orig if isinstance(exc, sa.DBAPIError) else None
    return inner or exc
