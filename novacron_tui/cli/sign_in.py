"""`novacron login` and `logout`: create a saved session from a password, and end it.

The password is typed on the terminal without echo, or read from the first line of stdin; never from the command line,
which other users of the machine can read.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from novacron_core import errors
from novacron_core.api.access import LOGOUT, User
from novacron_core.api.health import INFO
from novacron_core.client import Client, certificates
from novacron_core.client.diagnosis import changed_certificate
from novacron_tui.cli.runtime.connect import ServerTarget, check_fingerprint
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.output import print_line
from novacron_tui.cli.runtime.prompts import ask, ask_secret, is_interactive, read_secret, secret
from novacron_tui.servers.profiles import LOCAL, Profile, Profiles
from novacron_tui.servers.shared_credentials import SharedCredentials
from novacron_tui.terminal.safe_text import clean, clean_json

CODE = "Code of your authenticator app, or a recovery code: "


def login(target: ServerTarget, profiles: Profiles, *, username: str, certificate: str) -> None:
    """Sign in and save the session; the profile is saved and becomes the current one."""
    profile, user = asyncio.run(_login(target, username, certificate))
    remember(profiles, profile, user.username, current=True)  # waits for a lock, which a task could not be called from
    print_line(f"Signed in to {profile.name} ({profile.url}) as {user.username}, {user.role}")


async def _login(target: ServerTarget, username: str, certificate: str) -> tuple[Profile, User]:
    profile = await trusted(target.profile, certificate)
    credentials = SharedCredentials(target.kept)
    async with Client(
        profile.url, credentials, clean=clean_json, certificate=profile.certificate, verify=target.verify
    ) as client:
        await client.call(INFO)  # check that the server is reachable before prompting for the password
        name = username or _ask_user(profile.user)
        return profile, await _sign_in(client, credentials, name, _ask_password(name))


def remember(profiles: Profiles, profile: Profile, username: str, *, current: bool = False) -> None:
    """Save the profile with the user who signed in. The bundled server's profile is not saved."""
    if profile.name != LOCAL:
        profiles.remember(msgspec.structs.replace(profile, user=username), current=current)


async def _sign_in(client: Client, credentials: SharedCredentials, name: str, password: str) -> User:
    try:
        try:
            tokens = await client.sign_in(name, password)
        except errors.TotpRequired:
            tokens = await client.sign_in(name, password, secret(CODE, "the code").strip())
    except errors.TotpRequired:
        raise
    except errors.Unauthenticated:
        if (await client.call(INFO)).setup_required:
            raise errors.Conflict(
                f"{client.base_url} has no account yet. Run `novacron --server {client.base_url}` to create the first one"
            ) from None
        raise
    await credentials.keep(tokens)
    return tokens.user


async def logout(target: ServerTarget) -> None:
    """End the session on the server and delete the saved one; the latter also when the server does not answer.

    Raises Conflict when the saved session cannot be read now."""
    credentials = SharedCredentials(target.kept)
    if credentials.unread:
        raise credentials.unread
    if not credentials.refresh_token:
        print_line(f"Not signed in to {target.profile.name}")
        return
    url, certificate = target.profile.url, target.profile.certificate
    try:
        async with Client(url, credentials, clean=clean_json, certificate=certificate, verify=target.verify) as client:
            await client.call(LOGOUT)
    except errors.Unauthenticated:
        pass  # it had ended already
    except errors.ServerUnreachable as e:
        raise errors.ServerUnreachable(f"signed out here, but not on the server: {e.detail}") from e
    finally:
        await credentials.end()
    print_line(f"Signed out of {target.profile.name}")


async def trusted(profile: Profile, certificate: str = "") -> Profile:
    """The profile with a trusted certificate. A self-signed one is shown and must be confirmed by the user.

    `certificate` is the expected fingerprint. Raises UntrustedServer when the server shows another one, the user does
    not confirm, or there is no terminal to ask on.
    """
    if certificate:
        check_fingerprint("--certificate", certificate)
    if not certificates.is_tls(profile.url):
        return profile
    seen = await certificates.fetch_certificate(profile.url)
    expected = certificate or profile.certificate
    if expected and not certificates.same_fingerprint(seen.fingerprint, expected):
        raise errors.UntrustedServer(_mismatch(profile, expected, seen, certificate))
    if expected or seen.distrust:
        if not expected:
            _confirm_trust(profile.url, seen)
        return msgspec.structs.replace(profile, certificate=seen.fingerprint)
    return profile


def _mismatch(profile: Profile, expected: str, seen: certificates.ShownCertificate, given: str) -> str:
    if given:
        return f"the certificate of {profile.url} is {seen.fingerprint} ({seen.standing}), not {given}"
    return changed_certificate(profile.url, expected, seen.fingerprint, seen.standing)


def _confirm_trust(url: str, seen: certificates.ShownCertificate) -> None:
    warning = f"cannot verify {url} ({seen.standing}); its certificate is {seen.fingerprint}"
    if not is_interactive():
        raise errors.UntrustedServer(f"{warning}; to trust it: --certificate {seen.fingerprint}")
    print(clean(warning), file=sys.stderr)
    answer = ask("Compare it with the fingerprint from the server's operator. Trust it from now on? [y/N] ")
    if answer.lower() not in ("y", "yes"):
        raise errors.UntrustedServer("certificate not trusted; nothing was sent")


def _ask_user(last: str) -> str:
    if not is_interactive():
        if last:
            return last
        raise UsageError("not a terminal: give the user name with --user")
    name = ask(f"User{f' [{last}]' if last else ''}: ") or last
    if not name:
        raise UsageError("enter a user name")
    return name


def _ask_password(name: str) -> str:
    password = ask_secret(f"Password for {name}: ") if is_interactive() else read_secret()
    if not password:
        raise UsageError("a password is required: type it, or pass it on the first line of stdin")
    return password
