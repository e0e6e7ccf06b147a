"""Builds all parts of a server, connects them, and starts and stops them in order. Nothing else knows them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import msgspec

from novacron_core import __version__
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.visibility import SHARED
from novacron_core.values.sizes import GIB
from novacron_server.access.askers import Askers
from novacron_server.access.service import Access
from novacron_server.console_logs.set_up import SetUpConsole
from novacron_server.database import repository as database_repository
from novacron_server.database.guarded_clock import GuardedClock
from novacron_server.database.migrate import CONNECT_S, migrate
from novacron_server.database.preflight import Place, find_place
from novacron_server.database.server_lock import ServerLock
from novacron_server.database.transactions import Connection, Database, Kind
from novacron_server.demo.crashes import SimulatedCrashes
from novacron_server.events.service import Events
from novacron_server.hosts import repository as hosts_repository
from novacron_server.http.websocket.gateway import WebSocketGateway
from novacron_server.hypervisor.connection.uris import is_simulated
from novacron_server.images.demo_guest import DemoGuest
from novacron_server.images.service import Images
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.rows import HostRow
from novacron_server.inventory.signal import Signal
from novacron_server.inventory.state import InventoryState
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.pipeline import MetricsPipeline
from novacron_server.metrics.tier_rates import rates_on
from novacron_server.operations import repository as operations_repository
from novacron_server.operations.endings import Endings
from novacron_server.operations.procedures import Procedures
from novacron_server.operations.recovery import Recovery
from novacron_server.operations.repository import StoredOperation
from novacron_server.operations.retries import retry_until_done
from novacron_server.operations.runner import Operations
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.reader import OutboxReader
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append, last_seq
from novacron_server.pools import repository as tiers_repository
from novacron_server.pools.managed import ManagedPools
from novacron_server.pools.procedures.set_tier import SetTier
from novacron_server.pools.service import Pools
from novacron_server.pools.upkeep import ManagedPoolUpkeep
from novacron_server.runtime.access_services import AccessServices, build_access
from novacron_server.runtime.auditing import Auditing, build_auditing
from novacron_server.runtime.background import Background
from novacron_server.runtime.consoles import ConsoleParts, build_consoles
from novacron_server.runtime.retention import (
    audit_retention_job,
    audit_verification_job,
    heat_retention_job,
    retention_job,
)
from novacron_server.runtime.scheduler.scheduler import Scheduler
from novacron_server.runtime.settings import Settings
from novacron_server.stream.hub import Hub
from novacron_server.stream.outage import DatabaseOutage
from novacron_server.stream.samples import SampleStreamer
from novacron_server.stream.socket import Stream
from novacron_server.tasks import cancel_tasks
from novacron_server.tiering.advisor import Advisor
from novacron_server.tiering.automatic_moves.history import DecisionHistory
from novacron_server.tiering.automatic_moves.runner import AutomaticMoves
from novacron_server.tiering.book import HeatBook
from novacron_server.tiering.clock import HeatClock
from novacron_server.tiering.keeper import EVERY_S, HeatKeeper
from novacron_server.tiering.marks import TierMarks
from novacron_server.tiering.policies import Policies
from novacron_server.tiering.service import HeatService
from novacron_server.tiering.shown import ShownHeat
from novacron_server.vms import repository as vms_repository
from novacron_server.vms.boot_times import BootTimes
from novacron_server.vms.bulk.procedure import BulkVMs
from novacron_server.vms.bulk.service import Bulks
from novacron_server.vms.crashes import Crashes
from novacron_server.vms.creation_plan import Planner
from novacron_server.vms.last_facts import LastFacts
from novacron_server.vms.ownership.service import Ownership
from novacron_server.vms.procedures.acknowledge import AcknowledgeCrash
from novacron_server.vms.procedures.create import CreateVM
from novacron_server.vms.procedures.delete import DeleteVM
from novacron_server.vms.procedures.ownership import AdoptVM, HandOverVM, ReleaseVM
from novacron_server.vms.procedures.power import power_procedures
from novacron_server.vms.reconciler import Reconciler
from novacron_server.vms.scope import ScopeAdmission
from novacron_server.vms.service import VMs
from novacron_server.volumes import repository as volumes_repository
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.procedures.attach import AttachVolume
from novacron_server.volumes.procedures.create import CloneVolume, CreateVolume
from novacron_server.volumes.procedures.delete import DeleteVolume
from novacron_server.volumes.procedures.detach import DetachVolume
from novacron_server.volumes.procedures.hand_over import HandOverVolume
from novacron_server.volumes.procedures.move import MoveVolume
from novacron_server.volumes.procedures.resize import ResizeVolume
from novacron_server.volumes.service import Volumes

_RECENT_OPERATIONS = 200


@dataclass(frozen=True, slots=True)
class HeatParts:
    """The parts that know how hot volumes are."""

    book: HeatBook
    keeper: HeatKeeper
    service: HeatService
    advisor: Advisor
    policies: Policies
    automatic: AutomaticMoves
    decisions: DecisionHistory
    marks: TierMarks


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running server."""

    background: Background
    scheduler: Scheduler
    settings: Settings
    database: Database
    group_commit: GroupCommit
    access: Access
    access_services: AccessServices
    inventory: Inventory
    operations: Operations
    reader: OutboxReader
    hub: Hub
    images: Images
    vms: VMs
    bulks: Bulks
    ownership: Ownership
    volumes: Volumes
    pools: Pools
    upkeep: ManagedPoolUpkeep
    leftovers: LeftoverCopies
    stream: Stream
    consoles: ConsoleParts
    reconciler: Reconciler
    last_facts: LastFacts
    crashes: Crashes
    boot_times: BootTimes
    metrics: MetricsPipeline
    heat: HeatParts
    events: Events
    audit: Auditing


