"""A pool on a file system of its own, which only a private libvirtd sees."""

from __future__ import annotations

import subprocess

import pytest

from novacron_core.api import pools
from novacron_core.api.pools import Pool, PoolTier
from tests.support.storage import StorageServer, deactivate
from tests.support.waiting import until

_POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


async def mount_cold_pool(storage: StorageServer, name: str, size: str) -> Pool:
    """Make a tmpfs of this size the only active pool of the tier `cold`; the managed one is inactive from now on."""
    path = storage.server.data_dir / name
    path.mkdir(mode=0o711)
    # libvirtd has its own mount namespace, so mount it there too.
    if enter(storage, "mount", "-t", "tmpfs", "-o", f"size={size},mode=711", name, str(path), check=False):
        pytest.skip("no right to mount here")
    await deactivate(storage.libvirt.storagePoolLookupByName((await storage.three_pools())["cold"].name))
    storage.libvirt.storagePoolDefineXML(_POOL.format(name=name, path=path), 0).create(0)

    async def seen() -> Pool | None:
        return next((pool for pool in (await storage.admin.call(pools.LIST)).items if pool.name == name), None)

    pool = await until(seen)
    await storage.succeeded(await storage.admin.call(pools.SET_TIER, body=PoolTier(tier="cold"), pool_id=pool.id))
    return pool


def enter(storage: StorageServer, *command: str, check: bool = True) -> int:
    """Run a command where libvirtd is."""
    assert storage.daemon._process is not None
    inside = ["nsenter", "-m", "-t", str(storage.daemon._process.pid), *command]
    return subprocess.run(inside, check=check).returncode
