"""After sign-in one line says what happened since this user was last here; the time is kept in a private file."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest

from novacron_core.api.base import Page
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.client import Connected
from novacron_tui.connection.since_left import since_left
from novacron_tui.servers.last_here import LastHere
from novacron_tui.servers.saved_session import SavedSessionFile
from novacron_tui.servers.server_ref import ServerRef
from tests.support.console.looking import line_text, loaded, text, until
from tests.support.console.wire import Stream, Wire, console, ok
from tests.support.console.world import ADMIN, NOW, Clock, fleet, inventory, live

NINE_HOURS = timedelta(hours=9)


def kept(folder: Path, server: str = "http://127.0.0.1:8090") -> SavedSessionFile:
    return SavedSessionFile("prod", server, folder)


def counting(counts: dict[str, int]) -> Callable[[EventQuery], Page[StoredEvent]]:
    """Answers with a total by the beginning of what is asked."""

    def page(query: EventQuery) -> Page[StoredEvent]:
        total = next((count for q, count in counts.items() if query.q.startswith(q)), 0)
        return Page(items=[], total=total, page=1, page_size=1)

    return page


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"is:notable": 9, "type:vm.crashed": 1, "type:operation.failed": 2, "type:operation.succeeded": 3},
         ("since you left 9 h ago: 1 crash, 2 failed, 3 created  (7 shows them)", "bad")),
        ({"is:notable": 9, "type:vm.crashed": 2, "type:host.down": 1},
         ("since you left 9 h ago: 2 crashes, 1 host lost  (7 shows them)", "bad")),
        ({"is:notable": 1}, ("since you left 9 h ago: 1 event  (7 shows them)", "plain")),
        ({}, ("nothing happened since you left 9 h ago", "plain")),
    ],
)  # fmt: skip
async def test_line(counts: dict[str, int], said: tuple[str, str]) -> None:
    answer = counting(counts)

    async def read(query: EventQuery) -> Page[StoredEvent]:
        assert query.from_ == NOW - NINE_HOURS
        return answer(query)

    assert await since_left(read, NOW - NINE_HOURS, NOW) == said
    assert await since_left(read, NOW - timedelta(minutes=4), NOW) is None, "who was away briefly has seen it"


def test_file_keeps_one_time_for_each_user_and_is_private(tmp_path: Path) -> None:
    file = LastHere(kept(tmp_path / "sessions"))
    assert file.read("u1") is None
    file.write("u1", NOW)
    file.write("u2", NOW - NINE_HOURS)
    again = LastHere(kept(tmp_path / "sessions"))
    assert (again.read("u1"), again.read("u2"), again.read("u3")) == (NOW, NOW - NINE_HOURS, None)
    assert LastHere(kept(tmp_path / "sessions", "http://other:8090")).read("u1") is None
    [path] = (tmp_path / "sessions" / "last-here").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept(tmp_path / "sessions").read() is None, "it is no saved session"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"server": 3}', b"\xff" * 50, b"[" * 5000, b'{"server":"s","users":{"u1":"now"}}']
)
def test_a_damaged_file_is_as_if_there_were_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last-here" / "prod.json"
    path.parent.mkdir()
    path.write_bytes(content)
    file = LastHere(kept(tmp_path))
    assert file.read("u1") is None
    file.write("u1", NOW)
    assert file.read("u1") == NOW


def test_a_folder_that_cannot_be_written_costs_only_the_line(tmp_path: Path) -> None:
    (tmp_path / "last-here").write_text("a file in its place")
    file = LastHere(kept(tmp_path))
    file.write("u1", NOW)
    assert file.read("u1") is None


async def test_two_consoles_one_after_the_other(tmp_path: Path) -> None:
    wire, clock = Wire(), Clock()
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["from"]) if "from" in request.url.params else None
        total = 1 if request.url.params["q"].startswith(("type:vm.crashed", "is:notable")) else 0
        return ok(Page(items=[], total=total, page=1, page_size=1))

    wire.routes["GET /api/events"] = answer
    place = ServerRef("http://127.0.0.1:8090", "prod", kept=kept(tmp_path))
    first = console(wire, Stream(live(), inventory(fleet())), place=place, now=clock)
    async with first.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: loaded(first))
        await until(pilot, lambda: LastHere(kept(tmp_path)).read(ADMIN.id) == NOW)
        assert not asked, "the first time nothing is said"
        clock.pass_s(600)
    assert LastHere(kept(tmp_path)).read(ADMIN.id) == NOW + timedelta(seconds=600), "written at leaving"
    clock.pass_s(NINE_HOURS.total_seconds())
    later = msgspec.structs.replace(live().hello, server_time=clock())
    second = console(wire, Stream(Connected(later), inventory(fleet())), place=place, now=clock)
    async with second.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: loaded(second))
        await until(pilot, lambda: "since you left 9 h ago: 1 crash" in line_text(second, "status"))
        await pilot.press("7")
        await until(pilot, lambda: "CLOCK" in text(second))
        assert second.session is not None
        assert second.session.last_here == NOW + timedelta(seconds=600)
    assert asked
    assert {datetime.fromisoformat(moment) for moment in asked} == {NOW + timedelta(seconds=600)}
