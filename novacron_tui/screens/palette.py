"""The palette's way to a VM: a part of its name is typed, and the cursor of the list goes there."""

from __future__ import annotations

from functools import partial

from textual.command import Hit, Hits, Provider
from textual.content import Content

from novacron_tui.connection.store import key_of
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.navigation import Go
from novacron_tui.terminal.safe_text import one_line

SHOWN = 20
"""More VMs than this with one part of a name, and typing on finds it sooner than reading."""


class GoToVM(Provider):
    """Looks for the text itself, not letter by letter: ten thousand names are gone through at every key."""

    async def search(self, query: str) -> Hits:
        board = self.screen
        wanted = query.strip().removeprefix("go to").strip().casefold()
        if not isinstance(board, BaseScreen) or not wanted:
            return
        found = [vm for vm in board.session.store.vms.values() if wanted in vm.name.casefold()]
        found.sort(key=lambda vm: (len(vm.name), vm.name))
        for vm in found[:SHOWN]:
            host = one_line(board.session.store.host_name(vm.host))
            go = partial(self.app.post_message, Go("vms", key_of(vm)))
            score = 1.0 if vm.name.casefold() == wanted else len(wanted) / (len(vm.name) + 1)
            yield Hit(score, Content(f"go to {one_line(vm.name)}"), go, help=f"{vm.state} on {host}")
