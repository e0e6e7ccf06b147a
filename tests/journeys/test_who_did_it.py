"""By key presses on a real server: who stopped a VM, from where; a handover; a quota that is hit; and the former user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD, administrator
from tests.support.processes import serve
from tests.support.seats import Seat, command, look, seat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
EVES = "seven calm rivers bend south"


@pytest.fixture
def ann(data_dir: Path, tmp_path: Path) -> Iterator[Seat]:
    """The administrator, signed in."""
    with serve(data_dir) as (url, _):
        asyncio.run(administrator(url, data_dir))
        made = seat(url, tmp_path, "ann")
        made.run("login", "--server", url, "--user", "ann", typed=PASSWORD + "\n")
        yield made


def colleague(ann: Seat, name: str, role: str = "operator") -> Seat:
    """Another person with an account, signed in."""
    ann.run("user", "create", name, "--role", role, typed=EVES + "\n")
    made = seat(ann.url, ann.home.parent, name)
    made.run("login", "--server", ann.url, "--user", name, typed=EVES + "\n")
    return made


def test_who_stopped_it_and_from_where_is_answered_by_the_audit_screen(ann: Seat) -> None:
    eve = colleague(ann, "eve")
    ann.run("vm", "adopt", "test", "--tenant", "default", "--to", "ann")
    with eve.console() as eves:
        eves.see(r"test +.*running")
        look(eves)
        eves.press("x")
        eves.see(r"test +.*stopped")
        command(eves, "audit")
        eves.see(r"your role \(operator\) lacks the permission audit:read")
    with ann.console() as anns:
        anns.see(r"test +.*stopped")
        look(anns)
        command(anns, "audit")
        anns.see(r"CLOCK")
        anns.press("/")
        anns.type("user:eve action:vm.stop target:test")
        anns.see(r"1 of 1\b")
        anns.press("enter")
        anns.see(r"eve \(operator\) from 127\.0\.0\.1: vm\.stop test, accepted, \d\d:\d\d:\d\d")
        anns.press("enter")
        anns.see(r"who +eve")
        anns.see(r"role +operator")
        anns.see(r"from +127\.0\.0\.1")
        anns.see(r"when +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
        anns.see(r"previous hash")
        anns.press("esc", "V")
        anns.see(r"The audit log is whole")
        anns.see(r"default +\d+ entries, whole")
        anns.see(r"signed head \d+")


def test_vm_is_handed_over_and_what_a_deleted_account_owned_says_so(ann: Seat) -> None:
    eve, bob = colleague(ann, "eve"), colleague(ann, "bob")
    with ann.console() as anns:
        anns.see(r"test +.*running")
        look(anns)
        command(anns, "adopt")
        anns.see(r"Adopt test")
        anns.react()
        anns.press("ctrl+s")
        anns.see(r"(?i)adopted.*test|test.*adopted")
        command(anns, "hand-over")
        anns.see(r"Hand over test")
        anns.react()
        anns.type("ev")
        anns.press("right", "ctrl+s")
        anns.see(r"(?i)handed over.*test|test.*handed over")
        assert json.loads(eve.run("vm", "show", "test", "-o", "json"))["owner"] == "eve"
        anns.press("6")
        anns.see(r"eve +operator +active")
        anns.press("/")
        anns.type("name:eve")
        anns.press("enter", "D")
        anns.see(r"eve owns 1 VM")
        anns.react()
        anns.press("y")
        anns.see(r"Hand over everything of eve")
        anns.react()
        anns.type("bob")
        anns.press("ctrl+s")
        anns.see(r"Handing over 1 VM of eve|1 handed over")
    assert json.loads(bob.run("vm", "show", "test", "-o", "json"))["owner"] == "bob"
    ann.run("user", "delete", "bob", "--yes")
    assert json.loads(ann.run("vm", "show", "test", "-o", "json"))["owner"] == "former user bob"
    with ann.console() as anns:
        anns.see(r"test +.*running")
        look(anns)
        anns.press("enter")
        anns.see(r"owner +former user bob")


def test_quota_is_hit_with_its_sentence_in_the_create_form_and_shown_as_a_bar(ann: Seat, tmp_path: Path) -> None:
    disk = tmp_path / "tiny.raw"
    disk.write_bytes(bytes(1 << 20))
    ann.run("image", "upload", str(disk), "--name", "tiny")
    eve = colleague(ann, "eve")
    ann.run("tenant", "edit", "default", "--max-vms", "1")
    eve.run("vm", "create", "--name", "first", "--image", "tiny", "--no-start")
    with eve.console() as eves:
        eves.see(r"first +.*stopped")
        look(eves)
        eves.press("c")
        eves.see(r"image size \(1 GiB\)")
        eves.react()
        eves.type("second")
        eves.press("ctrl+s")
        eves.see(r"the tenant default uses 1 of its quota of 1 VMs")
        eves.see(r"second")
        eves.press("esc")
        eves.see(r"Discard your changes\?")
        eves.react()
        eves.press("y")
        eves.press("6")
        eves.see(r"VMs +.*1 of 1")
        ann.run("tenant", "edit", "default", "--max-vms", "2")
        eves.see(r"VMs +.*1 of 2")
