"""What a guest prints in many small pieces is handed on in few, and the first one after a pause at once."""

from __future__ import annotations

import asyncio

import libvirt
import pytest

from novacron_server.hypervisor.vms import serial_console
from novacron_server.hypervisor.vms.serial_console import SerialConsole
from tests.support.waiting import until


class Guest:
    """Stands where libvirt's stream does: each piece comes with an event of its own."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.ended = ""
        self._pieces: list[bytes] = []
        self._console = SerialConsole(
            asyncio.get_running_loop(), "a VM", lambda data, _: self.got.append(data), self._end
        )

    def recv(self, _size: int) -> bytes | int:
        return self._pieces.pop(0) if self._pieces else -2

    def says(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._pieces.append(piece)
            self._console._event(self, libvirt.VIR_STREAM_EVENT_READABLE)

    def loses_its_host(self) -> None:
        self._console.end("lost")

    def _end(self, reason: str) -> None:
        self.ended = f"{reason} after {len(self.got)} pieces"


async def turns_of_the_loop() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_output_after_a_pause_does_not_wait_and_what_follows_is_gathered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serial_console, "GATHER_S", 3600.0)
    guest = Guest()
    guest.says(b"echo")
    await turns_of_the_loop()
    assert guest.got == [b"echo"]
    for number in range(100):
        guest.says(b"%d " % number)
        await turns_of_the_loop()
    assert guest.got == [b"echo"]
    guest.loses_its_host()
    assert guest.got[1:] == [b"".join(b"%d " % number for number in range(100))]
    assert guest.ended == "lost after 2 pieces"


async def test_gathered_output_is_handed_on_soon_and_whole() -> None:
    guest = Guest()
    pieces = [b"%d " % number for number in range(200)]
    for piece in pieces:
        guest.says(piece)
        await asyncio.sleep(0)

    async def all_handed_on() -> bool | None:
        return True if b"".join(guest.got) == b"".join(pieces) else None

    await until(all_handed_on)
