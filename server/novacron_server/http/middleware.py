"""Adds security headers, a request id, a log line and a rate limit to every request.

A plain ASGI layer around the whole application, so that it covers the framework's own refusals (404, 405, 413) too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from secrets import token_hex
from typing import Any

import msgspec
import structlog

from novacron_core import errors
from novacron_server.http.limits import RateLimits
from novacron_server.http.problems import MEDIA_TYPE

_log = structlog.get_logger("access")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_HSTS = ((b"strict-transport-security", b"max-age=31536000"),)


class Middleware:
    """ASGI middleware. `tls`: the connection is encrypted, here or at a proxy, so responses carry an HSTS header.

    `stale_since`: since when the database is down, None while it is up. While it is down, reads are served from memory
    (promise G11), and every response says so in the header x-novacron-stale-since.
    """

    def __init__(
        self,
        app: Any,
        limits: RateLimits,
        *,
        tls: bool = False,
        stale_since: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._stale_since = stale_since
        self._app = app
        self._limits = limits
        self._headers = SECURITY_HEADERS + (_HSTS if tls else ())
        self.last_request_at = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        self.last_request_at = time.monotonic()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        address = scope["client"][0] if scope.get("client") else ""
        budget = self._limits.take(address, scope["path"], scope["type"])
        added = (*self._headers, (b"x-request-id", request_id.encode()), *budget.headers)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        log = _AccessLogLine(scope, request_id, address)

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                log.status = message["status"]
                message["headers"] = [*message["headers"], *added, *_stale(self._stale_since())]
            await send(message)

        try:
            if budget.refused and scope["type"] == "http":
                await _refuse(send_with_headers, budget.retry_after_s, request_id)
            elif budget.refused:
                await receive()
                await send({"type": "websocket.close", "code": 1013, "reason": "too many connections"})
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            log.write()
            structlog.contextvars.unbind_contextvars("request_id")


def _stale(since: datetime | None) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-novacron-stale-since", since.isoformat().encode()),) if since else ()


class _AccessLogLine:
    """One line of the access log, without the query string, because that may contain a ticket."""

    def __init__(self, scope: Any, request_id: str, address: str) -> None:
        self.status = 0
        self._began = time.perf_counter()
        self._fields = {
            "method": scope.get("method", "WEBSOCKET"),
            "path": scope["path"],
            "address": address,
            "request_id": request_id,
        }

    def write(self) -> None:
        milliseconds = round((time.perf_counter() - self._began) * 1000, 2)
        _log.info("request", status=self.status, ms=milliseconds, **self._fields)


async def _refuse(send: Any, retry_after_s: float, request_id: str) -> None:
    problem = errors.RateLimited(f"too many requests; try again in {retry_after_s:.0f} s", retry_after_s=retry_after_s)
    body = msgspec.json.encode(problem.problem(request_id))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(max(1, round(retry_after_s))).encode()),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(scope: Any) -> str:
    """The client's X-Request-Id when it is short plain text, else a new random one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return token_hex(8)
