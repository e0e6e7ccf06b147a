"""The own account: sessions and API tokens are listed and ended, a second factor is set up, a tenant is switched."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from novacron_core.api import access, second_factor
from novacron_core.api.access import Membership
from novacron_core.errors import Unauthenticated
from novacron_core.values.roles import READ_ONLY, SET_UP_ONLY, Role, token_scope
from novacron_tui.app import Console
from novacron_tui.screens.account import AccountScreen
from novacron_tui.second_factor.scan_form import ScanForm
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from novacron_tui.widgets.shown_once import ShownOnce
from tests.support.console.account_world import CODE, OLGA, RECOVERY, SECRET, TOKEN, Account
from tests.support.console.looking import answer, fill, line_text, loaded, react, text, until
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import NOW, PASSWORD, fleet, inventory, live

SIZE = (120, 30)


def of(wire: Wire, **more: Any) -> Console:
    return console(wire, Stream(live(), inventory(fleet())), **more)


async def command(pilot: Any, words: str) -> None:
    await pilot.press(":", *words, "enter")


async def reach(pilot: Any, app: Console) -> AccountScreen:
    await until(pilot, lambda: app.session is not None and app.session.store.loaded)
    await command(pilot, "account")
    await until(pilot, lambda: isinstance(app.screen, AccountScreen) and app.screen.data.read_at is not None)
    await react(pilot)
    screen = app.screen
    assert isinstance(screen, AccountScreen)
    return screen


async def dialog(pilot: Any, app: Console, kind: type) -> Any:
    await until(pilot, lambda: isinstance(app.screen, kind), kind.__name__)
    await react(pilot)
    return app.screen


def status(app: Console) -> str:
    return line_text(app, "status")


async def test_who_one_is_and_where_one_is_signed_in() -> None:
    app = of(Account().wire())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        shown = text(app)
        for words in (
            "olga",
            "operator of default",
            "default operator, red viewer",
            "off: your password alone signs you in",
            "192.0.2.1 · this console",
            "password given 8m ago",
            "2001:db8::17",
            "[red]x[/red]",
        ):
            assert words in shown, words
        await pilot.press("tab")
        await until(pilot, lambda: "vm:read vm:change" in text(app))
        assert "198.51.100.7" in text(app)
        assert "never" in text(app)
        await pilot.press("/", *"may:reading", "enter")
        await until(pilot, lambda: "deploy" not in text(app))


async def test_sessions_are_ended_one_by_one_and_all_others_at_once() -> None:
    account = Account()
    wire = account.wire()
    app = of(wire)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        screen.table.select("s-2")
        await pilot.press("D")
        await answer(pilot, "y")
        await until(pilot, lambda: "1 session ended" in status(app))
        await until(pilot, lambda: len(screen.table.rows) == 2)
        assert [call.url.path for call in wire.asked("DELETE", "s-2")] == ["/auth/sessions/s-2"]
        await react(pilot)
        await command(pilot, "end-others")
        await answer(pilot, "y")
        await until(pilot, lambda: [row.id for row in screen.table.rows] == ["s-1"])
        await react(pilot)
        await command(pilot, "end-others")
        await until(pilot, lambda: "you have no other session" in status(app))


async def test_marking_all_leaves_out_the_session_of_this_console() -> None:
    account = Account()
    app = of(account.wire())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("*", "D")
        await dialog(pilot, app, Confirm)
        assert "End 2 sessions?" in text(app)
        await answer(pilot, "y")
        await until(pilot, lambda: [row.id for row in screen.table.rows] == ["s-1"])


async def test_what_ended_elsewhere_vanishes_and_a_refusal_is_told() -> None:
    account = Account()
    wire = account.wire()
    app = of(wire)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        account.sessions = account.sessions[:1]
        await pilot.press("r")
        await until(pilot, lambda: len(screen.table.rows) == 1)
        wire.routes["GET /auth/sessions"] = lambda _: refuse(503, "database_unavailable", "the database is down")
        await pilot.press("r")
        await until(pilot, lambda: "the database is down" in screen.data.error)
        assert len(screen.table.rows) == 1, "what is known stays"


async def test_token_is_created_shown_once_copied_and_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account()
    wire = account.wire()
    app = of(wire)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("c")
        form = await dialog(pilot, app, Form)
        await fill(pilot, "nightly", "read-only", "state:running")
        await until(pilot, lambda: form.fields["filter"].has_class("-wrong"))
        form.fields["filter"].widget.focus()
        await pilot.pause()
        await fill(pilot, 'tag:"ci"', "30")
        await dialog(pilot, app, ShownOnce)
        assert TOKEN in text(app)
        assert "NOVACRON_TOKEN=nvt_" in text(app)
        assert not copied, "nothing is copied without a key"
        sent = json.loads(wire.asked("POST", "/auth/tokens")[0].content)
        assert sent == {"name": "nightly", "read_only": True, "filter": 'tag:"ci"', "expires_in_days": 30}
        await pilot.press("enter", "q")
        assert isinstance(app.screen, ShownOnce), "only escape closes it"
        await pilot.press("y")
        assert copied == [TOKEN]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen and screen.row is not None and screen.row.name == "nightly")
        assert TOKEN not in text(app)
        await react(pilot)
        await pilot.press("D")
        await dialog(pilot, app, Confirm)
        assert "Revoke nightly?" in text(app)
        await answer(pilot, "y")
        await until(pilot, lambda: "nightly" not in [row.name for row in screen.table.rows])
        assert "nightly: revoked" in status(app)


async def test_limits_of_a_token_are_named_completed_and_refused_at_their_field() -> None:
    wire = Account().wire()
    app = of(wire)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("c")
        form = await dialog(pilot, app, Form)
        await fill(pilot, "deploy-2", "image:change vm:read", "")
        await fill(pilot, "30")
        await until(pilot, lambda: "You do not have image:change yourself" in text(app))
        assert form.fields["name"].value == "deploy-2", "nothing typed is lost"
        form.fields["limits"].widget.focus()
        await pilot.press("end", *["backspace"] * 40, *"vm:read vm:ch")
        await until(pilot, lambda: form.fields["limits"].widget._suggestion == "vm:read vm:change")
        await pilot.press("right", "ctrl+s")
        await dialog(pilot, app, ShownOnce)
        sent = json.loads(wire.asked("POST", "/auth/tokens")[0].content)
        assert sent["permissions"] == ["vm:read", "vm:change"]


async def test_second_factor_is_set_up_by_keys_and_turned_off() -> None:
    account = Account()
    app = of(account.wire())
    async with app.run_test(size=(80, 24)) as pilot:
        await reach(pilot, app)
        await command(pilot, "second-factor-off")
        await until(pilot, lambda: "your second factor is off: :second-factor sets it up" in status(app))
        await react(pilot)
        await command(pilot, "second-factor")
        await dialog(pilot, app, Form)
        await fill(pilot, "wrong")
        await until(pilot, lambda: "The password is wrong" in text(app))
        await fill(pilot, PASSWORD)
        form = await dialog(pilot, app, ScanForm)
        assert not form.has_class("-small"), "the QR code fits 80x24"
        assert "JBSW Y3DP EHPK 3PXP" in text(app)
        code = form.query_one("#code-image")
        assert code.region in form.region, "all of it is on the screen"
        await fill(pilot, "000000")
        await until(pilot, lambda: "This code is wrong" in text(app))
        await fill(pilot, CODE)
        await dialog(pilot, app, ShownOnce)
        assert all(each in text(app) for each in RECOVERY)
        await pilot.press("escape")
        await until(pilot, lambda: "10 recovery codes left" in text(app))
        await react(pilot)
        await command(pilot, "second-factor-off")
        await dialog(pilot, app, Form)
        await fill(pilot, PASSWORD, CODE)
        await until(pilot, lambda: "off: your password alone signs you in" in text(app))


async def test_secret_is_text_where_the_qr_code_does_not_fit() -> None:
    app = of(Account().wire())
    async with app.run_test(size=(70, 20)) as pilot:
        await reach(pilot, app)
        await command(pilot, "second-factor")
        await dialog(pilot, app, Form)
        await fill(pilot, PASSWORD)
        form = await dialog(pilot, app, ScanForm)
        assert form.has_class("-small")
        assert "otpauth://totp/NovaCron:olga" in text(app)
        assert SECRET[:4] in text(app)
        await fill(pilot, CODE)
        await dialog(pilot, app, ShownOnce)


def moved(tenant: str, role: Role, **more: Any) -> httpx.Response:
    user = msgspec.structs.replace(OLGA, tenant=tenant, role=role, **more)
    return ok(access.Tokens(token="t2", expires_in=900, refresh_token="", user=user))


async def test_tenant_is_switched_by_its_name_which_tab_completes() -> None:
    wire = Account().wire(**{"POST /auth/tenant": lambda _: moved("red", Role.VIEWER)})
    stream = Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        stream.say(live(), inventory([]))
        await pilot.press(":", *"tenant r", "tab", "enter")
        await until(pilot, lambda: "you are viewer in the tenant red" in status(app))
        assert json.loads(wire.asked("POST", "/auth/tenant")[0].content) == {"tenant": "red"}
        assert app.session is not None
        await until(pilot, lambda: stream.opened == [None, None], "everything is read again")
        await react(pilot)
        await command(pilot, "tenant red")
        await until(pilot, lambda: "you work in red already" in status(app))


async def test_tenant_is_chosen_from_a_list() -> None:
    wire = Account().wire(**{"POST /auth/tenant": lambda _: moved("red", Role.VIEWER)})
    app = of(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await command(pilot, "tenant")
        await dialog(pilot, app, Form)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(wire.asked("POST", "/auth/tenant")))


async def test_unknown_tenant_and_one_tenant_alone_are_said() -> None:
    alone = msgspec.structs.replace(OLGA, memberships=[Membership(tenant="default", role=Role.OPERATOR)])
    wire = Account(user=alone).wire(**{"POST /auth/tenant": lambda _: refuse(404, "not_found", "tenant not found")})
    app = of(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await command(pilot, "tenant blue")
        await until(pilot, lambda: "blue: tenant not found" in status(app))
        await react(pilot)
        await command(pilot, "tenant")
        await until(pilot, lambda: "you belong to one tenant" in status(app))


async def test_tenant_that_requires_a_second_factor_leads_to_setting_it_up() -> None:
    account = Account()
    limited = {"scope": sorted(SET_UP_ONLY)}
    stream = Stream(live(), inventory(fleet()))

    def switch(_: httpx.Request) -> httpx.Response:
        account.factor = second_factor.SecondFactor(enabled=False, required=True)
        account.user = msgspec.structs.replace(OLGA, tenant="red", role=Role.VIEWER, **limited)
        stream.say(Unauthenticated("Not signed in"))
        return moved("red", Role.VIEWER, **limited)

    def confirm(request: httpx.Request) -> httpx.Response:
        account.user = msgspec.structs.replace(account.user, scope=None)
        return account._confirm(request)

    wire = account.wire(**{"POST /auth/tenant": switch, "POST /auth/totp/confirm": confirm})
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await command(pilot, "tenant red")
        await dialog(pilot, app, Form)
        await pilot.press("escape")
        await until(pilot, lambda: "OFFLINE" in text(app))
        await react(pilot)
        await reach(pilot, app)
        assert "off: this tenant requires one" in text(app)
        await command(pilot, "second-factor")
        await dialog(pilot, app, Form)
        await fill(pilot, PASSWORD)
        await dialog(pilot, app, ScanForm)
        stream.say(live(), inventory([]))
        await fill(pilot, CODE)
        await dialog(pilot, app, ShownOnce)
        await pilot.press("escape")
        await until(pilot, lambda: app.session is not None and app.session.user.scope is None)
        await until(pilot, lambda: app.session is not None and not app.session.store.vms, "the other tenant's VMs")
        assert set(stream.opened) == {None}, "what the first tenant showed is not continued"
        assert isinstance(app.screen, AccountScreen), "nobody had to sign in again"


@pytest.mark.parametrize(
    ("place", "scope", "why"),
    [
        (ServerRef("http://127.0.0.1:8090", read_only="this console is read-only"), None, "read-only"),
        (ServerRef("http://127.0.0.1:8090"), sorted(token_scope(READ_ONLY)), "lacks the permission self:change"),
    ],
    ids=["read-only", "api-token"],
)
async def test_what_may_not_be_done_is_grey_and_says_why(place: ServerRef, scope: list[str] | None, why: str) -> None:
    user = msgspec.structs.replace(OLGA, scope=scope)
    wire = Account(user=user).wire()
    app = of(wire, place=place)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        for words in ("create", "delete", "password", "end-others"):
            await command(pilot, words)
            await until(pilot, lambda: why in status(app), words)
            await react(pilot)
        for words in ("second-factor", "tenant red"):
            await command(pilot, words)
            await until(pilot, lambda: why in status(app) or "self:sign_in" in status(app), words)
            await react(pilot)
        assert not [call for call in wire.calls if call.method != "GET"]


async def test_password_is_changed_and_an_invitation_taken_up() -> None:
    account = Account()
    joined = Membership(tenant="blue", role=Role.VIEWER)
    sent: list[Any] = []

    def change(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(204)

    app = of(account.wire(**{"POST /auth/join": lambda _: ok(joined), "POST /auth/password": change}))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await command(pilot, "join")
        await dialog(pilot, app, Form)
        account.user = msgspec.structs.replace(OLGA, memberships=[*OLGA.memberships, joined])
        await fill(pilot, "AAAAA-BBBBB")
        await until(pilot, lambda: "you are viewer of blue now: :tenant blue goes there" in status(app))
        await until(pilot, lambda: "blue viewer" in text(app))
        await react(pilot)
        await command(pilot, "password")
        await dialog(pilot, app, Form)
        await fill(pilot, PASSWORD, "four quiet rivers run north", "not the same")
        await until(pilot, lambda: "The two passwords differ" in text(app))
        await fill(pilot, "four quiet rivers run north")
        await until(pilot, lambda: bool(sent))
        assert sent == [{"old": PASSWORD, "new": "four quiet rivers run north"}]


async def test_help_names_what_has_no_key() -> None:
    app = of(Account().wire())
    async with app.run_test(size=(120, 70)) as pilot:
        await reach(pilot, app)
        await pilot.press("?")
        await until(pilot, lambda: "Turn the second factor off." in text(app))
        assert "End all sessions but that" in text(app)
        assert "Revoke the API token" not in text(app), "the keys are those of the list that is shown"
        assert f"{NOW:%Y}" not in text(app)
