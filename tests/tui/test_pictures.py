"""Every screen and state as a picture. A change here is seen by eye before it is accepted (`--snapshot-update`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from novacron_core.api import tenants
from novacron_core.api.base import Page
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import BulkCounts, BulkItem, BulkItemState
from novacron_core.api.vms import Disk
from novacron_core.client import Disconnected
from novacron_core.errors import ServerUnreachable
from novacron_tui.app import Console
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.vms.bulk import worst_first
from tests.support.console.audit_world import audit_wire
from tests.support.console.console_log_world import LOG_ROUTES, LOGGED, NOT_LOGGED, NOTHING_NEW, logged
from tests.support.console.crashes import CRASH, away
from tests.support.console.looking import text, until
from tests.support.console.past import last_night
from tests.support.console.pictures import SMALL, Picture, busy, cut, home, says
from tests.support.console.vm_page_world import page_wire, page_world
from tests.support.console.wire import Stream, Wire, console, ok
from tests.support.console.world import (
    HOST_ID,
    NOW,
    OTHER_HOST_ID,
    TWINS,
    Clock,
    bulk,
    fleet,
    host,
    inventory,
    live,
    operation,
    vm,
)

TOKEN = "kZ3p-one-time-token"


def simulated() -> Stream:
    hosts = [host(name="test", simulated=True), host(id=OTHER_HOST_ID, name="kvm-b", status=HostStatus.DOWN)]
    return Stream(live(), inventory(fleet(), hosts))


def hostile() -> Stream:
    names = [
        "[/]",
        "[red]x[/red]",
        "a" * 300,
        "日本語の名前がとても長い",
        "line\nbreak\ttab",
        "\u202eexe.cod",
        "\x1b[31mred",
    ]
    return Stream(live(), inventory([vm(name, n, tags={"note": name}) for n, name in enumerate(names)]))


def form(app: Console) -> bool:
    return bool(app.screen.query("EntryForm Input")) and app.screen.focused is not None


def at_production() -> Console:
    return console(Wire(), simulated(), place=ServerRef("https://kvm.example:8090", "prod-eu", True))


def many_at_production() -> Console:
    vms = [vm(f"dns-{number:03d}", number, host=(HOST_ID, OTHER_HOST_ID)[number % 3 == 0]) for number in range(134)]
    place = ServerRef("https://kvm.example:8090", "prod-eu", True)
    return console(Wire(), Stream(live(), inventory(vms, TWINS)), place=place)


def first_run() -> Console:
    place = ServerRef("http://127.0.0.1:8090", setup_token=lambda: TOKEN)
    return console(Wire(setup_required=True), token="", place=place)


def unreachable() -> Console:
    app = console(Wire(), token="")

    async def open_server() -> ServerRef:
        raise ServerUnreachable("the server did not start: port 8090 is taken by another program")

    app._open_server = open_server
    return app


def quiet_line() -> Console:
    clock = Clock()
    app = console(Wire(), busy(), now=clock)
    app.test_clock = clock  # type: ignore[attr-defined]
    return app


def aged(app: Console) -> bool:
    """The clock goes on once the list is there, and nothing more is heard."""
    if home(app):
        app.test_clock.time = NOW + timedelta(seconds=42)  # type: ignore[attr-defined]
    return says("STALE")(app)


def on_activity(app: Console) -> bool:
    return type(app.screen).__name__ == "ActivityScreen" and bool(app.screen.query_one("#activity").row)  # type: ignore[attr-defined]


def vm_page() -> Console:
    return console(page_wire(), page_world())


def settled(app: Console) -> bool:
    return home(app) and app.session is not None and app.session.store.seq == 12


def painted(words: str) -> Callable[[Console], bool]:
    return lambda app: words in text(app)


def many_at_once() -> Console:
    """A restart of nine VMs: some have ended, one of them badly, some run and some are queued."""
    why = {
        BulkItemState.FAILED: "the guest did not restart within 180 s: reset it",
        BulkItemState.REFUSED: "cache is paused: cannot be restarted in this state",
    }
    states = [*[BulkItemState.SUCCEEDED] * 2, BulkItemState.FAILED, BulkItemState.REFUSED, *[BulkItemState.RUNNING] * 3]
    states += [BulkItemState.QUEUED] * 2
    begun = (BulkItemState.QUEUED, BulkItemState.REFUSED)
    items = [
        BulkItem(
            position=n,
            vm_id=v.id,
            name=v.name,
            host=v.host,
            state=state,
            reason=why.get(state, ""),
            started_at=None if state in begun else NOW - timedelta(seconds=11 + n),
            finished_at=NOW - timedelta(seconds=2) if state.ended else None,
        )
        for n, (v, state) in enumerate(zip(fleet(), states, strict=True))
    ]
    counts = BulkCounts(succeeded=2, failed=1, refused=1, running=3, queued=2)
    step = "2 restarted, 3 running, 2 queued, 1 failed, 1 refused"
    op = bulk("vm.restart", 9, counts=counts, progress=4 / 9, step=step)
    children = [
        operation("vm.restart", v, parent=op.id)
        for v, state in zip(fleet(), states, strict=True)
        if state is BulkItemState.RUNNING
    ]
    stream = Stream(live(), inventory(fleet(), operations=[op, *children]))
    return console(Wire(items={op.id: worst_first(items)}), stream)


def crashed() -> Console:
    return console(Wire(routes={f"GET /api/vm/vms/{fleet()[5].id}/crash": lambda _: ok(CRASH)}), busy())


def audited() -> Console:
    return console(audit_wire(), busy())


def owned() -> Console:
    """A VM with two disks, and one that NovaCron does not manage."""
    vms = sorted(fleet(), key=lambda vm: vm.name)
    disks = [Disk(target="vda", source="hot/cache-1a2b.qcow2"), Disk(target="vdb", source="cold/cache-data.qcow2")]
    vms[2] = msgspec.structs.replace(vms[2], owner="eve", tenant="default", disks=disks)
    vms[3] = msgspec.structs.replace(vms[3], owner=None, tenant=None, unmanaged=True, disks=disks[:1])
    known = [tenants.Tenant(id=name, name=name, created_at=NOW, members=2) for name in ("default", "red")]
    page = Page(items=known, total=2, page=1, page_size=1000)
    nobody: Page[Any] = Page(items=[], total=0, page=1, page_size=1000)
    routes = {"GET /api/admin/tenants": lambda _: ok(page), "GET /api/admin/users": lambda _: ok(nobody)}
    return console(Wire(routes=routes), Stream(live(), inventory(vms)))


def back_in_the_morning() -> Console:
    return console(Wire(events=last_night()), busy())


def in_the_morning(app: Console) -> bool:
    """The operator was last here the evening before."""
    if app.session is None or not says("2 operations")(app):
        return False
    app.session.last_here = NOW - timedelta(hours=18, minutes=20)
    return True


PICTURES = [
    Picture("sign-in", lambda: console(Wire(), token=""), form),
    Picture("first-run", first_run, form, [*"three"]),
    Picture("unreachable", unreachable, says("port 8090")),
    Picture("list", lambda: console(Wire(), busy()), says("2 operations")),
    Picture("list-empty", lambda: console(Wire(), Stream(live(), inventory([])))),
    Picture("list-loading", lambda: console(Wire(), Stream(live())), says("LOADING")),
    Picture("list-stale", quiet_line, aged, sizes=(SMALL,)),
    Picture("list-offline", lambda: console(Wire(), cut()), says("OFFLINE"), ["s"], says("disabled")),
    Picture(
        "list-never-reached",
        lambda: console(Wire(), Stream(Disconnected("connection refused", 3.0))),
        says("OFFLINE"),
        sizes=(SMALL,),
    ),
    Picture("list-simulated", at_production, says("SIMULATED")),
    Picture("list-hostile", lambda: console(Wire(), hostile())),
    Picture("list-unknown", lambda: console(Wire(), away()), says("1 down")),
    Picture("list-refused", lambda: console(Wire()), keys=["x"], then=says("already stopped"), sizes=(SMALL,)),
    Picture("list-marked", lambda: console(Wire()), keys=["space", "space", "j", "space"], sizes=(SMALL,)),
    Picture("activity", lambda: console(Wire(), busy()), says("2 operations"), ["7"], on_activity),
    Picture("timeline", back_in_the_morning, in_the_morning, ["7"], painted("dns-*")),
    Picture("bulk-result", many_at_once, says("restart requested for 9"), ["b"], painted("the guest did not restart")),
    Picture("list-bulk", many_at_once, says("restart requested for 9"), sizes=(SMALL,)),
    Picture("activity-bulk", many_at_once, says("restart requested for 9"), ["7"], painted("9 VMs"), sizes=(SMALL,)),
    Picture("list-filtered", lambda: console(Wire(), busy()), keys=["slash", *"state:running we"], then=says("2 of 9")),
    Picture(
        "filter-wrong", lambda: console(Wire()), keys=["slash", *"web x:"], then=says("unknown field"), sizes=(SMALL,)
    ),
    Picture("list-mono", lambda: console(Wire(), busy(), theme="mono"), says("2 operations")),
    Picture("list-light", lambda: console(Wire(), busy(), theme="light"), says("2 operations"), sizes=(SMALL,)),
    Picture("list-contrast", lambda: console(Wire(), busy(), theme="contrast"), says("2 operations"), sizes=(SMALL,)),
    Picture(
        "list-colour-blind", lambda: console(Wire(), busy(), theme="colour-blind"), says("2 operations"), sizes=(SMALL,)
    ),
    Picture("list-ascii", lambda: console(Wire(), busy(), ascii=True), says("2 operations"), sizes=(SMALL,)),
    Picture("too-small", lambda: console(Wire()), sizes=((50, 12),)),
    Picture("help", lambda: console(Wire()), keys=["question_mark"], then=painted("Open the page of the VM.")),
    Picture("power-off", lambda: console(Wire()), keys=["j", "j", "X"], then=says("powers off immediately")),
    Picture("delete", lambda: console(Wire()), keys=["D", "space"], then=says("to confirm")),
    Picture("shut-down-many", many_at_production, keys=["asterisk", "x"], then=says("to confirm")),
    Picture("create", lambda: console(Wire()), keys=["c"], then=says("Empty = image size")),
    *(
        Picture(f"page-{tab}", vm_page, settled, [*"jjjjjj", "enter", ":", *tab, "enter"], painted(word))
        for tab, word in {
            "charts": "CPU  35%",
            "disks": "debian-13.iso",
            "networks": "fe80::1",
            "events": "restart failed",
        }.items()
    ),
    Picture(
        "page-live",
        lambda: console(Wire(), busy()),
        says("2 operations"),
        [*"jj", "enter"],
        lambda app: (type(app.screen).__name__ == "VMPageScreen" and says("of 2 vCPU")(app)) or says("of 8 vCPU")(app),
    ),
    Picture(
        "page",
        lambda: console(Wire(routes=LOG_ROUTES), busy()),
        says("2 operations"),
        [*"jjjj", "enter"],
        says("end Kernel panic"),
    ),
    Picture(
        "console-log",
        lambda: logged(LOGGED, NOTHING_NEW),
        keys=[":", *"log", "enter"],
        then=says("last boot: 1"),
    ),
    Picture("console-log-none", lambda: logged(NOT_LOGGED), keys=[":", *"log", "enter"], then=says("is not logged")),
    Picture("page-unknown", lambda: console(Wire(), away()), says("1 down"), [*"jj", "enter"], says("last seen")),
    Picture("audit", audited, keys=[":", *"audit", "enter"], then=painted("vm.stop")),
    Picture(
        "audit-entry",
        audited,
        keys=[
            ":",
            *"audit",
            "enter",
            "slash",
            *"user:eve action:vm.stop",
            "enter",
            painted("1 of 1 "),
            "enter",
        ],
        then=painted("previous hash"),
    ),
    Picture(
        "audit-verified",
        audited,
        keys=[":", *"audit", "enter", "V"],
        then=painted("The audit log is whole"),
        sizes=(SMALL,),
    ),
    Picture("hand-over", owned, keys=["j", "j", ":", *"hand-over", "enter"], then=painted("with it:")),
    Picture("adopt", owned, keys=[*"jjj", ":", *"adopt", "enter"], then=painted("Adopt"), sizes=(SMALL,)),
    Picture(
        "release", owned, keys=["j", "j", ":", *"release", "enter"], then=painted("belong to nobody"), sizes=(SMALL,)
    ),
    Picture("crash", crashed, says("2 operations"), [*"jjjj", "enter", "enter"], says("reason=crashed")),
]
CASES = [(picture, size) for picture in PICTURES for size in picture.sizes]


@pytest.mark.parametrize(("picture", "size"), CASES, ids=[f"{p.name}-{w}x{h}" for p, (w, h) in CASES])
def test_picture(picture: Picture, size: tuple[int, int], snap_compare: Any) -> None:
    async def reach(pilot: Any) -> None:
        app = pilot.app
        await until(pilot, lambda: picture.ready(app), picture.name)
        await picture.press(pilot)
        await until(pilot, lambda: "loading older events" not in text(app), picture.name)
        await pilot.pause()

    assert snap_compare(picture.app(), run_before=reach, terminal_size=size)
