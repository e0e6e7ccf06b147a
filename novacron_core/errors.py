"""The error classes. Each one has its wire code and HTTP status; the client raises the class that the server raised.

The codes are part of the wire contract (RFC 9457 problem documents with a `code` member).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from novacron_core.api.problem import FieldError, Problem


class NovaCronError(Exception):
    """A refusal or failure, described in one sentence for the operator.

    `detail` is that sentence. `fields` lists the invalid fields of a request. `retry_after_s` is set where a retry
    after that many seconds may succeed.
    """

    code = "internal"
    status = 500
    title = "Internal error"

    def __init__(
        self,
        detail: str = "",
        *,
        fields: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.fields = tuple(fields)
        self.retry_after_s = retry_after_s
        self.request_id = request_id

    def problem(self, request_id: str = "") -> Problem:
        """The RFC 9457 document of this error."""
        return Problem(
            type=f"urn:novacron:problem:{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            request_id=request_id or self.request_id,
            errors=list(self.fields),
            retry_after_s=self.retry_after_s,
        )


class InvalidArgument(NovaCronError):
    code, status, title = "invalid_argument", 400, "Bad request"


class Unauthenticated(NovaCronError):
    code, status, title = "unauthenticated", 401, "Not signed in"


class TotpRequired(Unauthenticated):
    """The password is right, and the account has a second factor: sign in with a code too."""

    code, title = "totp_required", "Code required"


class Forbidden(NovaCronError):
    code, status, title = "forbidden", 403, "Not allowed"


class ReauthenticationRequired(Forbidden):
    """Prove who you are (POST /auth/prove), then send the request again."""

    code, title = "reauthentication_required", "Password required"


class NotFound(NovaCronError):
    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(NovaCronError):
    code, status, title = "method_not_allowed", 405, "Method not allowed"


class Conflict(NovaCronError):
    code, status, title = "conflict", 409, "Conflict"


class QuotaExceeded(NovaCronError):
    code, status, title = "quota_exceeded", 409, "Quota exceeded"


class Gone(NovaCronError):
    code, status, title = "gone", 410, "No longer available"


class PreconditionFailed(NovaCronError):
    code, status, title = "precondition_failed", 412, "Changed meanwhile"


class TooLarge(NovaCronError):
    code, status, title = "too_large", 413, "Too large"


class ValidationFailed(NovaCronError):
    code, status, title = "validation_failed", 422, "Validation failed"


class FilterTooSlow(NovaCronError):
    """A filter that the database could not apply in the time that one search may take."""

    code, status, title = "filter_too_slow", 422, "The filter takes too long"


class PreconditionRequired(NovaCronError):
    code, status, title = "precondition_required", 428, "If-Match is required"


class RateLimited(NovaCronError):
    code, status, title = "rate_limited", 429, "Too many requests"


class Internal(NovaCronError):
    code, status, title = "internal", 500, "Internal error"


class Unsupported(NovaCronError):
    code, status, title = "unsupported", 501, "Not supported by this host"


class HostUnavailable(NovaCronError):
    code, status, title = "host_unavailable", 503, "Host unavailable"


class DatabaseUnavailable(NovaCronError):
    code, status, title = "database_unavailable", 503, "Database unavailable"


class ServerUnreachable(NovaCronError):
    """Raised only by the client: the server did not answer. Never sent over the wire."""

    code, status, title = "unreachable", 0, "Server unreachable"


class IncompatibleServer(NovaCronError):
    """Raised only by the client: the server speaks another protocol version. Never sent over the wire."""

    code, status, title = "incompatible", 0, "Incompatible server version"


class UntrustedServer(IncompatibleServer):
    """Raised only by the client: the server's certificate differs from the pinned one, or no authority signed it."""

    code, status, title = "untrusted", 0, "The server's certificate is not trusted"


class InvalidSetting(NovaCronError):
    """Raised only by the client: a token, URL or variable of this machine cannot be used. Never sent over the wire."""

    code, status, title = "invalid_setting", 0, "A setting of this machine cannot be used"


def _leaves(cls: type[NovaCronError]) -> Iterator[type[NovaCronError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _leaves(sub)


BY_CODE: dict[str, type[NovaCronError]] = {cls.code: cls for cls in _leaves(NovaCronError)}


def from_problem(problem: Problem) -> NovaCronError:
    """The exception for a problem document; an unknown code becomes a plain NovaCronError."""
    cls = BY_CODE.get(problem.code, NovaCronError)
    return cls(
        problem.detail,
        fields=problem.errors,
        retry_after_s=problem.retry_after_s,
        request_id=problem.request_id,
    )
