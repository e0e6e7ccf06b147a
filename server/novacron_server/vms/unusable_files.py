"""Says which disk of a VM has the file that QEMU could not open."""

from __future__ import annotations

from collections.abc import Iterator

from novacron_server.hypervisor.facts import DiskFacts, DomainFacts
from novacron_server.hypervisor.faults import UnusableFile
from novacron_server.inventory.storage_state import StorageState

_LONGEST_CHAIN = 64


def name_unusable_file(
    error: UnusableFile, facts: DomainFacts, storage: StorageState, host_id: str, *, paths: bool
) -> str:
    """The sentence that names the disk and its file, empty if the file is none of the VM's.

    A file in a pool is named by pool and file; others by their path if the readers may see it (`paths`).
    """
    named = [
        (position, what, path)
        for what, path in _files(facts, storage, host_id)
        if path and (position := error.message.find(f"'{path}'")) >= 0
    ]
    if not named:
        return ""
    _, what, path = min(named)  # libvirt names the file first, then the overlay whose backing file it is
    where = _place(path, storage, host_id, paths=paths)
    if error.missing:
        return f"{what} is missing ({where})"
    return f"QEMU has no permission to open {what} ({where}): give QEMU's user access to its directory"


def _files(facts: DomainFacts, storage: StorageState, host_id: str) -> Iterator[tuple[str, str]]:
    for disk in (*facts.disks, *facts.later_disks):
        word = _word(disk)
        yield word, disk.path
        for path in _backing_files(disk, storage, host_id):
            yield f"a backing file of {word}", path
    yield from (("the kernel", facts.kernel), ("the initrd", facts.initrd))


def _word(disk: DiskFacts) -> str:
    return f"{ {'cdrom': 'CD-ROM', 'floppy': 'floppy'}.get(disk.device, 'disk') } {disk.target}"


def _backing_files(disk: DiskFacts, storage: StorageState, host_id: str) -> Iterator[str]:
    """Those that libvirt named while the guest ran, and those in the headers of the volumes."""
    yield from disk.backing_file
    path = disk.path
    for _ in range(_LONGEST_CHAIN):
        path = storage.backing_file_of(host_id, path)
        if not path:
            return
        yield path


def _place(path: str, storage: StorageState, host_id: str, *, paths: bool) -> str:
    folder, _, name = path.rpartition("/")
    pool = next((pool.name for pool in storage.pools_on(host_id).values() if pool.path.rstrip("/") == folder), "")
    return f"{pool}/{name}" if pool else path if paths else name
