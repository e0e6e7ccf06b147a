"""Storage advice by key presses: what is shown, asked and sent, and how hot volumes are."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from novacron_core.api.samples import HeatSample
from novacron_core.api.tiering import StorageAdvice
from novacron_tui.app import Console
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.terminal.glyphs import FINE, PLAIN
from novacron_tui.volumes.heat import heat_cell, heat_words, last_access
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from tests.support.console.looking import line_text, react, text, until
from tests.support.console.storage_looking import SIZE, accepted, body, here, reach
from tests.support.console.storage_world import advice, heat_samples, storage, volume, volumes, wire
from tests.support.console.wire import console, ok, refuse
from tests.support.console.world import NOW, VIEWER


async def reach_advice(pilot: Any, app: Console, name: str = "") -> StorageScreen:
    """The advice, with the cursor on a volume."""
    screen = await reach(pilot, app)
    await until(pilot, lambda: screen.data.advice.loaded)
    await pilot.press("tab")
    await until(pilot, lambda: screen.advice_pane.table.has_focus)
    if name:
        table = screen.advice_pane.table
        table.select(next(row.id for row in table.rows if row.advice.name == name))
        await until(pilot, lambda: table.row is not None and table.row.advice.name == name)
    return screen


def moved(volume_id: str) -> str:
    return f"PUT /api/storage/volumes/{volume_id}/tier"


def placed(volume_id: str) -> str:
    return f"PUT /api/storage/volumes/{volume_id}/placement"


async def test_newcomer_moves_the_hottest_volume_in_five_keys() -> None:
    """From the list of VMs: storage, advice, its row, move, yes. Why, and what it gains, is read on the way."""
    server = wire(**{moved("vol-5"): accepted("volume.move")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "tab: 2 moves advised" in line_text(app, "status"))
        await pilot.press("tab")
        await until(pilot, lambda: "warm › hot" in text(app))
        await pilot.press("down")
        await until(pilot, lambda: "11 per GiB, and hot takes from 5.1" in line_text(app, "status"))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        asked = text(app)
        for words in ("Move build-cache?", "takes from 5.1", "copies 90 GiB in about 25m", "39% › 48%", "85% › 83%"):
            assert words in " ".join(asked.split()), words
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: bool(server.asked("PUT", "vol-5/tier")))
        assert body(server.asked("PUT", "vol-5/tier")[0]) == {"tier": "hot"}
        await until(pilot, lambda: app.screen is screen)


async def test_marked_moves_are_tried_together_and_sent_in_the_servers_order() -> None:
    server = wire(**{moved(each): accepted("volume.move") for each in ("vol-2", "vol-5", "vol-3")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app)
        await pilot.press("*", "m")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        shown = " ".join(text(app).split())
        assert "Move 2 volumes?" in shown
        assert "1 move left out: refused now" in shown
        tried = [call.url.params.get("volumes") for call in server.asked("GET", "/api/storage/advice")]
        assert set(tried) == {None, "vol-2,vol-5"}
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: len(server.asked("PUT", "/tier")) == 2)
        assert [call.url.path.split("/")[-2] for call in server.asked("PUT", "/tier")] == ["vol-2", "vol-5"]


async def test_no_changes_nothing() -> None:
    server = wire()
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app, "build-cache")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        assert not server.asked("PUT", "")


async def test_refused_move_says_why_in_its_row_and_at_its_key() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app, "db-01-data")
        await until(pilot, lambda: "db-01-data is busy: moving a disk (by ada)" in line_text(app, "status"))
        assert "refused" in text(app)
        await pilot.press("m")
        await until(pilot, lambda: "db-01-data is busy" in line_text(app, "status"))
        assert isinstance(app.screen, StorageScreen)


async def test_advice_that_has_changed_meanwhile_moves_nothing() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return ok(
            StorageAdvice(recommendations=[], tiers=[], at=NOW) if request.url.params.get("volumes") else advice()
        )

    server = wire(**{"GET /api/storage/advice": answer})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app, "build-cache")
        await pilot.press("m")
        await until(pilot, lambda: "these moves would not pay any more" in line_text(app, "status"))
        assert not server.asked("PUT", "")


async def test_move_that_the_server_refuses_is_told_with_its_reason() -> None:
    server = wire(**{moved("vol-5"): lambda _: refuse(409, "conflict", "hot (p) has 1 GiB free")})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app, "build-cache")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "1 refused: build-cache: hot (p) has 1 GiB free" in line_text(app, "status"))


async def test_advice_is_dismissed_for_a_time_with_a_reason() -> None:
    server = wire(**{placed("vol-5"): lambda _: ok(volumes()[4])})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app, "build-cache")
        await pilot.press("N")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await react(pilot)
        await pilot.press("ctrl+u", *"2d", "tab", *"moves out", "ctrl+s")
        await until(pilot, lambda: bool(server.asked("PUT", "placement")))
        assert body(server.asked("PUT", "placement")[0]) == {"dismiss_s": 172_800, "reason": "moves out"}
        await until(pilot, lambda: "build-cache: no advice for 2d" in line_text(app, "status"))


@pytest.mark.parametrize(("pinned", "says"), [(False, "pinned to the tier"), (True, "may move again")])
async def test_pin_keeps_a_volume_and_releases_a_pinned_one(pinned: bool, says: str) -> None:
    known = [msgspec.structs.replace(each, pinned=pinned) for each in volumes()]
    server = wire(**{placed("vol-6"): lambda _: ok(known[5])})
    app = console(server, storage(volumes=known))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        assert ("scratch pinned" in text(app)) is pinned
        await pilot.press("P")
        await until(pilot, lambda: f"scratch: {says}" in line_text(app, "status"))
        assert body(server.asked("PUT", "placement")[0]) == {"pinned": not pinned}


async def test_disks_are_joined_by_the_command_line() -> None:
    joined = [msgspec.structs.replace(each, together=True) for each in volumes()]
    server = wire(**{placed("vol-5"): lambda _: ok(joined[4])})
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "build-cache")
        await pilot.press(":", *"together", "enter")
        await until(pilot, lambda: "build-cache: moves with the other disks" in line_text(app, "status"))
        assert body(server.asked("PUT", "placement")[0]) == {"together": True}


async def test_viewer_reads_advice_and_changes_nothing() -> None:
    server = wire()
    server.user = VIEWER
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app, "build-cache")
        for key in ("m", "N", "P"):
            await pilot.press(key)
            await until(pilot, lambda: "viewer" in line_text(app, "status"))
            here(app).clear_message()
            await react(pilot)
        assert not server.asked("PUT", "")


async def test_without_advice_the_list_says_what_it_waits_for_and_what_cannot_be_advised() -> None:
    note = "warm and hot are on the same disk of vm: a move between them gains nothing"
    nothing = StorageAdvice(recommendations=[], tiers=[], notes=[note], at=NOW)
    app = console(wire(**{"GET /api/storage/advice": lambda _: ok(nothing)}), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app)
        shown = " ".join(text(app).split())
        assert "nothing should move now" in shown
        assert "watched for a day" in shown
        assert note in shown


async def test_server_that_gives_no_advice_is_named_and_the_rest_works() -> None:
    app = console(wire(**{"GET /api/storage/advice": lambda _: httpx.Response(404)}), storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("tab")
        await until(pilot, lambda: "gives no storage advice" in text(app) or "tries again" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: screen.volumes.has_focus)


async def test_volumes_are_sorted_and_filtered_by_heat() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: "590" in text(app))
        await pilot.press("o", "o")
        await until(pilot, lambda: screen.volumes.sort_key == "heat")
        assert [entry.volume.name for entry in screen.volumes.rows][:2] == ["db-01-data", "build-cache"], "per GiB"
        await pilot.press("/", *"heat>1", "enter")
        await until(pilot, lambda: len(screen.volumes.rows) == 3)
        await pilot.press("escape", "/", *"idle>7d", "enter")
        await until(pilot, lambda: [entry.volume.name for entry in screen.volumes.rows] == ["db-01-backup"])


def test_cell_shows_level_rate_and_trend() -> None:
    samples = heat_samples().heat
    busy, rising, cooling = volumes()[2], volumes()[0], volumes()[1]
    assert [text for text, _ in heat_cell(samples["vol-3"], busy, FINE)] == ["▅", "   590", " "]
    assert [text for text, _ in heat_cell(samples["vol-1"], rising, FINE)] == ["▃", "   2.1", "▴"]
    assert [text for text, _ in heat_cell(samples["vol-2"], cooling, PLAIN)] == [".", "   0.4", "v"]
    assert heat_cell(None, busy, FINE) == ((FINE.no, "quiet"),)
    old = msgspec.structs.replace(samples["vol-3"], as_of=NOW)
    assert {tone for _, tone in heat_cell(old, busy, FINE)} == {"quiet"}


def test_last_use_is_an_age_and_never_guessed() -> None:
    samples = heat_samples().heat
    said = [last_access(samples[each], NOW) for each in ("vol-3", "vol-2", "vol-4", "vol-6")]
    assert said == ["now", "9h", "40d", "never"]
    assert last_access(None, NOW) == ""
    assert heat_words(HeatSample(), NOW).endswith("last one never seen")
    assert "640 operations/s over a day, 590 over a week; last one just now" in heat_words(samples["vol-3"], NOW)
    assert volume("x", 1).pinned is False


async def test_details_of_a_volume_show_its_heat_over_time() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "build-cache")
        await pilot.press("enter")
        await until(pilot, lambda: "1,204,311 reads, 310,442 writes, 15.9 KiB each" in text(app))
        shown = text(app)
        for words in ("30 days", "by hour", "up to 1,", "4% of the time like", "980 over a week"):
            assert words in shown, words


async def test_details_open_without_a_history_too() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("enter")
        await until(pilot, lambda: "last one never seen" in text(app))


async def test_cost_and_savings_are_shown_where_prices_are_declared() -> None:
    priced = msgspec.structs.replace(advice(), cost_month=41.5, saves_month=3.25)
    app = console(wire(**{"GET /api/storage/advice": lambda _: ok(priced)}), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach_advice(pilot, app)
        await until(pilot, lambda: "41.50 a month, 3.25 less by all moves" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: "a month" not in line_text(app, "status"))


@pytest.mark.parametrize("role", ["kernel", "initrd", "backing file"])
async def test_kernel_of_a_vm_has_no_heat_of_its_own(role: str) -> None:
    """QEMU reads it when the guest starts, and no disk counts that."""
    known = [msgspec.structs.replace(each, role=role) if each.id == "vol-1" else each for each in volumes()]
    app = console(wire(), storage(volumes=known))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await until(pilot, lambda: any(entry.heat for entry in screen.volumes.rows))
        assert {entry.id for entry in screen.volumes.rows if entry.heat is None} == {"vol-1", "vol-7"}
        await pilot.press("/", *"heat<100")
        await until(pilot, lambda: len(screen.volumes.rows) < 6)
        assert "vol-1" not in {entry.id for entry in screen.volumes.rows}
