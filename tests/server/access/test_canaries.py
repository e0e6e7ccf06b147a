"""Secrets, planted by real use, are found nowhere but where they must be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pyotp
import pytest

from novacron_core import errors
from novacron_core.api import access, people, second_factor, stored_events
from novacron_core.client import Client, Credentials
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.api_tokens import create
from tests.support.event_stream import open_stream
from tests.support.server import LiveServer

CANARY = "canary otters paint quiet maps"
WRONG = "wrong canary lanterns seventeen"
_IN_CLEAR = {"TOTP secret": "users"}
"""What a column has as it is, and of which table: codes are computed from it. docs/operating.md says so."""
_PUBLIC = ("server.json", "node.xml")
"""Files of the data directory that others may read."""


async def plant(server: LiveServer, owner_url: str) -> dict[str, str]:
    """Use every kind of secret once, right and wrong, and return them."""
    eve = await server.member("eve", Role.OPERATOR)
    made = await create(eve, "of-eve")
    async with Client(server.url, Credentials(made.token)) as script:
        await script.call(access.VALIDATE)
    ticket = (await eve.call(access.WS_TICKET)).ticket
    begun = await eve.call(second_factor.BEGIN, body=second_factor.BeginTotp(password=PASSWORD))
    code = pyotp.TOTP(begun.secret).now()
    confirmed = await eve.call(second_factor.CONFIRM, body=second_factor.ConfirmTotp(code=code))
    user = eve.credentials.user
    assert user is not None
    reset = await server.admin.call(people.CREATE_RESET_CODE, user_id=user.id)
    invited = await server.admin.call(people.INVITE, body=people.InvitationCreate())
    async with Client(server.url) as stranger:
        with pytest.raises(errors.Unauthenticated):
            await stranger.sign_in("eve", WRONG)
        body = access.PasswordReset(username="eve", code=reset.code, new_password=CANARY)
        await stranger.call(access.RESET_PASSWORD, body=body)
        with pytest.raises(errors.NovaCronError):
            await stranger.call(access.RESET_PASSWORD, body=body)  # the code counts once
    return {
        "password": CANARY,
        "wrong password": WRONG,
        "password of before": PASSWORD,
        "API token": made.token,
        "access token": server.admin.credentials.token or "",
        "refresh token": server.admin.credentials.refresh_token or "",
        "ticket": ticket,
        "TOTP secret": begun.secret,
        "recovery code": confirmed.recovery_codes[0],
        "reset code": reset.code,
        "invitation code": invited.code,
        "signing key": max((server.data_dir / "secrets.json").read_text().split('"'), key=len),
        "database password": urlsplit(owner_url).password or "",
        "metrics token": (server.data_dir / "metrics-token").read_text().strip(),
        "key of the data directory": (server.data_dir / "server.key").read_text().strip(),
        "audit key": (server.data_dir / "audit-key").read_text().strip(),
    }


def found_in(text: str, secrets: dict[str, str]) -> set[str]:
    """The kinds of secrets that a text has. Codes are looked for with and without their hyphens."""
    folded = text.replace("-", "").lower()
    return {name for name, secret in secrets.items() if secret in text or secret.replace("-", "").lower() in folded}


async def test_secrets_are_found_nowhere(server: LiveServer, owner_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with open_stream(server) as stream:
        secrets = await plant(server, owner_url)
        assert len(secrets) >= 12 and all(len(secret) >= 8 for secret in secrets.values())
        texts = {"stream": str(stream.frames)}
    await server.parts.audit.refusals.write()
    stored = await server.admin.call(stored_events.LIST, query=stored_events.EventQuery(page_size=1000))
    texts["events"] = str(stored)
    metrics = {"Authorization": f"Bearer {secrets['metrics token']}"}
    signed_in = {"Authorization": server.admin.credentials.authorization}
    async with httpx.AsyncClient(base_url=server.url) as http:
        texts["/metrics"] = (await http.get("/metrics", headers=metrics)).text
        for path in ("/api/admin/audit", "/api/admin/audit/export", "/api/admin/users", "/api/admin/tokens", "/health"):
            texts[path] = (await http.get(path, headers=signed_in)).text
        for path in (f"/auth/tokens/{secrets['API token']}", f"/x?q={secrets['API token']}"):
            answer = await http.delete(path, headers=signed_in)
            texts[path.split("/")[1]] = answer.text.replace(path, "")
        bad = await http.post("/auth/login", content=f'{{"username":"eve","password":"{CANARY}","x":1}}'.encode())
        texts["problem"] = bad.text
    texts |= _processes()
    log = capfd.readouterr()
    texts["log"] = log.out + log.err
    assert "/auth/login" in texts["log"], "the log is not where this test looks"
    leaks = {place: names for place, text in texts.items() if (names := found_in(text, secrets))}
    assert not leaks, leaks
    assert await _in_columns(owner_url, secrets) == {(table, name) for name, table in _IN_CLEAR.items()}
    assert _readable_by_others(server.data_dir) == set()


def _processes() -> dict[str, str]:
    """What other users of the machine can read, or could of a child: arguments and environments."""
    own = psutil.Process()
    found = {}
    for process in (own, *own.children(recursive=True)):
        try:
            found[f"process {process.pid}"] = f"{process.cmdline()} {process.environ()}"
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


async def _in_columns(owner_url: str, secrets: dict[str, str]) -> set[tuple[str, str]]:
    """(table, kind) of each secret that a row of the database has."""
    found = set()
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        tables = await (
            await conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        ).fetchall()
        for (table,) in tables:
            rows = await (await conn.execute(f'SELECT t::text FROM "{table}" t')).fetchall()
            found |= {(table, name) for name in found_in("\n".join(str(row[0]) for row in rows), secrets)}
    return found


def _readable_by_others(folder: Path) -> set[str]:
    """Files that others than their owner may read or write."""
    return {path.name for path in _files(folder) if stat.S_IMODE(path.stat().st_mode) & 0o077} - set(_PUBLIC)


def _files(folder: Path) -> Iterable[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root) / name for name in names if not (Path(root) / name).is_symlink())
