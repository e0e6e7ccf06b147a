"""HTTP calls: a request struct in, a response struct out; errors are raised as NovaCronError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import stamina

from novacron_core import errors
from novacron_core.api import access, people, second_factor
from novacron_core.api.base import Nothing, Request
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.problem import NO_SUCH_PATH, Problem
from novacron_core.client import certificates, diagnosis, foreign
from novacron_core.client.credentials import Credentials
from novacron_core.client.http import CONNECTION_ERRORS, new_http
from novacron_core.client.route import route_to
from novacron_core.values.ages import CLOCK_TOLERANCE_S, MAX_CLOCK_ERROR
from novacron_core.values.roles import Permission

R = TypeVar("R")
Q = TypeVar("Q", bound=Request)
B = TypeVar("B", bound=Request)

# The caller reports the outcome. By default stamina would log each retry, in the middle of a script's output.
stamina.instrumentation.set_on_retry_hooks([])

_WITH_SECRETS = frozenset(
    row.key
    for row in (
        access.REGISTER,
        access.LOGIN,
        access.REFRESH,
        access.CHANGE_PASSWORD,
        access.RESET_PASSWORD,
        access.ACCEPT_INVITATION,
        access.JOIN,
        people.CREATE,
        second_factor.BEGIN,
        second_factor.END,
        second_factor.PROVE,
    )
)
"""Endpoints whose bodies have a password, a one-time code or a refresh token."""
_WITHOUT_SESSION = frozenset(
    row.key for row in (access.LOGIN, access.REFRESH, access.RESET_PASSWORD, access.ACCEPT_INVITATION)
)
"""Changes that need no session, so that none is renewed for them."""
_UPLOAD_SILENCE_S = 120.0
"""How long a server may take to flush and check an upload."""
_ANSWER_S = 60.0
_MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Far more than the largest list; uncompressed."""
_ABOUT_THE_TRANSFER = {"content-encoding", "transfer-encoding", "content-length"}
"""Headers that no longer hold once a body is read and decompressed."""
_BROKEN_OFF = (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError)
"""What an upload raises when the connection ends before the answer."""


def unchanged(text: str) -> str:
    """The default for `clean`: no change. The console passes its own function."""
    return text


