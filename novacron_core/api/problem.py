"""Problem documents (RFC 9457): the wire form of every error."""

from __future__ import annotations

from novacron_core.api.base import Value

NO_SUCH_PATH = "No such resource"
"""The `detail` of a 404 for a path that the API does not have; one for an object that does not exist names the object."""


class FieldError(Value, frozen=True):
    """An error in one field of a request."""

    field: str
    message: str


class Problem(Value, frozen=True):
    """`application/problem+json`. `code` is stable; `detail` is a sentence for the operator."""

    title: str
    status: int
    code: str
    type: str = "about:blank"
    detail: str = ""
    request_id: str = ""
    errors: list[FieldError] = []
    retry_after_s: float | None = None

    @property
    def sentence(self) -> str:
        """What to tell an operator: the detail, or the title of a problem without one."""
        return self.detail or self.title
