"""The console's way to a server that a flag names: its profile, its kept session, and its certificate, asked about while
there is still a plain terminal to ask on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from novacron_core.errors import ServerUnreachable
from novacron_tui.cli.runtime.connect import ServerTarget, named_server
from novacron_tui.servers.profiles import Profile, Profiles
from novacron_tui.servers.server_choice import ServerChoice
from novacron_tui.servers.server_ref import ServerRef, at


def place(named: ServerChoice) -> Callable[[], Awaitable[ServerRef]]:
    """Opens the place that is named. Raises Usage, NotFound, and UntrustedServer when the certificate is refused."""
    profiles = Profiles()
    target = named_server(named, profiles)
    assert target is not None, "asked only when something is named"
    profile = target.profile if target.known else _first_seen(target)
    return at(
        ServerRef(
            profile.url,
            profile.name,
            profile.production,
            user=profile.user,
            certificate=profile.certificate,
            kept=target.kept,
            remember=partial(_remember, profiles, profile),
        )
    )


def _first_seen(target: ServerTarget) -> Profile:
    if not target.profile.url.startswith("https:") or target.profile.certificate:
        return target.profile
    from novacron_tui.cli.sign_in import trusted

    try:
        return asyncio.run(trusted(target.profile))
    except ServerUnreachable:
        return target.profile  # the console says so, and tries again


def _remember(profiles: Profiles, profile: Profile, user: str) -> None:
    profiles.remember(msgspec.structs.replace(profile, user=user))
