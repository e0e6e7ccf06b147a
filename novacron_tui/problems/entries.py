"""What is wrong now, worst first, each with its next step: VMs, hosts, pools, failed operations and the server itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from novacron_core.api.hosts import Host, HostStatus
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool
from novacron_core.api.vms import VM, State
from novacron_core.rules.filters.language import FilterField
from novacron_core.rules.operation_words import words_of
from novacron_core.rules.vm_actions import state_words
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.connection.store import Store, key_of
from novacron_tui.terminal.safe_text import one_line

FULL = 0.85
"""The part of a pool's disk from which on it counts as nearly full."""
RECENT = timedelta(hours=24)
"""How long a failed operation is listed, unless it has succeeded since."""
SECURITY = "security warning"
"""The kind of the problem that is a security warning."""
_WRONG_STATES = (State.CRASHED, State.FAILED, State.UNKNOWN)
_FAILED = (OperationState.FAILED, OperationState.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """One thing that is wrong. `next_key` and `next_step` are what to press; `thing` is the object that it is about."""

    id: str
    kind: str
    name: str
    why: str
    since: datetime | None
    next_key: str
    next_step: str
    thing: VM | Host | Pool | Operation | None = None
    severe: bool = True
    host: str = ""


FIELDS: dict[str, FilterField[ProblemEntry]] = {
    "name": FilterField(lambda problem: f"{problem.name} {problem.kind} {problem.why}"),
    "kind": FilterField(lambda problem: problem.kind),
    "host": FilterField(lambda problem: problem.host),
}
"""The filter fields; plain words are searched in all texts of a row."""

_cache: WeakKeyDictionary[Store, tuple[tuple[int, int], list[ProblemEntry]]] = WeakKeyDictionary()


def problems(store: Store) -> list[ProblemEntry]:
    """Everything that is wrong by what the store knows; computed once per version of the store, and once a minute."""
    now = version(store)
    held = _cache.get(store)
    if held is None or held[0] != now:
        held = _cache[store] = (now, sorted(_found(store), key=_order))
    return held[1]


def version(store: Store) -> tuple[int, int]:
    """Changes whenever the problems may differ."""
    return store.version, int(store.now().timestamp()) // 60


def _order(problem: ProblemEntry) -> tuple[bool, float, str]:
    """Severe ones first, then the newest."""
    return not problem.severe, -(problem.since.timestamp() if problem.since else 0.0), problem.name


def _found(store: Store) -> Iterator[ProblemEntry]:
    if store.database_away_since is not None:
        yield ProblemEntry(
            "database", "database down", "server", "changes are disabled until it is back", store.database_away_since,
            "", "check PostgreSQL on the server",
        )  # fmt: skip
    for name in store.degraded:
        yield ProblemEntry(
            f"task {name}", "task failing", one_line(name), "a part of the server fails; what it keeps current may be old",
            None, "", "read the server's log", severe=False,
        )  # fmt: skip
    yield from _of_warnings(store)
    down = {host.id for host in store.hosts.values() if host.status is HostStatus.DOWN}
    yield from (_of_host(store, host) for host in store.hosts.values() if host.id in down)
    yield from (_of_vm(store, vm) for vm in _wrong_vms(store) if not (vm.state is State.UNKNOWN and vm.host in down))
    yield from (problem for pool in _pools_in_use(store) if pool.host not in down for problem in _of_pool(store, pool))
    yield from _of_operations(store)


def _of_warnings(store: Store) -> Iterator[ProblemEntry]:
    """The security warnings of the last day, but for what the operator has done: the first administrator's first screen
    shows no problem."""
    now = store.now()
    for event in store.warnings.values():
        if now - event.time <= RECENT and (not event.actor or event.actor != store.username):
            yield ProblemEntry(
                f"warning {event.id}", SECURITY, one_line(event.target.name or event.target.id), one_line(event.note),
                event.time, "enter", "opens the audit log",
            )  # fmt: skip


def _of_host(store: Store, host: Host) -> ProblemEntry:
    lost = sum(vm.host == host.id for vm in store.vms.values())
    vms = f"{counted(lost, 'VM')} unknown: " if lost else ""
    return ProblemEntry(
        f"host {host.id}", "host down", one_line(store.host_name(host.id)),
        f"{vms}{one_line(host.detail) or 'the host is not responding'}", host.seen_at, "enter", "lists VMs", host,
        host=one_line(store.host_name(host.id)),
    )  # fmt: skip


def _wrong_vms(store: Store) -> Iterable[VM]:
    counts = store.counts()
    if not any(counts[state] for state in (*_WRONG_STATES, State.PAUSED)):
        return ()  # nearly always: with ten thousand VMs looking at each costs
    return [vm for vm in store.vms.values() if vm.state in _WRONG_STATES or (vm.state is State.PAUSED and vm.reason)]


def _of_vm(store: Store, vm: VM) -> ProblemEntry:
    key, step, why = "enter", "opens it", one_line(vm.reason)
    if vm.state in (State.CRASHED, State.FAILED):
        gone = vm.transient and not vm.preserved
        key, step = ("T", "resets it") if vm.preserved else ("A", "acknowledges it") if gone else ("s", "starts it")
        why = why or "no reason given"
    elif vm.state is State.PAUSED:
        key, step = "p", "resumes it"
    else:
        why = why or f"{state_words(vm)}: its host does not report it"
    return ProblemEntry(
        f"vm {key_of(vm)}", str(vm.state), one_line(vm.name), why, vm.state_since, key, step, vm,
        host=one_line(store.host_name(vm.host)),
    )  # fmt: skip


def _pools_in_use(store: Store) -> Iterator[Pool]:
    """The pools of tiers, and those with a volume of a VM: of any other, nobody here needs it."""
    used = {(volume.host, volume.pool) for volume in store.volumes.values() if volume.vm}
    for pool in store.pools.values():
        if pool.tier or pool.managed or (pool.host, pool.name) in used:
            yield pool


def _of_pool(store: Store, pool: Pool) -> Iterator[ProblemEntry]:
    name, host = one_line(pool.name), one_line(store.host_name(pool.host))
    if pool.problem or not pool.active:
        kind = "pool unreadable" if pool.active else "pool inactive"
        why = one_line(pool.problem) or "it was stopped; its volumes cannot be used"
        yield ProblemEntry(f"pool {pool.id}", kind, name, why, None, "enter", "shows it", pool, host=host)
    elif pool.capacity_bytes and pool.available_bytes is not None:
        used = 1 - pool.available_bytes / pool.capacity_bytes
        if used >= FULL:
            yield ProblemEntry(
                f"pool {pool.id}", "pool nearly full" if pool.available_bytes else "pool full", name,
                f"{used:.0%} used, {size_text(pool.available_bytes)} free", None, "enter", "shows it", pool,
                severe=not pool.available_bytes, host=host,
            )  # fmt: skip


def _of_operations(store: Store) -> Iterator[ProblemEntry]:
    """The last failed operation of each kind on each object, unless one has succeeded since, or the VM's state tells."""
    latest: dict[tuple[str, str], Operation] = {}
    for op in store.operations.values():
        if op.finished_at is None or op.state is OperationState.CANCELLED:
            continue
        known = latest.get((op.kind, op.target.id))
        if known is None or known.finished_at is None or known.finished_at <= op.finished_at:
            latest[(op.kind, op.target.id)] = op
    now = store.now()
    for op in latest.values():
        if op.state in _FAILED and not op.completed and op.finished_at and now - op.finished_at <= RECENT:
            why = op.problem.sentence if op.problem else "no reason given"
            yield ProblemEntry(
                f"operation {op.id}", f"{words_of(op).noun} {op.state}", one_line(op.target.name or op.target.id),
                one_line(why), op.finished_at, "enter", "shows it", op, severe=False,
            )  # fmt: skip
