"""`novacron console` on a console that prints three lines and echoes what is typed: `python -m tests.support.console.raw_in_a_terminal`."""

from __future__ import annotations

import asyncio
from typing import Any

from novacron_tui.cli import raw_console
from tests.support.console.serial_consoles import ME, SerialEnd
from tests.support.console.world import fleet

PRINTED = b"\x1b]2;a title of the guest\x07one\r\ntwo\r\n# "


class _Echo(SerialEnd):
    follower = "me"

    def type(self, data: bytes) -> bool:
        self.output(data)
        return True


async def main() -> None:
    end = _Echo()
    end.hello(writer=ME)
    end.output(PRINTED)

    async def find(_client: Any, _name: str) -> Any:
        return fleet()[0]

    vars(raw_console).update(ConsoleClient=end, find_vm=find)
    await raw_console.run(None, "web-01", raw_console.ConsoleOptions())  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(main())
