"""The end of an operation: its last value, and the reason if it failed."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState

_log = structlog.get_logger()


def with_outcome(
    operation: Operation, state: OperationState, error: errors.NovaCronError | None, *, completed: bool = False
) -> Operation:
    """The operation's last value, ended now in `state`. `error` is the reason; `completed` as in Operation."""
    return msgspec.structs.replace(
        operation,
        state=state,
        problem=error.problem() if error else None,
        progress=1.0 if state is OperationState.SUCCEEDED else operation.progress,
        finished_at=datetime.now(UTC),
        may_cancel=False,
        completed=completed,
        rate=None,
        eta_s=None,
    )


def as_known_error(operation: Operation, error: Exception) -> errors.NovaCronError:
    """Return an error that may be shown. Any other exception is a bug: it is logged, and shown as an internal error."""
    if isinstance(error, errors.NovaCronError):
        return error
    _log.error("operation failed unexpectedly", operation=operation.id, kind=operation.kind, exc_info=error)
    return errors.Internal("internal error: see the server's log")
