"""Errors are sent over the wire and read back as the same class."""

from __future__ import annotations

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api.problem import FieldError, Problem

CODES = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "totp_required": 401,
    "reauthentication_required": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "quota_exceeded": 409,
    "gone": 410,
    "precondition_failed": 412,
    "too_large": 413,
    "validation_failed": 422,
    "filter_too_slow": 422,
    "precondition_required": 428,
    "rate_limited": 429,
    "internal": 500,
    "unsupported": 501,
    "host_unavailable": 503,
    "database_unavailable": 503,
}


def test_every_code_has_its_class_and_status() -> None:
    ours = {code: cls.status for code, cls in errors.BY_CODE.items() if cls.status}
    assert ours == CODES


@pytest.mark.parametrize("code", CODES)
def test_error_survives_the_wire(code: str) -> None:
    sent = errors.BY_CODE[code](
        "no", fields=[FieldError(field="name", message="taken")], retry_after_s=3, request_id="r"
    )
    problem = msgspec.json.decode(msgspec.json.encode(sent.problem()), type=Problem)
    got = errors.from_problem(problem)
    assert type(got) is type(sent)
    assert (got.detail, got.fields, got.retry_after_s, got.request_id) == ("no", sent.fields, 3, "r")


def test_unknown_code_of_a_newer_server_is_still_an_error() -> None:
    got = errors.from_problem(Problem(title="Teapot", status=418, code="teapot", detail="short and stout"))
    assert type(got) is errors.NovaCronError
    assert str(got) == "short and stout"
