"""A pool of the wanted name that is not the one of this server is neither used nor changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest

from novacron_core.errors import Conflict
from novacron_server.hypervisor import PoolSpec
from novacron_server.hypervisor.storage.volumes import ensure_pool


@pytest.fixture
def connection() -> Iterator[libvirt.virConnect]:
    opened = libvirt.open("test:///default")
    yield opened
    opened.close()


@pytest.mark.parametrize("active", [True, False])
def test_pool_of_a_data_directory_that_was_moved_is_told_with_the_way_out(
    connection: libvirt.virConnect, tmp_path: Path, active: bool
) -> None:
    old = PoolSpec(uuid=str(uuid4()), name=f"moved-{active}", path=f"{tmp_path}/old/pools/hot")
    new = PoolSpec(uuid=old.uuid.upper(), name=old.name, path=f"{tmp_path}/new/pools/hot/")
    assert ensure_pool(connection, old).path == old.path
    pool = connection.storagePoolLookupByName(old.name)
    if not active:
        pool.destroy()
    before = pool.XMLDesc(0)
    with pytest.raises(Conflict) as refused:
        ensure_pool(connection, new)
    assert refused.value.detail == (
        f"the storage pool {old.name} is in {old.path}, and not in {new.path}: the server's data directory was moved or"
        f" copied. Move it back. If {old.path} is not used any more, remove the pool with virsh pool-destroy {old.name}"
        f" and virsh pool-undefine {old.name}; its volumes are kept"
    )
    assert (pool.XMLDesc(0), bool(pool.isActive())) == (before, active)
    same = PoolSpec(uuid=new.uuid, name=old.name, path=f"{old.path}/")
    assert ensure_pool(connection, same).active


def test_pool_of_another_is_told_as_such(connection: libvirt.virConnect, tmp_path: Path) -> None:
    theirs = PoolSpec(uuid=str(uuid4()), name="theirs", path=f"{tmp_path}/a")
    ensure_pool(connection, theirs)
    with pytest.raises(Conflict, match=r"^another storage pool named theirs already exists on the host$"):
        ensure_pool(connection, PoolSpec(uuid=str(uuid4()), name="theirs", path=theirs.path))
