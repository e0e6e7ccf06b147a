"""Storage by key presses: what a key sends, what it asks before, and what it says when it does nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from novacron_core.api.events import Event, SampleRequest
from novacron_core.api.operations import Target
from novacron_core.api.vms import State
from novacron_core.api.volumes import Volume
from novacron_core.client import Disconnected
from novacron_core.values.sizes import GIB, TIB
from novacron_tui.pools import tier_bars
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.terminal.glyphs import FINE
from novacron_tui.volumes.detail import of_volume
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.widgets.form import Form
from tests.support.console.looking import line_text, react, text, until
from tests.support.console.storage_looking import SIZE, here, names, reach
from tests.support.console.storage_world import storage, stored, tier, volume, volumes, wire
from tests.support.console.wire import Stream, console
from tests.support.console.world import NOW, VIEWER, Clock, fleet, live


async def test_tiers_stand_side_by_side_with_what_is_free_promised_and_done() -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: "r 12.5M/s  w 800K/s" in text(app))
        shown = text(app)
        for words in ("HOT", "WARM", "COLD", "624 GiB free of 1 TiB", "39%", "95%", "shares disk: warm"):
            assert words in shown
        assert "200 GiB provisioned" in shown


def test_what_is_odd_about_a_volume_stands_in_its_details() -> None:
    odd = volume("scratch", 6, note="its backing file /srv/base.qcow2 is missing: without it, it cannot be read")
    shown = str(of_volume(VolumeEntry(odd, None, None), FINE, str, NOW))
    assert "its backing file /srv/base.qcow2 is missing" in shown
    assert "note" not in str(of_volume(VolumeEntry(volume("scratch", 6), None, None), FINE, str, NOW))


def test_nothing_that_the_tiers_say_is_cut_at_120_columns() -> None:
    names = ("hot", "warm", "cold")
    full = {
        name: tier(name, 900 * GIB, 4 * TIB, shares_disk_with=[other for other in names if other != name])
        for name in names
    }
    drawn = "\n".join("".join(piece.text for piece in line) for line in tier_bars.lines(full, 116, FINE))
    assert "60 GiB used, 200 GiB provisioned" in drawn
    assert "…" not in drawn


def test_tier_whose_volumes_are_promised_more_than_it_holds_is_marked() -> None:
    tiers = {name: tier(name, 900 * GIB, 4 * TIB) for name in ("hot", "warm", "cold")}
    tiers["warm"] = tier("warm", 900 * GIB, 4 * TIB, provisioned_bytes=5 * TIB)
    pieces = [piece for line in tier_bars.lines(tiers, 116, FINE) for piece in line if "provisioned" in piece.text]
    assert [(piece.text.split(", ")[1], piece.tone) for piece in pieces] == [
        ("200 GiB provisioned", "quiet"),
        ("5 TiB provisioned", "warn"),
        ("200 GiB provisioned", "quiet"),
    ]


async def test_a_volume_that_is_not_ours_is_not_called_free() -> None:
    long = volume("somebody-elses-volume-with-a-long-name.qcow2", 1, None, unmanaged=True)
    app = console(wire(), Stream(live(), stored(volumes=[long])))
    async with app.run_test(size=(80, 24)) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: "unmanaged" in text(app))
        assert "free " not in text(app).split("NAME")[1]


async def test_rates_come_with_the_samples_and_go_when_those_are_old() -> None:
    clock = Clock()
    app = console(wire(), storage(), now=clock)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        await until(pilot, lambda: "r 12.5M/s" in text(app).split("NAME")[0])
        assert app.session is not None
        assert app.session.wanted == SampleRequest(targets=[], interval_s=5.0, tiers=True, heat=True)
        clock.pass_s(31)
        here(app).refresh_body()
        await until(pilot, lambda: "/s" not in text(app).split("NAME")[0], "no value rather than an old one")


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        ("db-01-data", "m", "db-01-data is busy: moving a disk (by ada)"),
        ("debian-13.iso", "D", "debian-13.iso is unmanaged"),
        ("web-01-1a2b3c4d.qcow2", "D", "is attached to web-01: detach it first"),
        ("web-01-1a2b3c4d.qcow2", "n", "web-01 is running: shut it down first"),
        ("scratch", "f", "scratch is not attached"),
        ("scratch", "C", "scratch has no running operation"),
        ("build-cache", "a", "build-cache is attached to build-runner-ubuntu-24-04: detach it first"),
    ],
)
async def test_a_refused_key_says_why(name: str, key: str, says: str) -> None:
    app = console(wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, name)
        await pilot.press(key)
        await until(pilot, lambda: says in line_text(app, "status"), line_text(app, "status"))
        assert isinstance(app.screen, StorageScreen)


async def test_a_viewer_and_a_lost_line_change_nothing() -> None:
    server = wire()
    server.user = VIEWER
    stream = storage()
    app = console(server, stream)
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("m")
        await until(pilot, lambda: "viewer" in line_text(app, "status"))
        await pilot.press("tab", "tab")
        await until(pilot, lambda: "VOLUMES" in text(app))
        assert "PATH" not in text(app), "where pools are on a host is for administrators"
        await pilot.press("tab", "tab")
        await until(pilot, lambda: here(app).pane is here(app).volume_pane)
        stream.say(Disconnected("the line was cut", 60.0))
        await until(pilot, lambda: "OFFLINE" in line_text(app, "top"))
        await react(pilot)
        await pilot.press("D")
        await until(pilot, lambda: "offline: changes are disabled" in line_text(app, "status"))
        assert len(names(here(app))) == 7


async def test_filter_sort_and_cursor_stay_while_data_moves() -> None:
    stream = storage()
    app = console(wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app)
        await pilot.press("/", *"tier:hot is:", "f")
        await until(pilot, lambda: not screen.volumes.rows or "hot" in screen.filter.text)
        await pilot.press("escape", "o", "o", "o", "o")
        await until(pilot, lambda: screen.volumes.sort_key == "size")
        assert names(screen)[0] == "build-cache", "numbers are sorted from the largest"
        await pilot.press("/", *"vm:web", "enter")
        await until(pilot, lambda: sorted(names(screen)) == ["web-01-1a2b3c4d.qcow2", "web-02-5e6f7a8b.qcow2"])
        await pilot.press("end")
        name = screen.volumes.row.volume.name if screen.volumes.row else ""
        grown = next(v for v in volumes() if v.name != name and v.name.startswith("web"))
        await _told(stream, msgspec.structs.replace(grown, size_bytes=500 * GIB))
        await until(pilot, lambda: "500 GiB" in text(app))
        assert screen.volumes.row is not None
        assert screen.volumes.row.volume.name == name


async def _told(stream: Stream, value: Volume) -> None:
    target = Target(type="volume", id=value.id, name=value.name)
    raw = msgspec.Raw(msgspec.json.encode(value))
    stream.say(Event(seq=11, id="e", type="volume.updated", source="x", target=target, time=NOW, value=raw))


async def test_an_empty_storage_names_the_next_step() -> None:
    app = console(wire(), Stream(live(), stored(volumes=[], vms=[])))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        assert "no volumes yet" in text(app)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Form))


async def test_hostile_names_stay_text() -> None:
    bad = [volume("[red]x[/red][/]", 1), volume("日本語\u202e\x1b[31m", 2)]
    app = console(wire(), Stream(live(), stored(volumes=bad)))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app)
        assert "[red]x[/red][/]" in text(app)
        assert "\x1b" not in text(app)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, StorageScreen))
        await pilot.press("escape", "m")
        await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=["80x24", "140x45"])
@pytest.mark.parametrize(
    "what",
    ["volumes", "advice", "follow", "pools", "decisions", "automatic", "move", "create", "volume", "empty", "upload"],
)
def test_pictures(snap_compare: Any, what: str, size: tuple[int, int]) -> None:
    keys = {
        "volumes": ["down", "down"], "pools": ["tab", "tab"], "advice": ["tab"], "follow": ["tab", "*", "m"], "move": ["end", "m"], "create": ["c"], "volume": ["home", "enter"],
        "empty": [], "upload": ["i"], "decisions": ["tab", "tab", "tab", "down"], "automatic": ["M"],
    }[what]  # fmt: skip
    stream = storage(volumes=[], vms=[]) if what == "empty" else storage()
    app = console(wire(), stream)

    async def before(pilot: Any) -> None:
        await reach(pilot, app)
        await until(pilot, lambda: app.session is not None and bool(app.session.store.samples._tiers))
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        if what == "volume":
            await until(pilot, lambda: "1,204,311 reads" in text(app))
        if what == "decisions":
            await until(pilot, lambda: "build-cache" in text(app))
        if what in ("follow", "move", "create", "volume", "upload", "automatic"):
            await until(pilot, lambda: not isinstance(app.screen, StorageScreen))

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_a_stopped_vms_disk_may_be_copied() -> None:
    """The rule that greys the key is the server's own."""
    from novacron_core.rules.volume_actions import VolumeAction, why_not_volume

    stopped = next(vm for vm in fleet() if vm.state is State.STOPPED)
    free = volume("x", 9, vm=stopped.id)
    assert why_not_volume(VolumeAction.CLONE, free, stopped, operation=None, vm_operation=None) is None
