"""`novacron login` and `logout`: a password becomes a kept session, and the kept session ends.

The password comes from the terminal, unseen, or from the first line of stdin; never from the command line, which other
users of the machine can read.
"""

from __future__ import annotations

import getpass
import sys

import msgspec

from novacron_core import errors
from novacron_core.api.access import LOGOUT, User
from novacron_core.api.health import INFO
from novacron_core.client import Client, certificates
from novacron_tui.cli.runtime.connect import ServerTarget
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.output import say
from novacron_tui.servers.profiles import LOCAL, Profile, Profiles
from novacron_tui.servers.shared_credentials import SharedCredentials
from novacron_tui.terminal.safe_text import clean, clean_json


async def login(target: ServerTarget, profiles: Profiles, *, username: str, certificate: str) -> None:
    """Sign in and keep the session; the profile is remembered, and is the current one from now on."""
    profile = await trusted(target.profile, certificate)
    credentials = SharedCredentials(target.kept)
    async with Client(profile.url, credentials, clean=clean_json, certificate=profile.certificate) as client:
        await client.call(INFO)  # whether it is there at all, before a password is asked for
        name = username or _ask_user(profile.user)
        user = await _sign_in(client, credentials, name, _ask_password(name))
    remember(profiles, profile, user.username, current=True)
    say(f"signed in to {profile.name} ({profile.url}) as {user.username}, {user.role}")


def remember(profiles: Profiles, profile: Profile, username: str, *, current: bool = False) -> None:
    """Write the profile down with who signed in. The bundled server's needs no writing."""
    if profile.name != LOCAL:
        profiles.remember(msgspec.structs.replace(profile, user=username), current=current)


async def _sign_in(client: Client, credentials: SharedCredentials, name: str, password: str) -> User:
    try:
        tokens = await client.sign_in(name, password)
    except errors.Unauthenticated:
        if (await client.call(INFO)).setup_required:
            raise errors.Conflict(
                f"{client.base_url} has no account yet: `novacron --server {client.base_url}` makes the first one"
            ) from None
        raise
    await credentials.keep(tokens)
    return tokens.user


async def logout(target: ServerTarget) -> None:
    """End the session on the server and forget it, the latter even when the server does not answer."""
    credentials = SharedCredentials(target.kept)
    if not credentials.refresh_token:
        say(f"not signed in to {target.profile.name}")
        return
    url, certificate = target.profile.url, target.profile.certificate
    try:
        async with Client(url, credentials, clean=clean_json, certificate=certificate) as client:
            await client.call(LOGOUT)
    except errors.Unauthenticated:
        pass  # it had ended already
    except errors.ServerUnreachable as e:
        raise errors.ServerUnreachable(f"forgotten here, but the server was not told: {e.detail}") from e
    finally:
        await credentials.end()
    say(f"signed out of {target.profile.name}")


async def trusted(profile: Profile, certificate: str = "") -> Profile:
    """The profile with a certificate that may be trusted. One that no authority vouches for is shown and asked about.

    `certificate` is the fingerprint that the operator says it has. Raises UntrustedServer when it is another one, or
    there is nobody to ask.
    """
    if not certificates.is_tls(profile.url):
        return profile
    seen = await certificates.fetch_certificate(profile.url)
    expected = certificate or profile.certificate
    if expected and not certificates.same_fingerprint(seen.fingerprint, expected):
        raise errors.UntrustedServer(_changed(profile, expected, seen.fingerprint, certificate))
    if expected or seen.distrust:
        if not expected:
            _ask_trust(profile.url, seen)
        return msgspec.structs.replace(profile, certificate=seen.fingerprint)
    return profile


def _changed(profile: Profile, expected: str, shown: str, said: str) -> str:
    if said:
        return f"the certificate of {profile.url} is {shown}, not {said}"
    return (
        f"the certificate of {profile.url} has changed: it was {expected}, now it is {shown}. "
        f"Only if that is meant: novacron login --server {profile.url} --certificate {shown}"
    )


def _ask_trust(url: str, seen: certificates.ShownCertificate) -> None:
    question = f"no authority vouches for {url} ({seen.distrust}); its certificate is {seen.fingerprint}"
    if not sys.stdin.isatty():
        raise errors.UntrustedServer(f"{question}; to trust it: --certificate {seen.fingerprint}")
    print(clean(question), file=sys.stderr)
    print("Compare it with what the server's operator says. Trust it from now on? [y/N] ", end="", file=sys.stderr)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise errors.UntrustedServer("not trusted, nothing was sent")


def _ask_user(last: str) -> str:
    if not sys.stdin.isatty():
        if last:
            return last
        raise UsageError("without a terminal, name the user with --user")
    print(f"User{f' [{last}]' if last else ''}: ", end="", file=sys.stderr, flush=True)
    name = sys.stdin.readline().strip() or last
    if not name:
        raise UsageError("a user name is needed")
    return name


def _ask_password(name: str) -> str:
    typed = sys.stdin.isatty()
    password = getpass.getpass(f"Password of {name}: ") if typed else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("a password is needed, typed or on the first line of stdin")
    return password
