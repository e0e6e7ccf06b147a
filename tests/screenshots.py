"""`make screenshots`: the pictures of the README, from a journey by key presses on a real server and real guests."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import libvirt
from textual import constants
from textual.pilot import Pilot

from novacron_core.api import vms
from novacron_core.api.operations import OperationState
from novacron_core.client import Client, Credentials
from novacron_tui.app import Console
from novacron_tui.servers.server_ref import ServerRef
from tests.support.accounts import PASSWORD
from tests.support.busy_guest import write_busy_image
from tests.support.consoles import SHELL
from tests.support.libvirt_hosts import QEMU, remove_domains, remove_pools
from tests.support.processes import serve_process
from tests.support.writing_guest import add_image

OUT = Path(__file__).parents[1] / "screenshots"
SIZE = (124, 34)

FLEET = {"web-01": {"role": "web"}, "web-02": {"role": "web"}, "db-01": {"role": "db"}, "cache-01": {"role": "cache"}}
WORKS = "worker-01"
"""The guest that computes and writes all the time."""
WATCHED_S = 90.0
"""How long it is watched, so that the curves have something to show."""


KEY_NAMES = {" ": "space", "-": "minus", "|": "vertical_line", "=": "equals_sign", "/": "slash"}


async def main() -> None:
    OUT.mkdir(exist_ok=True)
    constants.COLOR_SYSTEM = "truecolor"  # type: ignore[misc]  # whatever the terminal that runs this has
    with tempfile.TemporaryDirectory(prefix="novacron-pictures-", dir="/var/tmp") as name:
        data_dir = Path(name)
        data_dir.chmod(0o711)
        try:
            with serve_process(data_dir, "--hypervisor", QEMU) as url:
                await journey(url, data_dir)
        finally:
            clear(data_dir)


async def journey(url: str, data_dir: Path) -> None:
    place = ServerRef(url=url, setup_token=lambda: (data_dir / "setup-token").read_text().strip())
    async with opened(place) as pilot:
        await until(pilot, "first administrator")
        await type_into(pilot, PASSWORD, "enter", PASSWORD)
        picture(pilot, "first-run")
        await pilot.press("enter", "enter")
        await until(pilot, "no VMs yet")
        picture(pilot, "empty")
        write_busy_image(data_dir / "images", "busy")
        add_image(data_dir / "images", "shell", SHELL)
        await fleet(url)
        await until(pilot, "cache-01")
        await pilot.pause(WATCHED_S)
        await pilot.press("g", "down")
        picture(pilot, "vms")
        await pilot.press("c")
        await until(pilot, "Create a VM")
        await type_into(pilot, "web-03")
        picture(pilot, "create")
        await pilot.press("ctrl+s")
        await until(pilot, "web-03")
        picture(pilot, "creating")
        await until(pilot, "created in")
        await pilot.press("enter")
        await until(pilot, "of 1 vCPU")
        picture(pilot, "vm")
        await pilot.press("escape")
        await until(pilot, "NAME")
        await shell(pilot, url)
        await storage(pilot)
        await metrics(pilot)
        await pilot.press("X")
        await until(pilot, "powers off immediately")
        picture(pilot, "power-off")
        await pilot.press("escape", "question_mark")
        await until(pilot, "Keys on this screen")
        picture(pilot, "help")
    async with opened(place) as pilot:
        await until(pilot, "Sign in")
        await type_into(pilot, "admin", "enter", "not the right password", "enter")
        await until(pilot, "Wrong user name")
        picture(pilot, "sign-in")


async def shell(pilot: Pilot[None], url: str) -> None:
    """A guest with a shell, typed into."""
    async with Client(url, Credentials()) as client:
        await client.sign_in("admin", PASSWORD)
        body = vms.VMCreate(name="tiny", image="shell", memory_bytes=192 << 20)
        await ended(client, (await client.call(vms.CREATE, body=body)).id)
    await until(pilot, "tiny")
    await pilot.press("slash", *"tiny", "enter")
    await pilot.press("full_stop")
    await until(pilot, "TYPING")
    while "tiny#" not in screen_text(pilot):
        await pilot.press("enter")
        await pilot.pause(1.0)
    for line in ("clear", "uname -a", "ls --color=always /", "free -m", "ps | head -n 7"):
        await pilot.press(*(KEY_NAMES.get(char, char) for char in line), "enter")
        await pilot.pause(1.5)
    picture(pilot, "console")
    await pilot.press("f12")
    await pilot.pause(1.0)
    await pilot.press("escape", "escape")
    await until(pilot, "NAME")


async def storage(pilot: Pilot[None]) -> None:
    """The disk of the guest that works is on its way to another tier."""
    await pilot.press("4")
    await until(pilot, "provisioned")
    await pilot.press("slash", *"qcow2", "enter", "end")
    await until(pilot, WORKS)
    while WORKS not in pilot.app.screen.query_one("#volumes").row.volume.name:  # type: ignore[attr-defined]
        await pilot.press("up")
    await pilot.press("m", "tab", *"64K", "ctrl+s")
    await until(pilot, "% moving")
    await pilot.pause(3.0)
    picture(pilot, "storage")
    await pilot.press("C")
    await until(pilot, "cancelled")
    await pilot.press("escape", "escape")
    await until(pilot, "MEM USED")


async def metrics(pilot: Pilot[None]) -> None:
    await pilot.press("5")
    await until(pilot, "Top by CPU")
    await until(pilot, WORKS)
    await pilot.press("end")
    await pilot.pause(6.0)
    picture(pilot, "metrics")
    await pilot.press("escape")
    await until(pilot, "MEM USED")


@asynccontextmanager
async def opened(place: ServerRef) -> AsyncIterator[Pilot[None]]:
    async def open_server() -> ServerRef:
        return place

    app = Console(open_server)
    async with app.run_test(size=SIZE) as pilot:
        yield pilot


async def fleet(url: str) -> None:
    """Five small guests: two run, one works hard, one is paused, one is off."""
    async with Client(url, Credentials()) as client:
        await client.sign_in("admin", PASSWORD)
        for name, tags in FLEET.items():
            start = name != "cache-01"
            body = vms.VMCreate(name=name, image="alpine", memory_bytes=192 << 20, tags=tags, start=start)
            await ended(client, (await client.call(vms.CREATE, body=body)).id)
        works = vms.VMCreate(name=WORKS, image="busy", memory_bytes=192 << 20, tags={"role": "build"})
        await ended(client, (await client.call(vms.CREATE, body=works)).id)
        page = await client.call(vms.LIST)
        database = next(vm for vm in page.items if vm.name == "db-01")
        await ended(client, (await client.call(vms.PAUSE, vm_id=database.id)).id)


async def ended(client: Client, operation_id: str) -> None:
    from novacron_core.api import operations

    while not (now := await client.call(operations.GET, operation_id=operation_id)).state.ended:
        await asyncio.sleep(0.1)
    if now.state is not OperationState.SUCCEEDED:
        raise RuntimeError(f"{now.kind}: {now.problem}")


async def type_into(pilot: Pilot[None], *words: str) -> None:
    for word in words:
        await pilot.press(*([word] if word == "enter" else ["space" if c == " " else c for c in word]))


async def until(pilot: Pilot[None], text: str, timeout_s: float = 60.0) -> None:
    """Wait until the text is on the screen."""
    deadline = time.monotonic() + timeout_s
    while text not in screen_text(pilot):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{text!r} did not come to the screen:\n{screen_text(pilot)}")
        await pilot.pause(0.1)
    await pilot.pause(0.3)


def screen_text(pilot: Pilot[None]) -> str:
    width, height = pilot.app.size
    strips = pilot.app.screen._compositor.render_strips(pilot.app.size)
    return "\n".join(strip.text.ljust(width) for strip in strips[:height])


def picture(pilot: Pilot[None], name: str) -> None:
    (OUT / f"{name}.svg").write_text(pilot.app.export_screenshot(title="NovaCron"))
    print(f"screenshots/{name}.svg")


def clear(data_dir: Path) -> None:
    """Take the guests and the pool of this journey away."""
    connection = libvirt.open(QEMU)
    remove_domains(connection, data_dir)
    remove_pools(connection, data_dir)
    connection.close()


if __name__ == "__main__":
    asyncio.run(main())
