"""Home by key presses: what a key does, and what it says when it does nothing."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from novacron_core.api import images
from novacron_core.api.access import User
from novacron_core.api.operations import OperationState
from novacron_core.api.problem import Problem
from novacron_core.api.vms import State
from novacron_core.client import Disconnected
from novacron_core.values.roles import READ_ONLY, Role
from novacron_core.values.sizes import GIB
from novacron_tui.images.upload import UploadImage
from novacron_tui.screens.help import HelpScreen
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.vms import first_steps
from novacron_tui.vms.perform import outcome
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import SIZE, home, line_text, loaded, text, to, until
from tests.support.console.opening import opened
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import ADMIN, VIEWER, event, fleet, gone, inventory, live, operation, vm


async def test_start_is_sent_once_with_its_own_key_and_followed_to_its_end() -> None:
    wire, stream = Wire(), Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        await pilot.press("s")
        await until(pilot, lambda: "Starting staging…" in line_text(app, "status"))
        (call,) = wire.asked("POST", "/start")
        assert len(call.headers["Idempotency-Key"]) == 36
        op = operation("vm.start", fleet()[7])
        stream.say(event(11, op, "operation.started"))
        await until(pilot, lambda: "1 operation" in line_text(app, "top"))
        await pilot.press("s")
        await until(pilot, lambda: "busy: starting (by ada)" in line_text(app, "status"), "a second press is refused")
        ended = msgspec.structs.replace(op, state=OperationState.SUCCEEDED, finished_at=op.created_at)
        stream.say(event(12, ended, "operation.succeeded"))
        await until(pilot, lambda: "staging: started in 0 ms" in line_text(app, "status"))
        assert len(wire.asked("POST", "/start")) == 1


async def test_a_failed_operation_stays_readable_until_escape() -> None:
    wire, stream = Wire(), Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        await pilot.press("s")
        await until(pilot, lambda: "Starting staging…" in line_text(app, "status"))
        problem = Problem(
            title="internal", status=500, code="internal", detail="the disk image is locked by another guest"
        )
        failed = operation("vm.start", fleet()[7], state=OperationState.FAILED, problem=problem)
        stream.say(event(11, failed, "operation.failed"))
        await until(pilot, lambda: "start failed: the disk image is locked" in line_text(app, "status"))
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen")
        await until(pilot, lambda: "locked by another guest" in str(app.screen.query_one("#operations").render()))
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))
        assert "locked" in line_text(app, "status")
        await pilot.press("escape")
        assert "locked" not in line_text(app, "status")
        stream.say(event(12, fleet()[0], "vm.updated"))
        await until(pilot, lambda: app.session is not None and app.session.store.seq == 12)
        assert "locked" not in line_text(app, "status"), "an end is told once"


def test_what_was_cancelled_is_no_failure() -> None:
    problem = Problem(title="", status=409, code="conflict", detail="cancelled by ann")
    op = operation("volume.move", fleet()[0], state=OperationState.CANCELLED, problem=problem)
    assert outcome(op) == (f"{fleet()[0].name}: disk move cancelled: by ann", "warn")


@pytest.mark.parametrize(
    ("name", "key", "sentence"),
    [
        ("web-01", "s", "web-01 is already running"),
        ("staging", "x", "staging is already stopped"),
        ("web-01", "D", "web-01 is running: shut it down first"),
        ("cache", "x", "cache is paused: resume it first"),
        ("staging", "p", "staging is stopped: cannot be paused in this state"),
    ],
)
async def test_a_refused_key_answers(name: str, key: str, sentence: str) -> None:
    async with opened() as (pilot, app, wire):
        to(app, name)
        await pilot.press(key)
        await until(pilot, lambda: sentence in line_text(app, "status"), sentence)
        assert not [call for call in wire.calls if call.method != "GET"]


async def test_the_top_line_counts_a_vm_in_every_state() -> None:
    vms = [vm(f"vm-{state}", number, state) for number, state in enumerate(State, 1)]
    app = console(Wire(), Stream(live(), inventory(vms)))
    async with app.run_test(size=(260, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        for state in State:
            assert f"1 {state}" in line_text(app, "top")


async def test_a_viewer_is_told_what_is_missing() -> None:
    wire = Wire(user=VIEWER)
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        for key in ("x", "c"):
            await pilot.press(key)
            await until(pilot, lambda: "your role (viewer) lacks the permission" in line_text(app, "status"))
            await pilot.press("escape")


async def test_limited_token_is_told_what_is_missing() -> None:
    limited = msgspec.structs.replace(ADMIN, scope=sorted(READ_ONLY))
    app = console(Wire(user=limited), Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        for key in ("x", "c"):
            await pilot.press(key)
            await until(pilot, lambda: "this API token is limited: it lacks the permission" in line_text(app, "status"))
            await pilot.press("escape")


async def test_rights_that_are_taken_away_grey_the_keys() -> None:
    """The server closes the stream of a session, or API token, whose rights change."""
    wire, stream = Wire(), Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        for user, sentence in (
            (VIEWER, "your role (viewer) lacks the permission"),
            (msgspec.structs.replace(ADMIN, scope=sorted(READ_ONLY)), "this API token is limited"),
        ):
            wire.user = user
            stream.say(Disconnected("the access token has expired", 0.1))
            stream.say(live())
            stream.say(inventory(fleet()))
            await until(pilot, lambda: app.session is not None and app.session.user == user)
            await until(pilot, lambda: "LIVE" in line_text(app, "top"))
            await pilot.press("x")
            await until(pilot, lambda: sentence in line_text(app, "status"))
            await pilot.press("escape")
        assert f"({VIEWER.role})" not in line_text(app, "top")


async def test_offline_refuses_changes_keeps_the_picture_and_comes_back() -> None:
    wire, stream = Wire(), Stream(live(), inventory(fleet()))
    app = console(wire, stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        stream.say(Disconnected("the connection to the server was lost", 3.0))
        await until(pilot, lambda: "OFFLINE" in line_text(app, "top"))
        to(app, "staging")
        await pilot.press("s")
        await until(pilot, lambda: "offline: changes are disabled" in line_text(app, "status"))
        assert len(home(app).pane.table.rows) == len(fleet())
        stream.say(live())
        await until(pilot, lambda: "LIVE" in line_text(app, "top"))
        await pilot.press("s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 1)


async def test_a_servers_refusal_is_said_in_its_own_words() -> None:
    sentence = "web-01 is busy: shutting down (by bob)"
    path = f"POST /api/vm/vms/{fleet()[0].id}/pause"
    app = console(Wire(routes={path: lambda _: refuse(409, "conflict", sentence)}))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("p")
        await until(pilot, lambda: sentence in line_text(app, "status"))


async def test_a_second_press_while_the_answer_is_on_its_way_is_refused() -> None:
    wire = Wire(hold=asyncio.Event())
    app = console(wire)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "staging")
        await pilot.press("s")
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 1)
        await pilot.press("s")
        await until(pilot, lambda: "already has a request in progress" in line_text(app, "status"))
        assert wire.hold is not None
        wire.hold.set()
        await until(pilot, lambda: "Starting staging…" in line_text(app, "status"))
        assert len(wire.asked("POST", "/start")) == 1


async def test_marked_vms_are_acted_on_together_and_the_others_left_out() -> None:
    async with opened() as (pilot, app, wire):
        await pilot.press("asterisk", "s")
        await until(pilot, lambda: len(wire.asked("POST", "/bulk")) == 1)
        assert len(json.loads(wire.asked("POST", "/bulk")[0].content)["ids"]) == 4
        # Four are running already; one is paused.
        await until(pilot, lambda: "starting 9: 4 done, 4 queued, 1 refused" in line_text(app, "status"))


async def test_cursor_and_marks_stay_on_their_vm_while_data_moves() -> None:
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "mail")
        await pilot.press("space", "up")
        stream.say(event(11, vm("aaa-first", 40), "vm.created"), gone(12, fleet()[0]))
        await until(pilot, lambda: app.session is not None and app.session.store.seq == 12)
        table = home(app).pane.table
        await until(pilot, lambda: len(table.rows) == len(fleet()))
        assert table.row is not None
        assert table.row.name == "mail"
        assert [row.name for row in table.marked()] == ["mail"]


async def test_help_and_footer_come_from_the_same_rows() -> None:
    app = console(Wire())
    async with app.run_test(size=(300, 60)) as pilot:
        await until(pilot, lambda: loaded(app))
        footer = line_text(app, "keys") + line_text(app, "top")
        await pilot.press("question_mark")
        await until(pilot, lambda: type(app.screen).__name__ == "HelpScreen")
        screen = app.screen
        assert isinstance(screen, HelpScreen)
        shown = "\n".join(line.plain for line, _ in screen._entries)
        for action in VMListScreen.ACTIONS:
            assert action.help[:20] in shown
            shown_below = action.label in footer or not action.key or action.rare
            assert shown_below or action.name == "resume", "p pauses here"
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))


async def test_r_reads_everything_again() -> None:
    stream = Stream(live(), inventory(fleet()))
    app = console(Wire(), stream)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("r")
        await until(pilot, lambda: stream.opened == [None, None])
        stream.say(live(), inventory([vm("only", 1)], seq=50))
        await until(pilot, lambda: [row.name for row in home(app).pane.table.rows] == ["only"])


async def test_hostile_names_are_shown_and_nothing_crashes() -> None:
    names = [
        "[/]",
        "[red]x[/red]",
        "a" * 300,
        "日本語の名前" * 9,
        "[@click=app.quit]y[/]",
        "tab\there",
        "line\nbreak",
        "",
        "$accent",
    ]
    hostile = [
        vm(name, n, State.RUNNING, tags={name[:20] or "k": "[/]"}, description=name) for n, name in enumerate(names)
    ]
    app = console(Wire(), Stream(live(), inventory(hostile)))
    async with app.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        for _ in names:
            await pilot.press("enter")
            await until(pilot, lambda: type(app.screen).__name__ == "VMPageScreen")
            await pilot.press("escape")
            await until(pilot, lambda: loaded(app))
            await pilot.press("down")
        await pilot.press("asterisk", "X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert not app._exception


async def test_names_that_look_the_same_are_told_apart() -> None:
    """In two spellings of a letter, and with letters that no terminal may get."""
    names = ["café", "cafe\u0301", "naïve", "fi", "ﬁ", "👩\u200d👩", "👩\u200c👩", "in\u200bvisible"]
    vms = [vm(name, number, id=f"{number:08}-0000") for number, name in enumerate(names, 1)]
    stream = Stream(live(), inventory(vms))
    app = console(Wire(), stream)
    async with app.run_test(size=(200, 30)) as pilot:
        await until(pilot, lambda: loaded(app))
        lines = text(app)
        for shown in (r"(caf\u00e9)", r"(cafe\u0301)", r"(\ufb01)", "(id 00000006)", "(id 00000007)"):
            assert lines.count(shown) == 1
        assert lines.count("(") == 6, "five names, and the user's role"
        stream.say(gone(11, vms[1]))
        await until(pilot, lambda: r"(caf\u00e9)" not in text(app), "it looks like no other any more")


async def test_the_footer_can_be_clicked() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "staging")
        await pilot.pause()
        await pilot.click("#keys", offset=(line_text(app, "keys").index("s start"), 0))
        await until(pilot, lambda: len(wire.asked("POST", "/start")) == 1)


@pytest.mark.parametrize("user", [VIEWER, None])
async def test_empty_list_says_who_sees_unmanaged_vms(user: User | None) -> None:
    app = console(Wire(user=user) if user else Wire(), Stream(live(), inventory([])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "no VMs yet" in text(app))
        assert ("only administrators see VMs that NovaCron does not manage" in text(app)) is (user is not None)


READY = images.Image(name="alpine", format="qcow2", size_bytes=GIB, file_bytes=GIB)
BROKEN = images.Image(name="alpine", format="", size_bytes=0, file_bytes=0, problem="it is being prepared")
OPERATOR = User(id="u3", username="ola", email="", role=Role.OPERATOR, tenant="default")
CREATE, UPLOAD, DEMO = "create a VM from an image", "upload an image of your own", "novacron demo"


@pytest.mark.parametrize(
    ("wire", "installed", "taught"),
    [
        (Wire(images=[READY]), True, {CREATE, UPLOAD, DEMO, "alpine is ready"}),
        (Wire(images=[READY, READY]), True, {CREATE, UPLOAD, DEMO, "2 images are ready"}),
        (Wire(images=[READY]), False, {CREATE, UPLOAD, "alpine is ready"}),
        (Wire(images=[BROKEN]), True, {UPLOAD, DEMO}),
        (Wire(images=[], user=OPERATOR), True, {DEMO}),
        (Wire(images=[READY], user=VIEWER), True, {DEMO, "your role (viewer) cannot create VMs"}),
    ],
)
async def test_empty_list_teaches_what_can_be_done_now(
    wire: Wire, installed: bool, taught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_steps, "is_installed", lambda: installed)
    every = {CREATE, UPLOAD, DEMO, "alpine is ready", "2 images are ready", "your role (viewer) cannot create VMs"}
    app = console(wire, Stream(live(), inventory([])))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(wire.asked("GET", "/images")))
        await until(pilot, lambda: {words for words in every if words in text(app)} == taught, text(app))


async def test_image_can_be_uploaded_from_the_empty_list() -> None:
    app = console(Wire(), Stream(live(), inventory([])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: UPLOAD in text(app))
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, UploadImage))
