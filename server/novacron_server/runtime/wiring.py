"""The only place that knows all the parts of a server: builds them, wires them, starts and ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from novacron_core import __version__
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.rules.visibility import SHARED
from novacron_server.access.service import Access
from novacron_server.database import repository as database_repository
from novacron_server.database.migrate import migrate
from novacron_server.database.server_lock import ServerLock
from novacron_server.database.transactions import Connection, Database, Kind
from novacron_server.hosts import repository as hosts_repository
from novacron_server.images.service import Images
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import HostRow
from novacron_server.metrics.pipeline import MetricsPipeline
from novacron_server.metrics.tier_rates import rates_on
from novacron_server.operations import repository as operations_repository
from novacron_server.operations.recovery import Recovery
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.operations.runner import Operations
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.reader import OutboxReader
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append, last_seq
from novacron_server.pools import repository as tiers_repository
from novacron_server.pools.managed import ManagedPools
from novacron_server.pools.service import Pools
from novacron_server.pools.upkeep import ManagedPoolUpkeep
from novacron_server.runtime.retention import run_retention
from novacron_server.runtime.settings import Settings
from novacron_server.stream.hub import Hub
from novacron_server.stream.outage import DatabaseOutage
from novacron_server.stream.samples import SampleStreamer
from novacron_server.stream.socket import Stream
from novacron_server.vms import repository as vms_repository
from novacron_server.vms.reconciler import Reconciler
from novacron_server.vms.service import VMs
from novacron_server.volumes import repository as volumes_repository
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.move_service import MoveService
from novacron_server.volumes.service import Volumes

_RECENT_OPERATIONS = 200


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running server is made of."""

    settings: Settings
    database: Database
    group_commit: GroupCommit
    access: Access
    inventory: Inventory
    operations: Operations
    reader: OutboxReader
    hub: Hub
    images: Images
    vms: VMs
    volumes: Volumes
    pools: Pools
    moves: MoveService
    upkeep: ManagedPoolUpkeep
    leftovers: LeftoverCopies
    stream: Stream
    reconciler: Reconciler
    metrics: MetricsPipeline


@asynccontextmanager
async def open_parts(
    settings: Settings, owner_url: str, app_url: str, *, embedded: bool, hypervisors: list[str]
) -> AsyncIterator[Parts]:
    """Everything but the network: database, inventory, runner and stream, in the order they need each other.

    Raises DatabaseUnavailable, Conflict when another server works with the database, InvalidArgument for a libvirt
    URI that is not allowed.
    """
    async with AsyncExitStack() as stack:
        database = await _open_database(stack, settings, owner_url, app_url, embedded=embedded)
        parts = await _build(settings, database, hypervisors)
        stack.push_async_callback(parts.group_commit.close)
        stack.push_async_callback(parts.reader.close)
        stack.push_async_callback(parts.inventory.close)
        stack.push_async_callback(parts.upkeep.close)
        stack.push_async_callback(parts.leftovers.close)
        stack.push_async_callback(parts.operations.close)
        await _load(parts)
        parts.reader.start()
        await parts.access.start()
        stack.push_async_callback(parts.access.close)
        opening = asyncio.create_task(parts.inventory.open(), name="opening hosts")
        settler = Recovery(parts.operations, parts.inventory)
        settler.start()
        stack.push_async_callback(settler.stop)
        comparing = asyncio.create_task(parts.reconciler.run(), name="reconciler")
        forgetting = asyncio.create_task(run_retention(parts.database), name="housekeeping")
        collecting = asyncio.create_task(parts.metrics.run(), name="collector")
        stack.push_async_callback(_cancel, opening, comparing, forgetting, collecting)
        if database.server_lock is not None:
            keeping = asyncio.create_task(_keep(database.server_lock, parts, settler), name="keeping the seat")
            stack.push_async_callback(_cancel, keeping)
        yield parts


async def _open_database(
    stack: AsyncExitStack, settings: Settings, owner_url: str, app_url: str, *, embedded: bool
) -> Database:
    """Ours alone (an embedded one is that by its directory) before its tables are touched."""
    kind: Kind = "embedded" if embedded else "external"
    database = Database(app_url, kind=kind, budget_s=settings.database_budget_s)
    stack.push_async_callback(database.close)
    server_lock = None if embedded else await database.take_server_lock()
    if server_lock is not None:
        stack.push_async_callback(server_lock.close)
    await migrate(owner_url, app_url)
    if server_lock is not None:
        await server_lock.mark()
    return database


