"""Which server a command or console uses, and with which session: from flags, then variables, then saved profiles."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from novacron_core import errors
from novacron_core.local_server import default_data_dir, read_running_server, require_proof, verifier
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.servers.profiles import LOCAL, Profile, Profiles, is_same_server, why_not_name, why_not_url
from novacron_tui.servers.saved_session import SavedSessionFile, saved_session_of_bundled
from novacron_tui.servers.server_choice import READ_ONLY, ServerChoice

if TYPE_CHECKING:
    from novacron_core.client import Client


@dataclass(frozen=True, slots=True)
class ServerTarget:
    """A server with its profile. `read_only`: changes are refused here, whatever the profile says. `known`: the profile is in the file. `token` signs in without a session."""

    profile: Profile
    known: bool
    token: str = ""
    data_dir: Path | None = None
    read_only: bool = False

    @property
    def why_read_only(self) -> str:
        """The sentence that refuses changes; empty when they are allowed."""
        return READ_ONLY if self.read_only else self.profile.why_read_only

    @property
    def kept(self) -> SavedSessionFile:
        """Its saved session."""
        if self.profile.name == LOCAL and self.data_dir is not None:
            return saved_session_of_bundled(self.data_dir)
        return SavedSessionFile(self.profile.name, self.profile.url)

    @property
    def verify(self) -> Callable[[str], Awaitable[None]] | None:
        """For its clients: a check that the server on a data directory still is the one at its address."""
        return verifier(self.data_dir) if self.data_dir is not None else None


def resolve_named_server(named: ServerChoice, profiles: Profiles) -> ServerTarget | None:
    """The target named by --server or --profile, or their variables; None when none is given.

    Raises UsageError when they contradict each other, NotFound for an unknown profile.
    """
    url = named.server if named.server_meant or not named.profile else ""
    if url and (refused := why_not_url(url)):
        raise UsageError(refused)
    if named.profile == LOCAL and not url:
        return _local(named)
    if named.profile and url:
        return _new_or_known(named, url, profiles)
    if named.profile:
        return _known(profiles.named(named.profile), named)
    if url:
        at = profiles.at(url)
        return _known(at, named) if at else ServerTarget(_pinned(profiles.fresh(url)), False, named.token)
    return None


def resolve_server(named: ServerChoice, profiles: Profiles) -> ServerTarget:
    """The target of a command: the named server, else the current profile, else the bundled server running here.

    Raises UsageError when there is none of them.
    """
    target = resolve_named_server(named, profiles)
    if target is None and (current := profiles.current()):
        target = _known(current, named)
    if target is None and read_running_server(named.data_dir or default_data_dir()):
        target = _local(named)
    if target is not None:
        return replace(target, read_only=named.read_only)
    raise UsageError("no server chosen: give --server URL or --profile NAME, or sign in once with `novacron login`")


def connect(target: ServerTarget) -> Client:
    """A client for a command. It keeps every text as the server sent it, so that names can be compared; `output` makes
    them safe for a terminal. Raises Unauthenticated when there is neither a token nor a saved session, and Conflict
    when the saved session cannot be read now."""
    from novacron_core.client import Client, Credentials
    from novacron_tui.servers.shared_credentials import SharedCredentials

    credentials = Credentials(target.token) if target.token else SharedCredentials(target.kept)
    if isinstance(credentials, SharedCredentials) and credentials.unread:
        raise credentials.unread
    if not credentials.token and not credentials.refresh_token:
        flag = "" if target.profile.name == LOCAL else f" --server {target.profile.url}"
        raise errors.Unauthenticated(
            f"not signed in to {target.profile.url}. Run `novacron login{flag}` or set NOVACRON_TOKEN"
        )
    return Client(
        target.profile.url,
        credentials,
        certificate=target.profile.certificate,
        verify=target.verify,
        read_only=target.why_read_only,
    )


def _new_or_known(named: ServerChoice, url: str, profiles: Profiles) -> ServerTarget:
    if refused := why_not_name(named.profile):
        raise UsageError(refused)
    known = profiles.all().get(named.profile)
    if known is None:
        return ServerTarget(_pinned(profiles.fresh(url, named.profile)), False, named.token)
    if not is_same_server(known.url, url):
        raise UsageError(f"profile {known.name} is for {known.url}, not {url}")
    return _known(known, named)


def _known(profile: Profile, named: ServerChoice) -> ServerTarget:
    return ServerTarget(profile, True, named.token)


def _local(named: ServerChoice) -> ServerTarget:
    data_dir = (named.data_dir or default_data_dir()).absolute()
    running = read_running_server(data_dir)
    if running is None:
        raise errors.ServerUnreachable(f"no server is running on {data_dir}. Run `novacron` to start one")
    require_proof(running, data_dir)
    return ServerTarget(Profile(LOCAL, running.url), True, named.token, data_dir)


def _pinned(profile: Profile) -> Profile:
    """The profile with the certificate fingerprint from NOVACRON_CERTIFICATE, for scripts without a saved profile.
    Raises UsageError when it is none."""
    certificate = os.environ.get("NOVACRON_CERTIFICATE", "")
    if certificate:
        check_fingerprint("NOVACRON_CERTIFICATE", certificate)
    return Profile(profile.name, profile.url, certificate=certificate)


def check_fingerprint(name: str, text: str) -> None:
    """Raises UsageError for a text that is no SHA-256 fingerprint."""
    from novacron_core.client.certificates import is_fingerprint

    if not is_fingerprint(text):
        raise UsageError(f"{name} must be a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons")
