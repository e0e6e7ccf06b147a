"""The people screen: what it lists, whom its keys refuse, and that it asks again for the password where it must."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec

from novacron_core.api import access, quotas, second_factor
from novacron_core.api.base import Page
from novacron_core.api.people import Invitation, InvitationState, Person
from novacron_core.values.roles import Role
from novacron_tui.screens.people import PeopleScreen
from novacron_tui.widgets.form import Form
from tests.support.console.looking import line_text, loaded, react, text, until
from tests.support.console.wire import Stream, Wire, console, ok, refuse
from tests.support.console.world import NOW, VIEWER, fleet, inventory, live

SIZE = (120, 30)
BOB = Person(
    id="p-bob",
    username="bob",
    role=Role.OPERATOR,
    tenant="default",
    memberships=[access.Membership(tenant="default", role=Role.OPERATOR)],
    created_at=NOW,
)
OPEN = Invitation(
    id="i-1",
    tenant="default",
    role=Role.VIEWER,
    state=InvitationState.OPEN,
    created_by="ann",
    created_at=NOW,
    expires_at=NOW,
    email="eve@example.org",
)
USED = quotas.Quota(
    tenant="default",
    vms=quotas.Amount(used=9, limit=10),
    vcpus=quotas.Amount(used=4),
    memory_bytes=quotas.Amount(used=1 << 30, limit=1 << 30),
)


def page(*items: Any) -> httpx.Response:
    return ok(Page(items=list(items), total=len(items), page=1, page_size=1000))


def team(**more: Any) -> Wire:
    routes = {
        "GET /api/admin/users": lambda _: page(BOB),
        "GET /api/admin/invitations": lambda _: page(OPEN),
        "GET /api/admin/tenants": lambda _: page(),
        "GET /api/quota": lambda _: ok(USED),
    }
    return Wire(routes={**routes, **more})


async def test_people_invitations_and_quotas_are_shown() -> None:
    app = console(team(), Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("6")
        await until(pilot, lambda: "eve@example.org" in text(app))
        shown = text(app)
        assert "9 of 10" in shown
        assert "4, no quota" in shown
        assert "1 GiB of 1 GiB" in shown
        await pilot.press("/", *"state:invited", "enter")
        screen = app.screen
        assert isinstance(screen, PeopleScreen)
        await until(pilot, lambda: len(screen.table.rows) == 1)
        await pilot.press("e")
        await until(pilot, lambda: "is an invitation: D revokes it" in line_text(app, "status"))


async def test_screen_that_is_opened_again_still_shows_what_is_read() -> None:
    wire = team()
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("6")
        await until(pilot, lambda: "eve@example.org" in text(app))
        await pilot.press("1")
        await until(pilot, lambda: "eve@example.org" not in text(app))
        cat = msgspec.structs.replace(BOB, id="p-cat", username="catherine")
        wire.routes["GET /api/admin/users"] = lambda _: page(BOB, cat)
        await pilot.press("6")
        await until(pilot, lambda: "eve@example.org" in text(app) and "catherine" in text(app))


async def test_viewer_sees_the_own_account_and_may_change_nothing() -> None:
    wire = team()
    wire.user = VIEWER
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("6")
        await until(pilot, lambda: VIEWER.username in text(app) and "no quota" in text(app))
        await pilot.press("c")
        await until(pilot, lambda: "your role (viewer) lacks the permission people:change" in line_text(app, "status"))
        assert not [call for call in wire.calls if call.url.path.startswith("/api/admin")]


async def test_password_is_asked_for_again_and_the_change_repeated() -> None:
    proved: list[str] = []

    def change(request: httpx.Request) -> httpx.Response:
        if not proved:
            return refuse(403, "reauthentication_required", "prove who you are")
        return ok(BOB)

    def prove(request: httpx.Request) -> httpx.Response:
        proved.append(json.loads(request.content)["password"])
        return ok(second_factor.Proved(proved_until=NOW))

    app = console(
        team(**{
            "PATCH /api/admin/users/p-bob": change,
            "POST /auth/prove": prove,
            "GET /auth/totp": lambda _: ok(second_factor.SecondFactor(enabled=False, required=False, recovery_codes_left=0)),
        }),
        Stream(live(), inventory(fleet())),
    )  # fmt: skip
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("6")
        await until(pilot, lambda: "bob" in text(app))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await react(pilot)
        form: Any = app.screen
        form.fields["email"].value = "bob@example.org"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Prove that it is you" in text(app))
        await react(pilot)
        await pilot.press(*"a password", "ctrl+s")
        await until(pilot, lambda: "e-mail address changed" in line_text(app, "status"))
    assert proved == ["a password"]
