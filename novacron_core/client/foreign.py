"""Answers that are not NovaCron's: of a proxy in front of the server, of a network that wants a sign-in, of another
server. Each becomes an error that says who answered and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from novacron_core import errors
from novacron_core.client.route import Route

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TLS_WANTED = ("plain http request was sent to https port", "http request to an https server")
"""What nginx and Go's servers answer on a port for TLS, in lower case."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `path` is what was asked for, from the server's base URL on; names of headers are in any case."""

    status: int
    headers: Mapping[str, str]
    text: str
    path: str

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, which NovaCron never sends."""
        kind = self.headers.get("content-type", "").lower()
        return "html" in kind or self.text.lstrip()[:1] == "<"


def error_of(answer: Answer, route: Route) -> errors.NovaCronError:
    """The error for an answer that is not NovaCron's."""
    url, status, front = route.url, answer.status, _front(route)
    if status in _REDIRECTS:
        return errors.ServerUnreachable(_redirect(answer, route))
    if status < 300:
        what = "a web page" if answer.is_page else "something else"
        return errors.ServerUnreachable(
            f"{url} answered with {what} instead of NovaCron's data: check the address; in a network that wants a "
            "sign-in of its own, sign in there with a browser first"
        )
    if status == 400 and any(words in answer.text.lower() for words in _TLS_WANTED):
        return errors.ServerUnreachable(f"{url} uses TLS: give https://{route.server}{_path(route)}")
    if status == 401:
        return errors.ServerUnreachable(
            f"{front} asks for a sign-in of its own (401), which NovaCron cannot give: let NovaCron's requests through"
        )
    if status == 403:
        return errors.Forbidden(
            f"{front} refused the request (403), not NovaCron: ask its administrator to let NovaCron's requests through"
        )
    if status == 404:
        return _not_here(route)
    if status == 407:
        return errors.ServerUnreachable(
            f"{front} asks for a user name and password: give them in {route.variable or 'HTTPS_PROXY'} as "
            "http://USER:PASSWORD@HOST:PORT"
        )
    if status == 413:
        return errors.TooLarge(
            f"{front} accepts no request as large as this one (413): raise its limit (nginx: client_max_body_size)"
        )
    if status == 429:
        return errors.RateLimited(
            f"{front} refused the request (429), because there were too many", retry_after_s=_retry_after_s(answer)
        )
    if status in (502, 503, 504):
        why = "is unavailable" if status == 503 else "cannot reach the server"
        return errors.ServerUnreachable(f"{front} {why} ({status})", retry_after_s=_retry_after_s(answer))
    return errors.ServerUnreachable(f"{url} answered {status} and is not a NovaCron server: check the address")


def not_here(route: Route) -> errors.NovaCronError | None:
    """The error for a 404 of a NovaCron server that does not know the path; None when the URL has no path that could
    be the reason."""
    if not _path(route):
        return None
    return errors.InvalidSetting(
        f"NovaCron does not answer at {route.url}: leave the path away, unless a proxy serves NovaCron under it"
    )


def _not_here(route: Route) -> errors.NovaCronError:
    sentence = f"there is no NovaCron server at {route.url} (404): check the address"
    if _path(route):
        return errors.InvalidSetting(f"{sentence} and its path")
    return errors.ServerUnreachable(sentence)


def _redirect(answer: Answer, route: Route) -> str:
    """Says where a redirect leads. Only scheme, host and path of the new address: a query may contain secrets."""
    old, status = route.url, answer.status
    try:
        parts = urlsplit(urljoin(f"{old}{answer.path}", answer.headers.get("location", "")))
        host = parts.netloc.rpartition("@")[2]
        path = parts.path.removesuffix("/").removesuffix(answer.path.removesuffix("/"))
        new = f"{parts.scheme}://{host}{path}"
    except ValueError:
        new = ""
    if not new.startswith("http") or new == old:
        return f"{old} answered with a redirect ({status}) that leads nowhere: check the address"
    new = _visible(new)
    if path and not parts.path.removesuffix("/").endswith(answer.path.removesuffix("/")):
        return (
            f"{old} redirects to {new} ({status}), which is no address of NovaCron: a proxy or the network wants a "
            "sign-in of its own"
        )
    return f"{old} redirects to {new} ({status}): use that address, if it is meant (--server {new})"


def _visible(url: str) -> str:
    """The URL with all that is no visible character in the spelling that URLs have for it: a terminal might obey it."""
    return "".join(char if char.isprintable() else quote(char, errors="replace") for char in url)


def _front(route: Route) -> str:
    """Who may have answered instead of the server."""
    return f"the proxy {route.shown_proxy}" if route.forwards else f"a proxy in front of {route.url}"


def _path(route: Route) -> str:
    return urlsplit(route.url).path.rstrip("/")


def _retry_after_s(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
