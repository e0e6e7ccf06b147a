"""How the console finds the server named by a flag: its profile, saved session and certificate. A new certificate is
confirmed before the console starts, while the plain terminal can still show a prompt."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from novacron_core.errors import ServerUnreachable
from novacron_tui.cli.runtime.connect import ServerTarget, resolve_named_server
from novacron_tui.servers.profiles import Profile, Profiles
from novacron_tui.servers.server_choice import READ_ONLY, ServerChoice
from novacron_tui.servers.server_ref import ServerRef, at


def place(named: ServerChoice) -> Callable[[], Awaitable[ServerRef]]:
    """Returns what opens the named server. Raises UsageError, NotFound, UntrustedServer when the certificate is refused,
    InvalidSetting and ServerUnreachable when no route leads to it."""
    profiles = Profiles()
    target = resolve_named_server(named, profiles)
    assert target is not None, "called only when a server is named"
    _check_route(target.profile.url)
    profile = target.profile if target.known else _confirm_certificate(target)
    return at(
        ServerRef(
            profile.url,
            profile.name,
            profile.production,
            user=profile.user,
            certificate=profile.certificate,
            kept=target.kept,
            remember=partial(_remember, profiles, profile),
            read_only=READ_ONLY if named.read_only else profile.why_read_only,
            known=target.known,
        )
    )


def _check_route(url: str) -> None:
    """Refuse a proxy that cannot be used before the screen opens. The client's code takes a while to import, so only
    where a proxy is set."""
    variables = {f"{url.partition(':')[0].lower()}_proxy", "all_proxy"}
    if any(name.lower() in variables for name in os.environ):
        from novacron_core.client.route import route_to

        route_to(url)


def _confirm_certificate(target: ServerTarget) -> Profile:
    """The profile of a server seen for the first time, with its certificate when the user trusts it."""
    if not target.profile.url.startswith("https:") or target.profile.certificate:
        return target.profile
    from novacron_tui.cli.sign_in import trusted

    try:
        return asyncio.run(trusted(target.profile))
    except ServerUnreachable:
        return target.profile  # the console reports it and retries


def _remember(profiles: Profiles, profile: Profile, user: str) -> None:
    profiles.remember(msgspec.structs.replace(profile, user=user))
