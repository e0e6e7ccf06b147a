"""Two people share a server: an invitation is taken up, a VM handed over, a role taken away in mid-session."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD, administrator
from tests.support.processes import serve
from tests.support.seats import look, seat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
BOBS = "seven calm rivers bend south"


@pytest.fixture
def url(data_dir: Path) -> Iterator[str]:
    with serve(data_dir) as (url, _):
        asyncio.run(administrator(url, data_dir))
        yield url


def test_invited_colleague_works_until_the_role_is_taken_away(url: str, tmp_path: Path) -> None:
    ann, bob = seat(url, tmp_path, "ann"), seat(url, tmp_path, "bob")
    ann.run("login", "--server", url, "--user", "ann", typed=PASSWORD + "\n")
    with ann.console() as anns:
        anns.see(r"test +.*running")
        look(anns)
        anns.press("6")
        anns.see(r"ann +administrator +active")
        anns.press("c")
        anns.see("Invite a person")
        anns.type("bob@example.org")
        anns.press("tab", "down", "down", "enter")  # operator stands below viewer
        anns.press("ctrl+s")
        anns.see("Invitation to default as operator")
        code = re.search(r"(?:[0-9A-Z]{5}-){4}[0-9A-Z]{5}", anns.text())
        assert code is not None, anns.text()
        anns.press("esc")
        anns.see(r"bob@example.org +operator +invited")

        bob.run("join", "--server", url, "--user", "bob", typed=f"{code[0]}\n{BOBS}\n")
        bob.run("login", "--server", url, "--user", "bob", typed=BOBS + "\n")
        ann.run("vm", "adopt", "test", "--tenant", "default", "--to", "bob")
        with bob.console() as bobs:
            bobs.see(r"test +.*running")
            look(bobs)
            bobs.press("p")
            bobs.see(r"test +.*paused")

            anns.see(r"bob +operator +active")
            anns.press("/")
            anns.type("bob")
            anns.press("enter", "e")
            anns.see("Change bob")
            anns.press("down", "up", "enter", "ctrl+s")  # viewer stands above operator
            anns.see("bob: now viewer of default")

            bobs.see("you are viewer now")
            bobs.press("p")
            bobs.see(r"your role \(viewer\) lacks the permission vm:change")
        vm = json.loads(bob.run("vm", "show", "test", "-o", "json"))
        assert (vm["owner"], vm["state"]) == ("bob", "paused")
