"""Builds the parts of serial consoles."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_server.console_logs.marks import BootMarks
from novacron_server.console_logs.service import ConsoleLogs
from novacron_server.consoles.service import Consoles
from novacron_server.consoles.socket import ConsoleSocket
from novacron_server.http.websocket.gateway import WebSocketGateway
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.runner import Operations
from novacron_server.runtime.auditing import Auditing


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """The parts of serial consoles: what is typed and printed now, and what was printed before."""

    live: Consoles
    socket: ConsoleSocket
    logs: ConsoleLogs
    boot_marks: BootMarks


def build_consoles(
    gateway: WebSocketGateway, inventory: Inventory, operations: Operations, audit: Auditing
) -> ConsoleParts:
    live, marks = Consoles(inventory), BootMarks(inventory)
    logs = ConsoleLogs(inventory, operations, marks)
    return ConsoleParts(live, ConsoleSocket(gateway, live, audit.refusals), logs, marks)