@asynccontextmanager
async def open_parts(
    settings: Settings, owner_url: str, app_url: str, *, embedded: bool, hypervisors: list[str]
) -> AsyncIterator[Parts]:
    """Build and start everything but the network, in the order of dependencies; stop it at the end.

    Raises DatabaseUnavailable, Conflict when another server uses the database, InvalidArgument for a libvirt URI that
    is not allowed.
    """
    background = Background()
    try:
        database = await _open_database(background, settings, owner_url, app_url, embedded=embedded)
        parts = await _build(background, settings, database, hypervisors)
        await _start(parts)
        yield parts
    finally:
        await background.stop()


async def _start(parts: Parts) -> None:
    """Start the background tasks. They are stopped in reverse order."""
    background = parts.background
    background.on_stop(parts.group_commit.close)
    await _load(parts)
    for name, run in parts.reader.tasks():
        background.add(name, run)
    background.on_stop(parts.inventory.close)
    background.on_stop(parts.consoles.live.close)
    for name, run in parts.inventory.tasks():
        background.add(name, run)
    background.on_stop(parts.images.close)
    background.on_stop(parts.upkeep.close)
    background.on_stop(parts.leftovers.close)
    background.on_stop(parts.operations.close)
    await parts.access.start()
    background.on_stop(parts.access.close)
    background.add("sessions", parts.access.watch)
    parts.audit.start(background)
    opening = asyncio.create_task(parts.inventory.open(), name="opening hosts")
    background.on_stop(lambda: cancel_tasks([opening]))
    recovery = Recovery(parts.operations, parts.inventory)
    recovery.start()
    background.on_stop(recovery.stop)
    background.add("last facts", parts.last_facts.run)
    background.add("crashes", parts.crashes.run)
    background.add("boot times", parts.boot_times.run)
    background.add("boot marks", parts.consoles.boot_marks.run)
    background.add("reconciler", parts.reconciler.run)
    background.add("pending undos", parts.operations.pending_undos.run)
    background.add("scheduler", parts.scheduler.run)
    for name, run in parts.metrics.tasks():
        background.add(name, run)
    background.on_stop(parts.heat.keeper.close)
    background.add("heat of volumes", parts.heat.keeper.run)
    background.add("storage advice", parts.heat.advisor.run)
    background.add("automatic moves", parts.heat.automatic.run)
    background.add("capacity marks", parts.heat.marks.run)
    if parts.settings.simulated_vms:
        background.add("simulated crashes", SimulatedCrashes(parts.inventory).run)
    if (lock := parts.database.server_lock) is not None:
        background.add("server lock", lambda: _keep_lock(lock, parts, recovery))


async def _open_database(
    background: Background, settings: Settings, owner_url: str, app_url: str, *, embedded: bool
) -> Database:
    """Open the database, locked before its tables are touched. An embedded one is locked by its data directory."""
    kind: Kind = "embedded" if embedded else "external"
    budget_s, connections = settings.database_budget_s, settings.database_connections
    place = Place("", "", "") if embedded else await find_place(app_url, owner_url, budget_s, connections)
    database = Database(
        app_url,
        kind=kind,
        connections=connections,
        budget_s=budget_s,
        schema=place.schema,
        search_path=place.search_path,
    )
    background.on_stop(database.close)
    server_lock = None if embedded else await database.take_server_lock()
    if server_lock is not None:
        background.on_stop(server_lock.close)
    await migrate(owner_url, app_url, role=place.role, search_path=place.search_path, budget_s=max(budget_s, CONNECT_S))
    if server_lock is not None:
        await server_lock.mark()
    return database


