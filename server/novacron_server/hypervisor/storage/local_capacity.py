"""What this machine's file systems say about pools: newer than libvirt's numbers, which only a pool refresh updates."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from novacron_core.values.tiers import FILE_POOLS
from novacron_server.file_calls import FILE_CALLS, DoesNotRespond, FileCalls
from novacron_server.hypervisor.facts import PoolFacts


def with_local_capacity(pool: PoolFacts, calls: FileCalls = FILE_CALLS) -> PoolFacts:
    """The pool with its disk and current free space. Blocks up to the limit of file calls.

    Unchanged if its directory does not respond, or if this machine sees another file system at that path than libvirt
    does (a mount namespace).
    """
    if pool.type not in FILE_POOLS or not pool.active:
        return pool
    try:
        device, disk = calls.run(pool.path, lambda: (Path(pool.path).stat().st_dev, os.statvfs(pool.path)))
    except (OSError, DoesNotRespond):
        return pool
    capacity, available = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if capacity != pool.capacity_bytes:
        return pool
    return msgspec.structs.replace(pool, device=device, available_bytes=available, allocated_bytes=capacity - available)


def with_directory(pool: PoolFacts, calls: FileCalls = FILE_CALLS, *, local: bool) -> PoolFacts:
    """The pool with its directory: without links, and with the problem that it is missing or does not respond, if this
    machine is the host. Blocks up to the limit of file calls."""
    if pool.type not in FILE_POOLS or not pool.path:
        return pool
    if not local:
        return msgspec.structs.replace(pool, directory=os.path.normpath(pool.path))
    try:
        directory, missing = calls.run(pool.path, lambda: _look_at(pool.path))
    except DoesNotRespond:
        why = f"its directory {pool.path} does not respond: is its file server down?"
        return msgspec.structs.replace(pool, directory=os.path.normpath(pool.path), problem=why, responds=False)
    problem = f"its directory {pool.path} is missing: is its disk mounted?" if missing and not pool.active else ""
    return msgspec.structs.replace(pool, directory=directory, problem=problem)


def _look_at(path: str) -> tuple[str, bool]:
    """The directory without links, and whether it is missing."""
    with suppress(OSError):
        os.statvfs(path)  # what is known of it may be cached: only its file system tells that it responds
    return os.path.realpath(path), not os.path.lexists(path)
