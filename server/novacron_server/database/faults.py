"""The one place where errors of SQLAlchemy and psycopg become ours, and where it is decided what may be tried again."""

from __future__ import annotations

import psycopg
from sqlalchemy import exc as sa

from novacron_core.errors import Conflict, DatabaseUnavailable, Internal, NotFound, NovaCronError

RETRY_AFTER_S = 2.0
_BUSY = {"57014": "a statement took too long", "55P03": "a lock was held too long", "53300": "too many connections"}
_AGAIN = {"40001", "40P01"}
"""serialization_failure, deadlock_detected. Source: PostgreSQL, appendix A."""

Fault = (sa.SQLAlchemyError, psycopg.Error)
"""What the driver's side raises."""


class Expired(Exception):
    """A transaction did not end within its time."""


class OutcomeUnknown(DatabaseUnavailable):
    """The connection went while a COMMIT was under way: it may have happened, or may still happen."""


def sqlstate(exc: BaseException) -> str:
    """The five letters of PostgreSQL's error code, empty where there is none."""
    return getattr(_driver_error(exc), "sqlstate", None) or ""


def lost_connection(exc: BaseException) -> bool:
    """Whether the connection went away or was never made (as opposed to an answer of the database)."""
    if isinstance(exc, sa.DBAPIError) and exc.connection_invalidated:
        return True
    code = sqlstate(exc)
    return isinstance(_driver_error(exc), (psycopg.OperationalError, psycopg.InterfaceError)) and (
        not code or code.startswith(("08", "57P"))
    )


def worth_another_try(exc: BaseException) -> bool:
    """Whether the same transaction may well succeed on a second run: nothing of the first is left."""
    return sqlstate(exc) in _AGAIN or lost_connection(exc)


def violated(exc: BaseException) -> str | None:
    """The name of the constraint that a row broke, for repositories that know what it means."""
    diagnosis = getattr(_driver_error(exc), "diag", None)
    return diagnosis.constraint_name if diagnosis else None


def translate(exc: BaseException) -> NovaCronError:
    """Our error for one of the driver's. The driver's own text may carry values of rows, so it is not passed on."""
    if isinstance(exc, Expired):
        return DatabaseUnavailable("the database did not answer in time", retry_after_s=RETRY_AFTER_S)
    if isinstance(exc, sa.TimeoutError):
        return DatabaseUnavailable("all connections to the database are busy", retry_after_s=RETRY_AFTER_S)
    code = sqlstate(exc)
    if code in _BUSY:
        return DatabaseUnavailable(f"the database is busy: {_BUSY[code]}", retry_after_s=RETRY_AFTER_S)
    if code in _AGAIN:
        return DatabaseUnavailable("the database is busy: others change the same things", retry_after_s=RETRY_AFTER_S)
    if code.startswith("53"):
        return DatabaseUnavailable("the database has run out of space or memory", retry_after_s=RETRY_AFTER_S)
    if lost_connection(exc):
        return DatabaseUnavailable("the database cannot be reached", retry_after_s=RETRY_AFTER_S)
    if code == "23505":
        return Conflict("that is there already")
    if code == "22P02":
        return NotFound("there is nothing with such an id")  # a malformed id is one that does not exist
    return Internal(f"the database refused a statement ({code or type(exc).__name__})")


def unknown_outcome() -> OutcomeUnknown:
    """What is raised when nobody can say whether a change was stored."""
    return OutcomeUnknown(
        "the database went away while the change was being stored; look whether it was made before repeating it",
        retry_after_s=RETRY_AFTER_S,
    )


def _driver_error(exc: BaseException) -> BaseException:
    inner = exc.orig if isinstance(exc, sa.DBAPIError) else None
    return inner or exc
