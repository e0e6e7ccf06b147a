"""Adds security headers, a request id, a log line and a rate limit to every request.

A plain ASGI layer around the whole application, so that it covers the framework's own refusals (404, 405, 413) too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from secrets import token_hex
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.api_tokens import PREFIX
from novacron_server.http.allowed_hosts import AllowedHosts
from novacron_server.http.asked import Asked, begin
from novacron_server.http.limits import Budget, RateLimits
from novacron_server.http.problems import MEDIA_TYPE

_log = structlog.get_logger("access")
_API_TOKEN = re.compile(re.escape(PREFIX) + r"[\w-]+")
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
    `user_of` returns the user's id for a valid access token, else "".
    `methods_of` lists the methods of a path, for the Allow header. `trusts_request_ids`: clients come through a proxy of
    ours, whose X-Request-Id is kept. `on_refused` gets each request that was refused, after its answer was sent.
    """

    def __init__(
        self,
        app: Any,
        limits: RateLimits,
        *,
        tls: bool = False,
        stale_since: Callable[[], datetime | None] = lambda: None,
        methods_of: Callable[[str], list[str]] = lambda path: [],
        allowed_hosts: AllowedHosts | None = None,
        trusts_request_ids: bool = False,
        user_of: Callable[[str], str] = lambda bearer: "",
        on_refused: Callable[[Asked], None] = lambda asked: None,
    ) -> None:
        self._user_of = user_of
        self._on_refused = on_refused
        self._methods_of = methods_of
        self._allowed_hosts = allowed_hosts or AllowedHosts(tls=tls)
        self._trusts_request_ids = trusts_request_ids
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
        scope["path"] = _routed_path(scope)
        request_id = _request_id(scope) if self._trusts_request_ids else token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        address = scope["client"][0] if scope.get("client") else ""
        user_id = self._user_of(bearer_of(scope["headers"]))
        asked = Asked(address, request_id, user_id)
        begin(scope, asked)
        budget = self._limits.take(address, scope["path"], scope["type"], user_id)
        added = (*self._headers, (b"x-request-id", request_id.encode()), *budget.headers)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        log = _AccessLogLine(scope, request_id, address)

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                log.status = message["status"]
                headers = _with_allow(scope, message, self._methods_of)
                message["headers"] = [*headers, *added, *_stale(self._stale_since())]
            await send(message)

        try:
            if (refusal := self._refusal(scope, budget)) is None:
                await self._app(scope, receive, send_with_headers)
            elif scope["type"] == "http":
                asked.refused = refusal
                await _refuse(send_with_headers, refusal, request_id)
            elif "websocket.http.response" in (scope.get("extensions") or {}):
                # A socket that is only closed is answered with a bare 403: to our clients, that they are signed out.
                asked.refused = refusal
                await receive()
                await _refuse(send, refusal, request_id, kind="websocket.http.response")
            else:
                asked.refused = refusal
                await receive()
                await send({"type": "websocket.close", "code": 1013, "reason": refusal.code})
        finally:
            log.write()
            if asked.refused is not None:
                self._on_refused(asked)
            structlog.contextvars.unbind_contextvars("request_id")

    def _refusal(self, scope: Any, budget: Budget) -> errors.NovaCronError | None:
        """Why a request does not reach the application, None when it does."""
        if budget.refused:
            seconds = budget.retry_after_s
            return errors.RateLimited(f"too many requests; try again in {seconds:.0f} s", retry_after_s=seconds)
        if not self._allowed_hosts.admits(scope["headers"]):
            return errors.Forbidden(
                "this server has another name: use its address, or start it with --allowed-host NAME"
            )
        return None


def bearer_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The token of a request, empty if it has none."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
    return ""


def _routed_path(scope: Any) -> str:
    """The decoded path, in which an encoded slash stays encoded: it belongs to a name and separates nothing."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return str(scope["path"])
    segments = raw.decode("ascii", "replace").split("/")
    return "/".join(unquote(segment).replace("/", "%2F") for segment in segments)


def _with_allow(scope: Any, message: Any, methods_of: Callable[[str], list[str]]) -> list[tuple[bytes, bytes]]:
    """The headers of a response, with every method of its path where the method is refused or asked for."""
    headers: list[tuple[bytes, bytes]] = message["headers"]
    asked = scope.get("method") == "OPTIONS" and message["status"] < 300
    if (message["status"] != 405 and not asked) or not (methods := methods_of(scope["path"])):
        return headers
    kept = [(name, value) for name, value in headers if name.lower() != b"allow"]
    return [*kept, (b"allow", ", ".join([*methods, "OPTIONS"]).encode())]


def _stale(since: datetime | None) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-novacron-stale-since", since.isoformat().encode()),) if since else ()


class _AccessLogLine:
    """One line of the access log, without the query string, because that may contain a ticket."""

    def __init__(self, scope: Any, request_id: str, address: str) -> None:
        self.status = 0
        self._began = time.perf_counter()
        self._fields = {
            "method": scope.get("method", "WEBSOCKET"),
            # Whoever takes the token for its id sends it in a path.
            "path": _API_TOKEN.sub(PREFIX + "…", scope["path"]),
            "address": address,
            "request_id": request_id,
        }

    def write(self) -> None:
        milliseconds = round((time.perf_counter() - self._began) * 1000, 2)
        _log.info("request", status=self.status, ms=milliseconds, **self._fields)


async def _refuse(send: Any, error: errors.NovaCronError, request_id: str, *, kind: str = "http.response") -> None:
    body = msgspec.json.encode(error.problem(request_id))
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
    await send({"type": f"{kind}.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _request_id(scope: Any) -> str:
    """The client's X-Request-Id when it is short plain text, else a new random one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return token_hex(8)
