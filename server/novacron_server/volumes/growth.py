"""Whether the format of a volume lets it grow."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from novacron_core import errors
from novacron_core.values.image_files import why_not_grow
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost

_HEADER_BYTES = 512


async def check_growth(host: LibvirtHost, name: str, facts: VolumeFacts) -> None:
    """Refuse a volume that QEMU would refuse to resize. Raises Conflict.

    Only a file that this server can read is checked; elsewhere QEMU refuses it, and nothing is lost.
    """
    if facts.format != "qcow2" or not await host.storage.sees(facts):
        return
    try:
        head = await host.storage.examine(facts.path, partial(_read_header, Path(facts.path)))
    except errors.Conflict:
        return  # the change itself will say what is wrong with the file
    if why := why_not_grow(head):
        raise errors.Conflict(
            f"{name} {why}: shut its VM down, run `qemu-img amend -o compat=1.1 {Path(facts.path).name}` in the pool's"
            " directory on the host, and try again"
        )


def _read_header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)
