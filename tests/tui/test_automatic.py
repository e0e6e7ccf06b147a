"""Automatic moves by key presses: the switch, what moves now, and the decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from novacron_core.api.automatic import AutomaticPolicy, AutomaticStatus, PairPolicy, PairStatus, StorageDecision
from novacron_core.api.base import Page
from novacron_core.api.tiering import StoragePolicy
from novacron_core.values.roles import Role
from novacron_core.values.tiers import TierPair
from novacron_tui.app import Console
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from tests.support.console.looking import line_text, react, text, until
from tests.support.console.storage_looking import SIZE, body, reach
from tests.support.console.storage_world import decision, decisions, storage, wire
from tests.support.console.wire import console, ok, refuse
from tests.support.console.world import ADMIN, HOST_ID

MOVING = AutomaticStatus(
    enabled=True,
    pairs=[
        PairStatus(host=HOST_ID, pair="warm-to-hot", moving="build-cache"),
        PairStatus(host=HOST_ID, pair="hot-to-warm", waits="moves from hot to warm begin at 22:00-06:00 UTC"),
    ],
)
ON = StoragePolicy(automatic=AutomaticPolicy(enabled=True, pairs={"warm-to-hot": PairPolicy(enabled=True)}))


async def reach_decisions(pilot: Any, app: Console) -> StorageScreen:
    screen = await reach(pilot, app)
    await pilot.press("tab", "tab", "tab")
    await until(pilot, lambda: screen.decision_pane.table.has_focus or not screen.decision_pane.table.display)
    return screen


async def test_decisions_are_listed_with_their_reasons() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_decisions(pilot, app)
        await until(pilot, lambda: "build-cache" in text(app))
        shown = text(app)
        for words in ("moving", "held", "840", "stopped", "failed", "old-builds", "automatic off"):
            assert words in shown, shown
        await until(pilot, lambda: "1,240 operations/s over a day and a week" in line_text(app, "status"))
        await pilot.press("down", "down")
        await until(pilot, lambda: "hot is slow: 9 of 10 requests within 22 ms" in line_text(app, "status"))
        await pilot.press("enter")
        await until(pilot, lambda: "and the limit is 15 ms" in text(app) and "copies 3 GiB" in text(app))
        await pilot.press("escape", "/", *"result:held", "enter")
        await until(pilot, lambda: "1 of 5" in text(app) and "old-builds" not in text(app))


async def test_kill_switch_names_what_it_cancels() -> None:
    server = wire(
        **{
            "GET /api/storage/automatic": lambda _: ok(MOVING),
            "GET /api/storage/policy": lambda _: ok(ON),
            "PUT /api/storage/policy": lambda _: ok(StoragePolicy()),
        }
    )
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("M")  # at once, from the list of volumes
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "Cancels 1 move under way: build-cache" in text(app)
        await react(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        assert not server.asked("PUT", "policy")
        await react(pilot)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "automatic moves are off" in line_text(app, "status"))
        assert [body(call) for call in server.asked("PUT", "policy")] == [{"automatic": {"enabled": False}}]


async def test_refused_kill_switch_says_that_they_are_still_on() -> None:
    server = wire(
        **{
            "GET /api/storage/automatic": lambda _: ok(MOVING),
            "GET /api/storage/policy": lambda _: ok(ON),
            "PUT /api/storage/policy": lambda _: refuse(503, "database_unavailable", "the database does not answer"),
        }
    )
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "automatic moves are still on: the database" in line_text(app, "status"))


async def test_form_turns_them_on_in_the_chosen_directions() -> None:
    server = wire(**{"PUT /api/storage/policy": lambda _: ok(ON)})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await react(pilot)
        await pilot.press("tab", "tab", *"at night", "tab")
        await until(pilot, lambda: "is no window" in text(app))
        await pilot.press("shift+tab", "ctrl+u", *"22:00-06:00", "tab", "ctrl+u", *"Mars", "tab")
        await until(pilot, lambda: "there is no time zone Mars" in text(app))
        await pilot.press("shift+tab", "ctrl+u", *"Europe/Berlin", "tab", "ctrl+u", *"1K", "ctrl+s")
        await until(pilot, lambda: "at least 64K" in text(app))
        assert not server.asked("PUT", "policy")
        await pilot.press("ctrl+u", *"50M", "ctrl+s")
        await until(pilot, lambda: "automatic moves are on" in line_text(app, "status"))
        sent = body(server.asked("PUT", "policy")[0])["automatic"]
        assert (sent["enabled"], sent["time_zone"]) == (True, "Europe/Berlin")
        assert set(sent["pairs"]) == {
            "warm-to-hot", "cold-to-hot", "cold-to-warm", "hot-to-warm", "hot-to-cold", "warm-to-cold",
        }  # fmt: skip
        wanted = {"enabled": True, "bandwidth_bytes_s": 50 << 20, "window": "22:00-06:00"}
        assert all(pair == wanted for pair in sent["pairs"].values())


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (MOVING, "automatic: moving build-cache"),
        (msgspec.structs.replace(MOVING, pairs=MOVING.pairs[1:]), "automatic waits"),
        (AutomaticStatus(enabled=True), "automatic on"),
        (AutomaticStatus(enabled=False), "automatic off"),
    ],
)
async def test_what_it_does_now_is_told_beside_the_advice(status: AutomaticStatus, says: str) -> None:
    app = console(wire(**{"GET /api/storage/automatic": lambda _: ok(status)}), storage())
    async with app.run_test(size=(140, 45)) as pilot:
        await reach(pilot, app)
        await pilot.press("tab")
        await until(pilot, lambda: says in text(app))


async def test_operator_reads_decisions_and_turns_nothing_on() -> None:
    server = wire()
    server.user = msgspec.structs.replace(ADMIN, role=Role.OPERATOR)
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_decisions(pilot, app)
        await until(pilot, lambda: "old-builds" in text(app))
        await pilot.press("M")
        await until(pilot, lambda: "operator" in line_text(app, "status"))
        assert isinstance(app.screen, StorageScreen)
        assert not server.asked("PUT", "")


async def test_server_without_automatic_moves_is_named_and_the_rest_works() -> None:
    missing = {
        f"GET /api/storage/{name}": lambda _: refuse(404, "not_found", "no such endpoint")
        for name in ("automatic", "decisions")
    }
    app = console(wire(**missing), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_decisions(pilot, app)
        await until(pilot, lambda: "this server makes no automatic moves: update it" in text(app))
        await react(pilot)
        await pilot.press("M")
        await until(pilot, lambda: "makes no automatic moves" in line_text(app, "status"))
        await pilot.press("tab")
        await until(pilot, lambda: "web-01-1a2b3c4d.qcow2" in text(app))


async def test_without_decisions_the_list_says_what_will_be_there() -> None:
    empty: Page[StorageDecision] = Page(items=[], total=0, page=1, page_size=500)
    routes = {
        "GET /api/storage/decisions": lambda _: ok(empty),
        "GET /api/storage/automatic": lambda _: ok(AutomaticStatus(enabled=True)),
    }
    app = console(wire(**routes), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_decisions(pilot, app)
        await until(pilot, lambda: "automatic moves are on: what the server moves" in text(app))
        assert "M turns on" not in text(app)


async def test_without_decisions_the_list_names_the_key() -> None:
    empty: Page[StorageDecision] = Page(items=[], total=0, page=1, page_size=500)
    app = console(wire(**{"GET /api/storage/decisions": lambda _: ok(empty)}), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_decisions(pilot, app)
        await until(pilot, lambda: "nothing was decided yet" in text(app) and "M turns on automatic moves" in text(app))


async def test_hostile_texts_of_decisions_stay_text() -> None:
    page = decisions()
    bad = decision(9, "[red]x[/]\x1b[31m", "held", timedelta(0), reason="[b]\x1b]0;t\x07")
    app = console(
        wire(**{"GET /api/storage/decisions": lambda _: ok(msgspec.structs.replace(page, items=[bad]))}), storage()
    )
    async with app.run_test(size=SIZE) as pilot:
        await reach_decisions(pilot, app)
        await until(pilot, lambda: "[red]x[/]" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "[b]" in text(app))
        assert "\x1b" not in text(app)


async def test_what_was_set_for_single_pairs_stays_when_they_are_turned_on_again() -> None:
    pairs: dict[TierPair, PairPolicy] = {
        "warm-to-hot": PairPolicy(),
        "hot-to-cold": PairPolicy(enabled=True, window="sat,sun 00:00-24:00", bandwidth_bytes_s=10 << 20),
    }
    stopped = StoragePolicy(automatic=AutomaticPolicy(pairs=pairs))
    server = wire(
        **{"GET /api/storage/policy": lambda _: ok(stopped), "PUT /api/storage/policy": lambda _: ok(stopped)}
    )
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "hot to cold" in text(app) and "at most 10 MiB/s" in text(app) and "sat,sun" in text(app)
        assert "warm to hot" not in text(app)
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "automatic moves are on" in line_text(app, "status"))
        assert [body(call) for call in server.asked("PUT", "policy")] == [{"automatic": {"enabled": True}}]
