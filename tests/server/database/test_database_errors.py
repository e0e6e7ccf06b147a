"""PostgreSQL's error codes, sorted: those that pass are waited for, the others are not."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import exc

from novacron_core import errors
from novacron_server.database import faults


def error_with(code: str) -> Exception:
    lost = code.startswith(("08", "57P"))

    class Refused(psycopg.OperationalError if lost else psycopg.DatabaseError):  # type: ignore[misc]
        sqlstate = code

    return exc.DBAPIError("SELECT secret", {}, Refused("a row with secrets"))


@pytest.mark.parametrize(
    "code", ["25006", "26000", "42P05", "0A000", "57P04", "53100", "53200", "53300", "57014", "40001", "08006", "58030"]
)
def test_states_that_pass_are_waited_for(code: str) -> None:
    error = faults.translate(error_with(code))
    assert isinstance(error, errors.DatabaseUnavailable)
    assert error.retry_after_s
    assert "secret" not in error.detail


@pytest.mark.parametrize(
    ("code", "kind"),
    [("23505", errors.Conflict), ("22P02", errors.NotFound), ("42501", errors.Internal), ("XX001", errors.Internal)],
)
def test_other_refusals_are_told_at_once(code: str, kind: type[errors.NovaCronError]) -> None:
    error = faults.translate(error_with(code))
    assert type(error) is kind
    assert "secret" not in error.detail
