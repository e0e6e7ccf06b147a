"""One's own account by key presses on a real server: an invitation, a second factor, an API token, another tenant."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from novacron_core.api import access, people, tenants
from novacron_core.api.tenants import TenantCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD, administrator
from tests.support.processes import serve
from tests.support.seats import Seat, command, look, seat
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
BOBS = "seven calm rivers bend south"
F2 = "\x1bOQ"
RECOVERY = r"(?:[a-z2-7]{4}-){3}[a-z2-7]{4}"


@pytest.fixture
def url(data_dir: Path) -> Iterator[str]:
    with serve(data_dir) as (url, _):
        asyncio.run(administrator(url, data_dir))
        yield url


@pytest.fixture
def ann(url: str, tmp_path: Path) -> Seat:
    """The administrator, signed in on a machine of her own."""
    made = seat(url, tmp_path, "ann")
    made.run("login", "--server", url, "--user", "ann", typed=PASSWORD + "\n")
    return made


@pytest.fixture
def bob(url: str, tmp_path: Path) -> Seat:
    """Somebody without an account, at a machine of his own."""
    return seat(url, tmp_path, "bob")


def with_account(url: str, *more: tuple[str, Role]) -> None:
    """Give bob an account: an operator of `default`, and a member of tenants that are created for it."""

    async def create() -> None:
        async with Client(url) as client:
            await client.sign_in("ann", PASSWORD)
            body = access.Register(username="bob", password=BOBS, role=Role.OPERATOR)
            user = (await client.call(access.REGISTER, body=body)).user
            for tenant, role in more:
                await client.call(tenants.CREATE, body=TenantCreate(id=tenant))
                await client.call(people.SET_ROLE, body=people.MemberRole(role=role), tenant=tenant, user_id=user.id)

    asyncio.run(create())


def sign_in(terminal: Terminal, code: str = "") -> None:
    """Sign in as bob in the form, with a code if it is given."""
    terminal.see("Password ")
    if "▎ bob" not in terminal.text():  # who signed in last
        terminal.type("bob")
        terminal.press("enter")
    terminal.type(BOBS)
    terminal.press("enter")
    if code:
        terminal.see("Six digits of your authenticator app")
        terminal.react()
        terminal.type(code)
        terminal.press("enter")


def test_invitation_is_taken_up_in_the_sign_in_form(ann: Seat, bob: Seat) -> None:
    made = ann.run("user", "invite", "--role", "operator")
    code = re.search(r"(?:[0-9A-Z]{5}-){4}[0-9A-Z]{5}", made)
    assert code is not None, made
    with bob.console(columns=80, rows=24) as bobs:
        bobs.see("f2 invitation code")
        bobs.press(F2)
        bobs.see("The code of an invitation makes an account for you")
        bobs.type("WRONG-WRONG-WRONG-WRONG-WRONG")
        bobs.press("enter")
        bobs.type("bob")
        bobs.press("enter")
        bobs.type(BOBS)
        bobs.press("enter")
        bobs.type(BOBS)
        bobs.press("enter", "enter")
        bobs.see("code is wrong")
        bobs.see("User +▎ bob")
        bobs.press("shift+tab", "shift+tab", "shift+tab", "shift+tab")
        bobs.press("home", "\x0b")  # ctrl+k deletes the line
        bobs.type(code[0].lower())
        bobs.press("enter", "enter", "enter", "enter", "enter")
        bobs.see(r"LIVE")
        command(bobs, "account")
        bobs.see("operator of default")
        bobs.see("this console")
    assert "bob" in ann.run("user", "ls")


def secret_on(terminal: Terminal) -> str:
    """The secret that is shown beside the QR code."""
    terminal.see(r"(?s)(?:[A-Z2-7]{4} ){6}.*(?:[A-Z2-7]{4} ){2}.*the code that the app")
    secret = "".join(re.findall(r"\b[A-Z2-7]{4}\b", terminal.text()))
    assert len(secret) == 32, terminal.text()
    return secret


def set_up(terminal: Terminal) -> tuple[str, list[str]]:
    """Set bob's second factor up by keys. Returns its secret and the recovery codes."""
    command(terminal, "account")
    terminal.see("off: your password alone signs you in")
    command(terminal, "second-factor")
    terminal.see("Set up a second factor")
    terminal.react()
    terminal.type(BOBS)
    terminal.press("enter")
    terminal.see("Scan this with an authenticator")
    assert terminal.text().count("▀") > 300, "the QR code is drawn"
    secret = secret_on(terminal)
    terminal.react()
    terminal.type(pyotp.TOTP(secret).now())
    terminal.press("enter")
    terminal.see("Your second factor is on")
    codes = re.findall(RECOVERY, terminal.text())
    assert len(codes) == 10, terminal.text()
    terminal.react()
    terminal.press("esc")
    terminal.see("10 recovery codes left")
    return secret, codes