async def _keep(server_lock: ServerLock, parts: Parts, settler: Recovery) -> None:
    """While another server has the database, nothing is changed here; afterwards, what that one left is settled."""

    async def stop() -> None:
        await settler.stop()
        await parts.operations.halt()

    async def go_on() -> None:
        await retry_while_database_down("going on", parts.leftovers.load)
        parts.operations.resume()
        settler.start()

    await server_lock.keep(stop, go_on)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _build(settings: Settings, database: Database, hypervisors: list[str]) -> Parts:
    async def first(connection: Connection) -> tuple[UUID, list[HostRow], int]:
        instance = await database_repository.instance(connection)
        hosts = [await hosts_repository.get_or_create(connection, uri) for uri in hypervisors]
        # A number of its own: whoever comes back with an older one gets everything anew, for things may have
        # changed while no server looked.
        await append(connection, [_started()])
        return instance, hosts, await last_seq(connection)

    instance, hosts, seq = await database.run(first)
    bell: list[OutboxReader] = []

    def wake() -> None:
        for reader in bell:
            reader.wake()

    group_commit = GroupCommit(database, wake)
    managed_pools = ManagedPools(instance, settings.data_dir)
    inventory = Inventory(group_commit, hosts, virtualization=settings.virtualization, own_tier=managed_pools.own_tier)
    hub = Hub(inventory.state)
    reader = OutboxReader(database, seq, hub.fold, on_health=DatabaseOutage(hub, inventory.publisher).health)
    inventory.publisher.on_unlogged = hub.publish_unlogged
    bell.append(reader)
    operations = Operations(database, group_commit, inventory.state.operations)
    images = Images(settings.data_dir / "images")
    access = Access(database, settings.data_dir, wake, open_registration=settings.open_registration)
    access.on_session_end.append(hub.end_session)
    leftovers = LeftoverCopies(database, inventory)
    volumes = Volumes(database, group_commit, inventory, operations, leftovers)
    pools = Pools(inventory, operations)
    moves = MoveService(database, group_commit, inventory, operations, leftovers)
    upkeep = ManagedPoolUpkeep(inventory, managed_pools)
    vms = VMs(database, group_commit, inventory, operations, images, managed_pools)
    reconciler = Reconciler(database, group_commit, inventory, managed_pools)
    origins = frozenset(settings.origins)
    metrics = MetricsPipeline(
        database,
        inventory,
        samples_kept=timedelta(hours=settings.samples_kept_hours),
        minutes_kept=timedelta(days=settings.minutes_kept_days),
    )
    inventory.state.storage.rates_of = rates_on(metrics.latest)
    samples = SampleStreamer(metrics.latest, inventory.state)
    stream = Stream(hub, inventory, access.authenticate, access.take_ticket, samples, origins=origins)
    return Parts(
        settings=settings,
        database=database,
        group_commit=group_commit,
        access=access,
        inventory=inventory,
        operations=operations,
        reader=reader,
        hub=hub,
        images=images,
        vms=vms,
        volumes=volumes,
        pools=pools,
        moves=moves,
        upkeep=upkeep,
        leftovers=leftovers,
        stream=stream,
        reconciler=reconciler,
        metrics=metrics,
    )


def _started() -> EventDraft:
    target = Target(type="system", id="server", name=__version__)
    return EventDraft(type="system.started", source="server", target=target, tenant=SHARED, priority=Priority.NORMAL)


async def _load(parts: Parts) -> None:
    """The rows as they stand at the number from which events will be read."""

    async def rows(connection: Connection) -> None:
        left = await operations_repository.unended(connection)
        for stored in left:
            parts.inventory.state.storage.copies.note(stored.operation.id, stored.host_id or "", stored.steps)
        unended = [stored.operation for stored in left]
        recent = await operations_repository.recent(connection, _RECENT_OPERATIONS)
        parts.inventory.state.load(
            await vms_repository.all_rows(connection),
            await volumes_repository.all_rows(connection),
            {operation.id: operation for operation in [*recent, *unended]}.values(),
            parts.reader.last_seq,
            await tiers_repository.all_rows(connection),
        )

    await parts.database.run(rows, read_only=True)
    await parts.leftovers.load()
    parts.hub.begin()
