"""Palette provider for VMs: part of a name is typed, and the cursor of the list goes to the VM."""

from __future__ import annotations

from functools import partial

from textual.command import Hit, Hits, Provider
from textual.content import Content

from novacron_tui.connection.store import key_of
from novacron_tui.screens.base import BaseScreen
from novacron_tui.screens.navigation import Go
from novacron_tui.terminal.safe_text import one_line

MAX_HITS = 20
"""Maximum number of hits: typing more letters is faster than reading a longer list."""


class GoToVM(Provider):
    """Matches substrings, not fuzzily: ten thousand names are searched at every key."""

    async def search(self, query: str) -> Hits:
        screen = self.screen
        wanted = query.strip().removeprefix("go to").strip().casefold()
        if not isinstance(screen, BaseScreen) or not wanted:
            return
        found = [vm for vm in screen.session.store.vms.values() if wanted in vm.name.casefold()]
        found.sort(key=lambda vm: (len(vm.name), vm.name))
        for vm in found[:MAX_HITS]:
            host = one_line(screen.session.store.host_name(vm.host))
            go = partial(self.app.post_message, Go("vms", key_of(vm)))
            score = 1.0 if vm.name.casefold() == wanted else len(wanted) / (len(vm.name) + 1)
            yield Hit(score, Content(f"go to {one_line(vm.name)}"), go, help=f"{vm.state} on {host}")
