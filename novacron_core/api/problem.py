"""Problem documents (RFC 9457): what every refusal looks like on the wire."""

from __future__ import annotations

from novacron_core.api.base import Value


class FieldError(Value, frozen=True):
    """One thing wrong with one field of a request."""

    field: str
    message: str


class Problem(Value, frozen=True):
    """`application/problem+json`. `code` is the stable name; `detail` is a sentence for the operator."""

    title: str
    status: int
    code: str
    type: str = "about:blank"
    detail: str = ""
    request_id: str = ""
    errors: list[FieldError] = []
    retry_after_s: float | None = None