class Client:
    """One server, one session.

    `clean` is applied to the raw JSON text of every response before it is decoded, and must keep it valid JSON. It is
    the one place where strings from outside are made safe for a terminal, but for endpoints that are `as_sent`.
    `certificate` is the fingerprint of the only accepted certificate; without it the system's authorities decide. The
    route to the server, with or without a proxy, is chosen here: raises what `route_to` raises. `verify` gets the address and raises ServerUnreachable when it
    is not the server's: before a password or refresh token is sent there, and before the first access token since the
    connection was lost. `read_only` is the sentence that refuses every change before it is sent, except those of the
    session; empty for none.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        clean: Callable[[str], str] = unchanged,
        timeout_s: float = 15.0,
        transport: httpx.AsyncBaseTransport | None = None,
        certificate: str = "",
        verify: Callable[[str], Awaitable[None]] | None = None,
        read_only: str = "",
    ) -> None:
        self._verify, self._verified = verify, False
        self.read_only = read_only
        self.base_url = base_url.rstrip("/")
        self.credentials = credentials or Credentials()
        self.clean = clean
        self.route = route_to(self.base_url)
        self.tls = certificates.context(self.base_url, certificate)
        self._refreshing = asyncio.Lock()
        self._server_ahead = timedelta(0)
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0))
        self._http = new_http(self.route, self.tls, timeout, transport=transport)

    def move(self, base_url: str) -> None:
        """Use a new address of the same server, scheme and host for calls and for the next connection of the event
        stream. The session is kept."""
        self.base_url, self._verified = base_url.rstrip("/"), False
        self.route = replace(self.route, url=self.base_url)
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

        Reads are retried when the server does not answer. Changes are not: a caller may retry one with the same
        idempotency key. Raises the exception of the server's problem document, ServerUnreachable when there was no
        response, IncompatibleServer when the response cannot be decoded.
        """
        self._check_read_only(endpoint)
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
        """Stream a long body. Not retried. Raises the same exceptions as `call`."""
        self._check_read_only(endpoint)
        if self.credentials.stale:
            await self.refresh()  # a streamed body cannot be sent twice
        request: dict[str, Any] = {
            "method": str(endpoint.method),
            "url": fill(endpoint.path, path),
            "params": parameters(query),
            "headers": {"Content-Type": "application/octet-stream", "Content-Length": str(length_bytes)},
            "content": body,
            "timeout": httpx.Timeout(_UPLOAD_SILENCE_S, connect=5.0),
        }
        try:
            response = await self._send_once(request)
        except errors.ServerUnreachable as e:
            if isinstance(e.__cause__, _BROKEN_OFF):
                limit = "a proxy in front of the server may limit the size of requests (nginx: client_max_body_size)"
                raise errors.ServerUnreachable(f"{e.detail}; {limit}") from e
            raise
        if (error := self._error(response)) is not None:
            raise error
        return self._decode(endpoint, response)

    def _check_read_only(self, endpoint: Endpoint[Any, Any, Any]) -> None:
        if self.read_only and endpoint.changes and not endpoint.path.startswith("/auth/"):
            raise errors.Forbidden(self.read_only)

    async def sign_in(self, username: str, password: str, totp: str = "") -> access.Tokens:
        """Sign in with a password, and a code when the account has a second factor, and use the new tokens from now
        on. Raises TotpRequired when the code is missing or wrong."""
        body = access.Login(username=username, password=password, totp=totp)
        tokens = await self.call(access.LOGIN, body=body)
        self.credentials.take(tokens)
        return tokens

    async def sign_out(self) -> None:
        """End the session on the server, then drop the tokens here, even when the call failed."""
        try:
            await self.call(access.LOGOUT)
        finally:
            self.credentials.drop()

    async def refresh(self) -> None:
        """Get a new pair of tokens. Raises Unauthenticated when the session has ended."""
        before = self.credentials.token
        async with self._refreshing:
            if self.credentials.token != before and self.credentials.token:
                return
            await self.credentials.renew(self._exchange)

    async def verify(self) -> None:
        """Raises ServerUnreachable when the program at the address is known not to be the server."""
        if self._verify is not None:
            self.distrust()
            await self._verify(self.base_url)
        self._verified = True

    def distrust(self) -> None:
        """Verify the server again before it gets another token: a connection to it has ended, and any program may
        listen at its address by now."""
        self._verified = False

    async def _exchange(self, refresh_token: str) -> access.Tokens:
        return await self.call(access.REFRESH, body=access.Refresh(refresh_token=refresh_token))

    async def _send(self, request: dict[str, Any], endpoint: Endpoint[Any, Any, Any]) -> httpx.Response:
        if endpoint.key in _WITH_SECRETS:
            await self.verify()
        renewable = _needs_session(endpoint)
        if renewable and self.credentials.stale:
            await self.refresh()
        response = await self._send_once(request)
        error = self._error(response)
        if isinstance(error, errors.Unauthenticated) and renewable and self.credentials.refresh_token:
            before = self.credentials.user
            await self.refresh()
            now = self.credentials.user
            if endpoint.changes and before is not None and now is not None and before.tenant != now.tenant:
                raise errors.Conflict(
                    f"this session works in the tenant {now.tenant} now, no longer in {before.tenant}: nothing was changed"
                )
            response = await self._send_once(request)
            error = self._error(response)
        if error is not None:
            raise error
        return response

    async def _send_once(self, request: dict[str, Any]) -> httpx.Response:
        headers = dict(request["headers"])
        if self.credentials.token:
            if not self._verified:
                await self.verify()
            headers["Authorization"] = self.credentials.authorization
        try:
            async with self._http.stream(**{**request, "headers": headers}) as stream:
                response = await self._read(stream)
        except CONNECTION_ERRORS as e:
            self.distrust()
            raise await diagnosis.explain(e, self.route) from e
        self._note_date(response)
        return response

    async def _read(self, response: httpx.Response) -> httpx.Response:
        """The response with its body, read within bounds: whatever answers may send without end, or a byte a second."""
        pieces, size = [], 0
        try:
            async with asyncio.timeout(_ANSWER_S):
                async for piece in response.aiter_bytes():
                    pieces.append(piece)
                    size += len(piece)
                    if size > _MAX_ANSWER_BYTES:
                        raise errors.ServerUnreachable(
                            f"{self.base_url} sends an answer without end: check the address"
                        )
        except TimeoutError as e:
            raise errors.ServerUnreachable(
                f"{self.base_url} did not complete its answer within {_ANSWER_S:.0f} s"
            ) from e
        except httpx.DecodingError as e:  # it is not compressed as it says
            raise foreign.error_of(foreign.Answer(200, {}, "", ""), self.route) from e
        headers = [item for item in response.headers.multi_items() if item[0].lower() not in _ABOUT_THE_TRANSFER]
        return httpx.Response(response.status_code, headers=headers, content=b"".join(pieces), request=response.request)

    def now(self) -> datetime:
        """The server's time, by the date of its last response; this machine's while the two hardly differ."""
        return datetime.now(UTC) + self._server_ahead

    def _note_date(self, response: httpx.Response) -> None:
        """Compare the clocks. The date is in whole seconds, and some gateways leave it out; one that no clock can have
        counts as left out."""
        try:
            date = parsedate_to_datetime(response.headers.get("Date", ""))
            ahead = date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)
        except (ValueError, OverflowError, TypeError):
            return
        if abs(ahead) > MAX_CLOCK_ERROR:
            return
        self._server_ahead = ahead if abs(ahead.total_seconds()) > CLOCK_TOLERANCE_S else timedelta(0)

    def _error(self, response: httpx.Response) -> errors.NovaCronError | None:
        """The error of a response; None when it is an answer to decode."""
        if response.status_code < 300:
            return None
        problem = decode_problem(self.clean(response.text))
        if problem is None:
            return self._foreign(response)
        if response.status_code == 404 and problem.detail == NO_SUCH_PATH:
            return foreign.not_here(self.route) or errors.from_problem(problem)
        return errors.from_problem(problem)

    def _foreign(self, response: httpx.Response) -> errors.NovaCronError:
        """The error for an answer that is not NovaCron's."""
        path = response.request.url.path.removeprefix(self._http.base_url.path.rstrip("/"))
        return foreign.error_of(
            foreign.Answer(response.status_code, response.headers, self.clean(response.text), path), self.route
        )

    def _decode(self, endpoint: Endpoint[R, Q, B], response: httpx.Response) -> R:
        if "html" in response.headers.get("Content-Type", ""):
            raise self._foreign(response)
        if endpoint.kind == "bytes":
            return response.content  # type: ignore[return-value]  # kind and returns=bytes go together
        if response.status_code == 204 and endpoint.returns is not Nothing:
            raise self._foreign(response)
        if endpoint.returns is Nothing:
            return Nothing()  # type: ignore[return-value]  # declared by the endpoint
        try:
            text = response.text if endpoint.as_sent else self.clean(response.text)
            return msgspec.json.decode(text, type=endpoint.returns)
        except msgspec.ValidationError as e:
            raise errors.IncompatibleServer(f"{self.base_url} sent a response that cannot be decoded: {e}") from e
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise self._foreign(response) from e


def decode_problem(text: str) -> Problem | None:
    """The problem document of an error response; None for a response that is not NovaCron's."""
    try:
        return msgspec.json.decode(text, type=Problem)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _needs_session(endpoint: Endpoint[Any, Any, Any]) -> bool:
    """Whether to renew a session for this call: not for public reads, signing in, or the renewal itself."""
    public = endpoint.permission is Permission.PUBLIC
    return not (public and (not endpoint.changes or endpoint.key in _WITHOUT_SESSION))


def fill(path: str, parts: dict[str, str]) -> str:
    """The path with its placeholders filled and escaped. Raises KeyError for a missing one."""
    return path.format_map({name: quote(value, safe="") for name, value in parts.items()})


def parameters(query: Request | None) -> dict[str, str]:
    """A query struct as URL parameters, without None and default values."""
    if query is None:
        return {}
    values: dict[str, Any] = msgspec.to_builtins(query)
    return {name: _parameter_text(value) for name, value in values.items() if value is not None}


def _parameter_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
