"""Pool capacity from this machine's file systems: newer than libvirt's, which is updated only by a pool refresh."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from novacron_core.values.tiers import FILE_POOLS
from novacron_server.hypervisor.facts import PoolFacts


def with_local_capacity(pool: PoolFacts) -> PoolFacts:
    """The pool with its disk and current free space. Blocks, forever on a network file system that hangs.

    Unchanged if this machine sees another file system at that path than libvirt does (a mount namespace).
    """
    if pool.type not in FILE_POOLS or not pool.active:
        return pool
    try:
        device, disk = Path(pool.path).stat().st_dev, os.statvfs(pool.path)
    except OSError:
        return pool
    capacity, available = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    if capacity != pool.capacity_bytes:
        return pool
    return msgspec.structs.replace(pool, device=device, available_bytes=available, allocated_bytes=capacity - available)


def with_directory(pool: PoolFacts, *, local: bool) -> PoolFacts:
    """The pool with its directory: without links, and with the problem that it is missing, if this machine is the host."""
    if pool.type not in FILE_POOLS or not pool.path:
        return pool
    directory = os.path.realpath(pool.path) if local else os.path.normpath(pool.path)
    missing = local and not pool.active and not os.path.lexists(pool.path)
    problem = f"its directory {pool.path} is missing: is its disk mounted?" if missing else ""
    return msgspec.structs.replace(pool, directory=directory, problem=problem)
