"""Bad days and what lies over the list, as pictures: a database or a host away, two hosts of one name, commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from novacron_core.api.events import Heartbeat
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import State
from tests.support.console.looking import until
from tests.support.console.pictures import LARGE, SMALL, Picture, busy, cut, home, says
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, OTHER_HOST_ID, TWINS, fleet, host, inventory, live, vm


def without_database() -> Stream:
    stream = busy()
    stream.say(Heartbeat(seq=10, server_time=NOW, database_away_since=NOW - timedelta(seconds=95)))
    return stream


def a_host_is_down() -> Stream:
    """Its VMs are unknown, not stopped; another host's go on."""
    hosts = [host(), host(id=OTHER_HOST_ID, name="kvm-b", status=HostStatus.DOWN)]
    seen = NOW - timedelta(seconds=40)
    lost = [
        vm(f"batch-{n:02}", 20 + n, State.UNKNOWN, last_state=State.RUNNING, host=OTHER_HOST_ID, seen_at=seen)
        for n in range(3)
    ]
    return Stream(live(), inventory([*fleet(), *lost], hosts))


def twins() -> Stream:
    return Stream(live(), inventory([*fleet(), vm("web-01", 31, host=OTHER_HOST_ID)], TWINS))


PICTURES = [
    Picture("database-away", lambda: console(Wire(), without_database()), says("changes are disabled"), ["s"]),
    Picture("host-down", lambda: console(Wire(), a_host_is_down()), says("1 host up"), [*"j"]),
    Picture("hosts-of-one-name", lambda: console(Wire(), twins()), home, sizes=(SMALL,)),
    Picture("command-line", lambda: console(Wire(), busy()), home, ["colon", *"st"]),
    Picture(
        "command-unknown", lambda: console(Wire()), home, ["colon", *"stat", "enter"], says("Unknown command"), (SMALL,)
    ),
    Picture("offline-mono", lambda: console(Wire(), cut(), theme="mono"), says("OFFLINE"), sizes=(SMALL,)),
    Picture(
        "power-off-mono",
        lambda: console(Wire(), theme="mono"),
        home,
        [*"jjX"],
        says("powers off immediately"),
        (SMALL,),
    ),
    Picture(
        "marked-mono", lambda: console(Wire(), theme="mono"), home, ["space", "space", "j", "space"], None, (SMALL,)
    ),
]
CASES = [(picture, size) for picture in PICTURES for size in picture.sizes]


@pytest.mark.parametrize(("picture", "size"), CASES, ids=[f"{p.name}-{w}x{h}" for p, (w, h) in CASES])
def test_picture(picture: Picture, size: tuple[int, int], snap_compare: Any) -> None:
    async def reach(pilot: Any) -> None:
        await until(pilot, lambda: home(pilot.app) and picture.ready(pilot.app), picture.name)
        await picture.press(pilot)
        await pilot.pause()

    assert snap_compare(picture.app(), run_before=reach, terminal_size=size)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x45"])
def test_palette(size: tuple[int, int], snap_compare: Any) -> None:
    async def reach(pilot: Any) -> None:
        await until(pilot, lambda: home(pilot.app))
        await pilot.press("ctrl+p")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "CommandPalette")
        await pilot.press(*"web")
        options = pilot.app.screen.query_one("CommandList")
        await until(pilot, lambda: options.option_count == 2)
        await pilot.pause()
        pilot.app.screen.query_one("CommandInput").cursor_blink = False

    assert snap_compare(console(Wire(), busy()), run_before=reach, terminal_size=size)