async def _keep_lock(server_lock: ServerLock, parts: Parts, recovery: Recovery) -> None:
    """Keep the server lock. While another server has it, operations stop; afterwards recovery runs again."""

    async def stop() -> None:
        await recovery.stop()
        await parts.operations.halt()

    async def resume() -> None:
        await retry_until_done("loading leftover copies", parts.leftovers.load)
        parts.operations.proceed()
        recovery.start()

    await server_lock.keep(stop, resume)


async def _build(background: Background, settings: Settings, database: Database, hypervisors: list[str]) -> Parts:
    async def read_identity(connection: Connection) -> tuple[UUID, list[HostRow], int]:
        instance = await database_repository.instance(connection)
        hosts = [await hosts_repository.get_or_create(connection, uri) for uri in hypervisors]
        # An event for each start: a client that resumes from an older number gets the whole inventory, because the
        # hosts may have changed while no server was running.
        await append(connection, [_started_event()])
        return instance, hosts, await last_seq(connection)

    instance, hosts, seq = await database.run(read_identity)
    committed: Signal[None] = Signal()
    wake = partial(committed.emit, None)
    group_commit = GroupCommit(database, wake)
    managed_pools = ManagedPools(instance, settings.data_dir)
    latest = LatestSamples(lambda host_id: state.responds(host_id))
    state = InventoryState(managed_pools.managed_tier, rates_on(latest))
    hub = Hub(state, degraded=lambda: background.check().failing)
    background.failed.listen(lambda _: hub.beat())
    publisher = Publisher(group_commit, hub.publish_unlogged)
    inventory = Inventory(
        state,
        publisher,
        hosts,
        virtualization=settings.virtualization,
        simulate_load=bool(settings.simulated_vms),
        sample_of=lambda vm: latest.sample(vm.host, vm.id),
    )
    reader = OutboxReader(database, seq, hub.fold, on_health=DatabaseOutage(hub, publisher).report)
    committed.listen(lambda _: reader.wake())
    images = _build_images(settings, hypervisors)
    leftovers = LeftoverCopies(database, inventory)
    planner = Planner(inventory, images, managed_pools)
    crashes = Crashes(group_commit, inventory)
    creation = CreateVM(database, group_commit, inventory, planner, str(instance))
    endings = Endings(database)
    bulk = BulkVMs(database, inventory, endings, Askers(database), lambda: vms, lambda: ownership)
    procedures = build_procedures(database, group_commit, inventory, leftovers, creation, bulk, crashes, str(instance))
    operations = Operations(database, group_commit, procedures, state, endings, ScopeAdmission(state))
    vms = VMs(inventory, operations, planner, group_commit)
    ownership = Ownership(inventory, operations)
    access_services = build_access(settings, database, wake, lambda session_id: gateway.end_session(session_id))
    access = access_services.access
    reconciler = Reconciler(database, group_commit, inventory, operations.pending_undos, str(instance))
    metrics = _metrics(settings, database, inventory, latest)
    volumes = Volumes(inventory, operations)
    heat = _heat(settings, database, group_commit, inventory, latest, operations, volumes)
    samples = SampleStreamer(latest, state, ShownHeat(heat.book))
    audit = build_auditing(settings, database, state, wake)
    gateway = _gateway(settings, access)
    return Parts(
        background=background,
        scheduler=_scheduler(settings, database, audit),
        settings=settings,
        database=database,
        group_commit=group_commit,
        access=access,
        access_services=access_services,
        inventory=inventory,
        operations=operations,
        reader=reader,
        hub=hub,
        images=images,
        vms=vms,
        bulks=Bulks(database, inventory, operations),
        ownership=ownership,
        volumes=volumes,
        pools=Pools(inventory, operations),
        upkeep=ManagedPoolUpkeep(inventory, managed_pools),
        leftovers=leftovers,
        stream=Stream(gateway, hub, inventory, samples),
        consoles=build_consoles(gateway, inventory, operations, audit),
        reconciler=reconciler,
        last_facts=LastFacts(database, inventory),
        crashes=crashes,
        boot_times=BootTimes(database, inventory),
        metrics=metrics,
        heat=heat,
        events=Events(database, state),
        audit=audit,
    )


def _metrics(settings: Settings, database: Database, inventory: Inventory, latest: LatestSamples) -> MetricsPipeline:
    return MetricsPipeline(
        database,
        inventory,
        latest,
        samples_kept=timedelta(hours=settings.samples_kept_hours),
        minutes_kept=timedelta(days=settings.minutes_kept_days),
    )


def _gateway(settings: Settings, access: Access) -> WebSocketGateway:
    return WebSocketGateway(
        access.authenticate,
        access.redeem_ticket,
        origins=frozenset(settings.origins),
        per_session=settings.sockets_per_session,
    )