def later_code(secret: str) -> str:
    """The code of the next time step, which the server takes already: that of a confirmation is used up."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30)


def test_second_factor_is_set_up_and_signs_in_and_each_recovery_code_once(url: str, bob: Seat) -> None:
    with_account(url)
    with bob.console(columns=80, rows=24) as bobs:
        sign_in(bobs)
        bobs.see("LIVE")
        secret, codes = set_up(bobs)
        bobs.press("q")
    with bob.console() as bobs:
        sign_in(bobs, later_code(secret))
        bobs.see("LIVE")
        bobs.press("q")
    with bob.console() as bobs:
        sign_in(bobs, codes[0])
        bobs.see("LIVE")
        command(bobs, "account")
        bobs.see("9 recovery codes left")
        bobs.press("q")
    with bob.console() as bobs:
        sign_in(bobs, codes[0])
        bobs.see("This code is wrong, or was used already")
        bobs.type(codes[1])
        bobs.press("enter")
        bobs.see("LIVE")


def test_tenant_that_requires_a_second_factor_admits_nobody_without(ann: Seat, url: str, bob: Seat) -> None:
    with_account(url)
    ann.run("tenant", "edit", "default", "--second-factor")
    with bob.console(columns=80, rows=24) as bobs:
        sign_in(bobs)
        bobs.see("Scan this with an authenticator")
        secret = secret_on(bobs)
        bobs.react()
        bobs.type(pyotp.TOTP(secret).now())
        bobs.press("enter")
        bobs.see("Your second factor is on")
        bobs.react()
        bobs.press("esc")
        bobs.see("LIVE")


def test_token_of_the_console_reads_in_a_pipeline_and_is_refused_once_revoked(ann: Seat) -> None:
    with ann.console() as anns:
        anns.see(r"test +.*running")
        look(anns)
        command(anns, "account")
        anns.see("this console")
        anns.react()
        anns.press("c")
        anns.see("Create an API token")
        anns.react()
        anns.type("pipeline")
        anns.press(*["enter"] * 4)  # read-only, all VMs, for 90 days
        anns.see("It is shown only now")
        found = re.search(r"nvt_[\w-]+", anns.text())
        assert found is not None, anns.text()
        token = found[0]
        anns.react()
        anns.press("esc")
        anns.see("pipeline +reading")

        listed = json.loads(ann.run("vm", "ls", "-o", "json", token=token))
        assert [vm["name"] for vm in listed] == ["test"]
        refused = ann.try_to("vm", "stop", "test", token=token)
        assert refused.returncode == 1
        assert "this API token is limited: it lacks the permission vm:change" in refused.stderr
        anns.see("pipeline +reading .*(?:[0-9]+s|1m)")

        anns.react()
        anns.press("D")
        anns.see("Revoke pipeline")
        anns.react()
        anns.press("y")
        anns.see("pipeline: revoked")
        revoked_at = time.monotonic()
        while (after := ann.try_to("vm", "ls", token=token)).returncode == 0:
            assert time.monotonic() < revoked_at + 2.0, "it still works two seconds later"
        assert "API token" in after.stderr
        anns.see_no("pipeline +reading")


def test_tenant_is_switched_by_keys_and_the_lists_change(ann: Seat, url: str, bob: Seat) -> None:
    with_account(url, ("red", Role.VIEWER))
    ann.run("vm", "adopt", "test", "--tenant", "default", "--to", "bob")
    with bob.console() as bobs:
        sign_in(bobs)
        bobs.see(r"test +.*running")
        bobs.press(":")
        bobs.type("tenant r")
        bobs.press("tab", "enter")
        bobs.see("you are viewer in the tenant red")
        bobs.see_no(r"test +.*running")
        bobs.see(r"bob in red \(viewer\)")
        command(bobs, "tenant default")
        bobs.see("you are operator in the tenant default")
        bobs.see(r"test +.*running")


def test_session_ended_from_another_console_asks_for_a_sign_in(url: str, bob: Seat) -> None:
    with_account(url)
    with bob.console() as here, bob.console() as there:
        for terminal in (here, there):
            sign_in(terminal)
            terminal.see("LIVE")
        command(here, "account")
        here.see("sessions 2")
        command(here, "end-others")
        here.see("End this session")
        here.react()
        here.press("y")
        here.see("1 session ended")
        here.see("sessions 1")
        there.see("Your session has ended")
        there.see("Password")
