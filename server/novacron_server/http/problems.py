"""Turns every failure into a problem document (RFC 9457), never with a stack trace."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from novacron_core import errors
from novacron_core.api.problem import NO_SUCH_PATH

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger()

_BY_STATUS: dict[int, type[errors.NovaCronError]] = {
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.TooLarge,
    429: errors.RateLimited,
}
_DETAIL = {
    404: NO_SUCH_PATH,
    405: "This resource does not support that method",
    413: "The request body is too large",
}


def render(error: errors.NovaCronError, request_id: str) -> Response[bytes]:
    """The response for a NovaCron error, with Retry-After where a retry may help."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="novacron"'
    return Response(
        msgspec.json.encode(error.problem(request_id)), status_code=error.status, media_type=MEDIA_TYPE, headers=headers
    )


def translate(error: Exception) -> errors.NovaCronError:
    """Convert any exception to a NovaCron error; an unexpected one is logged and becomes a plain internal error."""
    if isinstance(error, errors.NovaCronError) and error.status:
        return error
    if isinstance(error, HTTPException):
        cls = _BY_STATUS.get(error.status_code, errors.InvalidArgument)
        return cls(_DETAIL.get(error.status_code, ""))
    _log.error("unexpected exception", exc_info=error)
    return errors.Internal("Internal server error. See the server's log under this request id.")


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler for all exceptions."""
    return render(translate(error), request.scope["state"].get("request_id", ""))
