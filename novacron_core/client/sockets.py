"""Opens WebSockets to a server: with the session's token, the pinned certificate and the proxy of its HTTP calls."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.http11 import Response

from novacron_core import PROTOCOL, __version__, errors
from novacron_core.api.events import CLOSE_LAGGED, CLOSE_UNAUTHENTICATED
from novacron_core.client import diagnosis, foreign
from novacron_core.client.connection import GIVE_UP_AFTER_S, WatchedConnection
from novacron_core.client.rest import Client, decode_problem

_FIRST_RETRY_S = 0.25


class _Connect(connect):
    """A connection attempt that follows no redirect: the token was meant for this address."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(client: Client, path: str, query: str, max_bytes: int) -> WatchedConnection:
    """Connect to a socket of the server; frames may have up to `max_bytes`.

    Raises Unauthenticated when the token is refused, ServerUnreachable for a failure of the way, and the error that the
    server gives as its reason to refuse.
    """
    await client.verify()
    headers = {"Authorization": client.credentials.authorization}
    try:
        socket = await _Connect(
            socket_url(client.base_url, path, query),
            create_connection=WatchedConnection,
            additional_headers=headers,
            user_agent_header=f"novacron/{__version__}",
            compression=None,
            max_size=max_bytes,
            open_timeout=10,
            ping_interval=None,
            ssl=client.tls,
            proxy=client.route.proxy.replace("socks5:", "socks5h:", 1) or None,
        )
        return cast(WatchedConnection, socket)
    except InvalidStatus as e:
        raise _refusal(client, e.response, path) from e
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, UnicodeError) as e:
        raise await diagnosis.explain(e, client.route) from e


def _refusal(client: Client, response: Response, path: str) -> errors.NovaCronError:
    """The error for a handshake that was answered otherwise than by a WebSocket. A refused token is a 403 without a
    text."""
    text = client.clean(bytes(response.body).decode(errors="replace"))
    answer = foreign.Answer(response.status_code, dict(_lower(response.headers.raw_items())), text, path)
    if response.status_code in (401, 403) and not text.strip():
        return errors.Unauthenticated("Not signed in: sign in again")
    problem = decode_problem(text)
    if problem is not None and problem.status == response.status_code and response.status_code < 500:
        return errors.from_problem(problem)
    if problem is not None:
        return errors.ServerUnreachable(problem.sentence, retry_after_s=problem.retry_after_s)
    return errors.ServerUnreachable(foreign.error_of(answer, client.route).detail)


def _lower(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in headers)


def retry_wait_s(tries: int, at_most_s: float) -> float:
    """How long to wait after so many failed attempts: longer each time, and never at the same moment as others."""
    return min(at_most_s, _FIRST_RETRY_S * 2.0**tries) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter


def check_protocol(version: str, protocol: int) -> None:
    """Raises IncompatibleServer when a server of this version speaks another protocol."""
    if protocol != PROTOCOL:
        raise errors.IncompatibleServer(
            f"server {version} uses protocol {protocol}, this console {__version__} uses {PROTOCOL}"
        )


def close_code(e: ConnectionClosed) -> int | None:
    """The code with which the server closed a socket, None if the connection broke."""
    return e.rcvd.code if e.rcvd else None


def closed(socket: WatchedConnection, e: ConnectionClosed) -> errors.NovaCronError:
    """Why a socket has ended. All of it can change by connecting again."""
    if socket.timed_out:
        return errors.ServerUnreachable(f"no data from the server for {GIVE_UP_AFTER_S:.0f} s")
    if close_code(e) == CLOSE_UNAUTHENTICATED:
        # The token expired or the session ended: a refresh shows which.
        return errors.ServerUnreachable("the access token has expired")
    if close_code(e) == CLOSE_LAGGED:
        return errors.ServerUnreachable("the server closed the connection: this console was too slow")
    return errors.ServerUnreachable("the connection to the server was lost")


def socket_url(base_url: str, path: str, query: str = "") -> str:
    """`http://host:1` and `/ws/events/v1` as `ws://host:1/ws/events/v1`."""
    parts = urlsplit(base_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, query, ""))
