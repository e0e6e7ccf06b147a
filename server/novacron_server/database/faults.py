"""The only place that converts SQLAlchemy and psycopg errors to NovaCron errors and decides which may be retried."""

from __future__ import annotations

import psycopg
from sqlalchemy import exc as sa

from novacron_core.errors import Conflict, DatabaseUnavailable, Internal, NotFound, NovaCronError

RETRY_AFTER_S = 2.0
_BUSY = {"57014": "a statement took too long", "55P03": "a lock was held too long", "53300": "too many connections"}
_WAIT = {
    "25006": "the database is read-only: it may be a standby",
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
    """A transaction exceeded its time budget."""


class OutcomeUnknown(DatabaseUnavailable):
    """The connection was lost during a COMMIT: the commit may have happened, or may still happen."""


def sqlstate(exc: BaseException) -> str:
    """PostgreSQL's five-character error code, empty when there is none."""
    return getattr(_driver_error(exc), "sqlstate", None) or ""


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
        return DatabaseUnavailable("the database did not answer in time", retry_after_s=RETRY_AFTER_S)
    if isinstance(exc, sa.TimeoutError):
        return DatabaseUnavailable("all database connections are in use", retry_after_s=RETRY_AFTER_S)
    code = sqlstate(exc)
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


def unknown_outcome() -> OutcomeUnknown:
    """The error to raise when it is unknown whether a change was stored."""
    return OutcomeUnknown(
        "the database connection was lost while the change was stored; check whether it was made before repeating it",
        retry_after_s=RETRY_AFTER_S,
    )


def _driver_error(exc: BaseException) -> BaseException:
    inner = exc.orig if isinstance(exc, sa.DBAPIError) else None
    return inner or exc
