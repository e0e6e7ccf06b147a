"""Calls over HTTP: a request struct in, an answer struct or one of our own exceptions out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import stamina

from novacron_core import __version__, errors
from novacron_core.api import access
from novacron_core.api.base import Nothing, Request
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.problem import Problem
from novacron_core.client import certificates
from novacron_core.client.credentials import Credentials
from novacron_core.values.roles import Permission

R = TypeVar("R")
Q = TypeVar("Q", bound=Request)
B = TypeVar("B", bound=Request)

# A retry is told by whoever shows the outcome; by default it would be printed, in the middle of a script's output.
stamina.instrumentation.set_on_retry_hooks([])

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_UPLOAD_SILENCE_S = 120.0
"""How long a server may take to flush and examine what it was sent."""
_GATEWAY_SILENT = frozenset({502, 504})


def as_is(text: str) -> str:
    """The default cleaning of what a server says: none. A console passes its own."""
    return text


class Client:
    """One server, one session.

    `clean` is applied to the raw JSON text of every answer before it is decoded; it must keep it valid JSON. It is
    the one place where strings from outside are made harmless for a terminal. `certificate` is the fingerprint of
    the only certificate that is accepted; without it the system's authorities decide.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        clean: Callable[[str], str] = as_is,
        timeout_s: float = 15.0,
        transport: httpx.AsyncBaseTransport | None = None,
        certificate: str = "",
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.credentials = credentials or Credentials()
        self.clean = clean
        self.tls = certificates.context(self.base_url, certificate)
        self._refreshing = asyncio.Lock()
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            headers={"User-Agent": f"novacron/{__version__}"},
            transport=transport,
            verify=self.tls or True,
            trust_env=urlsplit(self.base_url).hostname not in _LOOPBACK,
        )

    def move(self, base_url: str) -> None:
        """The same server listens at another address of the same kind now: calls, and the next try of an event
        stream, go there; the session stays."""
        self.base_url = base_url.rstrip("/")
        self._http.base_url = httpx.URL(self.base_url)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(
        self,
        endpoint: Endpoint[R, Q, B],
        *,
        query: Q | None = None,
        body: B | None = None,
        idempotency_key: str = "",
        if_match: int | None = None,
        **path: str,
    ) -> R:
        """Call an endpoint.

        Reads are tried again when no answer came; changes never are, unless the caller does it with the same
        idempotency key. Raises the exception that the server's problem document names, ServerUnreachable when
        there was no answer, IncompatibleServer when the answer is not understood.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        request: dict[str, Any] = {
            "method": str(endpoint.method),
            "url": fill(endpoint.path, path),
            "params": parameters(query),
            "headers": headers,
            "content": None if body is None else msgspec.json.encode(body),
        }
        if endpoint.changes:
            return self._decode(endpoint, await self._send(request, endpoint))
        async for attempt in stamina.retry_context(
            on=errors.ServerUnreachable, attempts=3, wait_initial=0.1, wait_max=1.0, timeout=10.0
        ):
            with attempt:
                return self._decode(endpoint, await self._send(request, endpoint))
        raise errors.ServerUnreachable()  # pragma: no cover - retry_context returns or raises

    async def upload(
        self,
        endpoint: Endpoint[R, Q, Nothing],
        body: AsyncIterator[bytes],
        length_bytes: int,
        *,
        query: Q | None = None,
        **path: str,
    ) -> R:
        """Send a long body as it comes. Never tried again by itself. Raises what `call` raises."""
        if self.credentials.stale:
            await self.refresh()  # once it is on its way it cannot be sent anew
        request: dict[str, Any] = {
            "method": str(endpoint.method),
            "url": fill(endpoint.path, path),
            "params": parameters(query),
            "headers": {"Content-Type": "application/octet-stream", "Content-Length": str(length_bytes)},
            "content": body,
            "timeout": httpx.Timeout(_UPLOAD_SILENCE_S, connect=5.0),
        }
        response = await self._once(request)
        if response.status_code >= 400:
            raise self._error(response)
        return self._decode(endpoint, response)

    async def sign_in(self, username: str, password: str) -> access.Tokens:
        """Trade a password for tokens and use them from now on."""
        tokens = await self.call(access.LOGIN, body=access.Login(username=username, password=password))
        self.credentials.take(tokens)
        return tokens

    async def sign_out(self) -> None:
        """End the session on the server, then forget it here, whatever the server said."""
        try:
            await self.call(access.LOGOUT)
        finally:
            self.credentials.drop()

    async def refresh(self) -> None:
        """Buy a new pair of tokens. Raises Unauthenticated when the session has ended."""
        before = self.credentials.token
        async with self._refreshing:
            if self.credentials.token != before and self.credentials.token:
                return
            await self.credentials.renew(self._buy)

    async def _buy(self, refresh_token: str) -> access.Tokens:
        return await self.call(access.REFRESH, body=access.Refresh(refresh_token=refresh_token))

    async def _send(self, request: dict[str, Any], endpoint: Endpoint[Any, Any, Any]) -> httpx.Response:
        renewable = _needs_session(endpoint)
        if renewable and self.credentials.stale:
            await self.refresh()
        response = await self._once(request)
        if response.status_code == 401 and renewable and self.credentials.refresh_token:
            await self.refresh()
            response = await self._once(request)
        if response.status_code >= 400:
            raise self._error(response)
        return response

    async def _once(self, request: dict[str, Any]) -> httpx.Response:
        headers = dict(request["headers"])
        if self.credentials.token:
            headers["Authorization"] = f"Bearer {self.credentials.token}"
        try:
            return await self._http.request(**{**request, "headers": headers})
        except httpx.TimeoutException as e:
            raise errors.ServerUnreachable(f"no answer from {self.base_url} in time") from e
        except (httpx.TransportError, httpx.InvalidURL) as e:
            unreachable = errors.ServerUnreachable(f"cannot reach {self.base_url}: {str(e) or type(e).__name__}")
            raise certificates.refusal(e, self.base_url) or unreachable from e

    def _error(self, response: httpx.Response) -> errors.NovaCronError:
        try:
            problem = msgspec.json.decode(self.clean(response.text), type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if response.status_code in _GATEWAY_SILENT:
                return errors.ServerUnreachable(f"a gateway answered {response.status_code} for {self.base_url}")
            return errors.IncompatibleServer(
                f"{self.base_url} answered {response.status_code}, and not as NovaCron does"
            )
        return errors.from_problem(problem)

    def _decode(self, endpoint: Endpoint[R, Q, B], response: httpx.Response) -> R:
        if endpoint.kind == "bytes":
            return response.content  # type: ignore[return-value]  # kind and returns=bytes go together
        if endpoint.returns is Nothing or response.status_code == 204:
            return Nothing()  # type: ignore[return-value]  # the row says so
        try:
            return msgspec.json.decode(self.clean(response.text), type=endpoint.returns)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise errors.IncompatibleServer(f"{self.base_url} gave an answer that is not understood: {e}") from e


def _needs_session(endpoint: Endpoint[Any, Any, Any]) -> bool:
    """Whether a session is worth renewing for it: not to look around, to sign in, or to renew."""
    public = endpoint.permission is Permission.PUBLIC
    return not (public and (not endpoint.changes or endpoint.key in (access.LOGIN.key, access.REFRESH.key)))


def fill(path: str, parts: dict[str, str]) -> str:
    """The path with its braces filled and escaped. Raises KeyError for a part that is missing."""
    return path.format_map({name: quote(value, safe="") for name, value in parts.items()})


def parameters(query: Request | None) -> dict[str, str]:
    """A query struct as URL parameters; what is None or at its default stays out."""
    if query is None:
        return {}
    values: dict[str, Any] = msgspec.to_builtins(query)
    return {name: _word(value) for name, value in values.items() if value is not None}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