def _heat(
    settings: Settings,
    database: Database,
    group_commit: GroupCommit,
    inventory: Inventory,
    latest: LatestSamples,
    operations: Operations,
    volumes: Volumes,
) -> HeatParts:
    storage = inventory.state.storage
    book = HeatBook(storage, HeatClock(settings.heat_speed))
    latest.disks_read.listen(book.record)
    advisor = Advisor(inventory, book, StoragePolicy())
    automatic = AutomaticMoves(database, inventory, operations, volumes, advisor, book)
    return HeatParts(
        book=book,
        keeper=HeatKeeper(database, storage, book, every_s=max(1.0, EVERY_S / settings.heat_speed)),
        service=HeatService(database, volumes, book, lambda: advisor.policy),
        advisor=advisor,
        policies=Policies(database, group_commit, inventory, advisor, automatic.look_now),
        automatic=automatic,
        decisions=DecisionHistory(database, inventory),
        marks=TierMarks(group_commit, inventory, lambda: advisor.policy),
    )


def _scheduler(settings: Settings, database: Database, audit: Auditing) -> Scheduler:
    jobs = [
        retention_job(database),
        heat_retention_job(database, timedelta(days=settings.heat_kept_days)),
        audit_retention_job(audit.log, timedelta(days=settings.audit_kept_days)),
        audit_verification_job(audit.log),
    ]
    return Scheduler(database, jobs, GuardedClock().now)


def _build_images(settings: Settings, hypervisors: list[str]) -> Images:
    directory, guest = settings.data_dir, None
    if not all(is_simulated(uri) for uri in hypervisors):  # else no guest ever boots from the image
        guest = DemoGuest(directory / "prepared-images")
    largest = settings.max_virtual_size_gib * GIB
    return Images(directory / "images", max_virtual_bytes=largest, demo_guest=guest)


def build_procedures(
    database: Database,
    group_commit: GroupCommit,
    inventory: Inventory,
    leftovers: LeftoverCopies,
    creation: CreateVM,
    bulk: BulkVMs,
    crashes: Crashes,
    instance: str,
) -> Procedures:
    """Create one procedure for each kind of operation."""
    return Procedures(
        [
            creation,
            DeleteVM(database, group_commit, inventory),
            *power_procedures(inventory),
            bulk,
            AcknowledgeCrash(crashes),
            SetUpConsole(inventory),
            *(change(inventory, group_commit, instance) for change in (HandOverVM, AdoptVM, ReleaseVM)),
            CreateVolume(group_commit, inventory, leftovers),
            CloneVolume(group_commit, inventory, leftovers),
            AttachVolume(database, group_commit, inventory),
            DetachVolume(database, group_commit, inventory),
            ResizeVolume(database, group_commit, inventory),
            HandOverVolume(inventory),
            DeleteVolume(database, group_commit, inventory),
            MoveVolume(database, group_commit, inventory, leftovers),
            SetTier(inventory),
        ]
    )


def _started_event() -> EventDraft:
    target = Target(type="system", id="server", name=__version__)
    return EventDraft(type="system.started", source="server", target=target, tenant=SHARED, priority=Priority.NORMAL)


def _register_files(parts: Parts, stored: StoredOperation) -> None:
    """Register the files of an operation that an earlier server left running: they are not listed as volumes."""
    try:
        entry = parts.operations.procedures[stored.operation.kind].read(stored)
    except (KeyError, msgspec.ValidationError):
        return  # the recovery reports it
    parts.inventory.state.storage.operation_files.set(stored.operation.id, entry.host_id, entry.steps.files())


async def _load(parts: Parts) -> None:
    """Load the rows as of the event number at which the outbox reader starts."""

    async def rows(connection: Connection) -> None:
        left = await operations_repository.unended(connection)
        for stored in left:
            _register_files(parts, stored)
        unended = [stored.operation for stored in left]
        recent = await operations_repository.recent(connection, _RECENT_OPERATIONS)
        parts.inventory.state.load(
            await vms_repository.all_rows(connection),
            await volumes_repository.all_rows(connection),
            {operation.id: operation for operation in [*recent, *unended]}.values(),
            parts.reader.last_seq,
            await tiers_repository.all_rows(connection),
            crashes=await vms_repository.all_crashes(connection),
        )
        await parts.last_facts.load(connection)
        await parts.boot_times.load(connection)
        await parts.heat.keeper.load(connection)
        await parts.heat.policies.load(connection)
        await parts.heat.marks.load(connection)

    await parts.database.run(rows, read_only=True)
    await parts.leftovers.load()
    parts.hub.start_history()
