"""The console log of a VM, for tests of the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from novacron_core.api.console_logs import ConsoleLog
from novacron_tui.app import Console
from tests.support.console.wire import Stream, Wire, console, ok
from tests.support.console.world import NOW, fleet, inventory, live

WEB, MAIL = fleet()[0], fleet()[5]
BOOT = "".join(
    f"[    {n}.{n:06}] virtio_blk virtio{n}: [vd{chr(97 + n)}] 4194304 512-byte blocks\r\n" for n in range(9)
)
PANIC = (
    "\x1b[2J\x1b[1;1H[    0.000000] Linux version 6.1.0-37-cloud-amd64 (debian-kernel@lists.debian.org)\r\n"
    + BOOT
    + "\x1b[1;31m[FAILED]\x1b[0m Failed to mount /srv.\r\nfetching 10%\rfetching 100%\r\n\x1b]0;owned\x07"
    "[   42.424242] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\r\n"
    "[   42.424300] ---[ end Kernel panic - not syncing ]---\r\n"
)
LOGGED = ConsoleLog(
    text=PANIC, next="1-2-0123456789abcdef", begins_at_boot=True, size_bytes=len(PANIC), recorded=True,
    at=NOW - timedelta(minutes=3),
)  # fmt: skip
NOTHING_NEW = ConsoleLog(next=LOGGED.next, size_bytes=LOGGED.size_bytes, at=LOGGED.at, recorded=True)
NOT_LOGGED = ConsoleLog(note="the serial console of mail is not logged", may_set_up=True)


def route(vm_id: str) -> str:
    return f"GET /api/vm/vms/{vm_id}/console/log"


def logged(*answers: ConsoleLog | Any, wire: Wire | None = None) -> Console:
    """A console whose VM `mail`, which has crashed, is alone; its log is read with these answers, the last one for ever.
    What follows a cursor is empty unless it is one of them."""
    left = list(answers)

    def answer(_request: Any) -> Any:
        given = left.pop(0) if len(left) > 1 else left[0]
        return ok(given) if isinstance(given, ConsoleLog) else given

    made = wire or Wire()
    made.routes[route(MAIL.id)] = answer
    return console(made, Stream(live(), inventory([MAIL])))


LOG_ROUTES = {route(MAIL.id): lambda _: ok(LOGGED)}
