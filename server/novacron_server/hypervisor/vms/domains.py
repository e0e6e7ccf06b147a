"""Reads domains from libvirt and changes them. Blocking calls: run in a worker thread.

Definitions are cached; an event, a start or stop, or a full read causes them to be read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import libvirt
import msgspec
import structlog

from novacron_core.errors import Conflict
from novacron_server.hypervisor.facts import DomainFacts, OwnershipTag
from novacron_server.hypervisor.faults import code_of
from novacron_server.hypervisor.specs import DomainSpec
from novacron_server.hypervisor.unreadable import name_of, skip_unreadable
from novacron_server.hypervisor.vms.states import (
    CRASHED,
    MANAGED_SAVE_AWARE,
    PAUSED_BY_IO_ERROR,
    PAUSED_BY_MIGRATION,
    ended_cleanly,
    is_preserved,
    read_state,
)
from novacron_server.hypervisor.xml.definition import Documents, read_documents, without_secrets
from novacron_server.hypervisor.xml.domain import DiskSource, domain_xml
from novacron_server.hypervisor.xml.metadata import NAMESPACE, PREFIX, tag_text

_log = structlog.get_logger(__name__)
_PERSISTENT_XML = libvirt.VIR_DOMAIN_XML_INACTIVE
_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_UNDEFINE_ALL = _UNDEFINE | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM

_NO_SUCH_FLAG = (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED)


class _CachedDomain(msgspec.Struct, frozen=True):
    active: bool
    live: str
    persistent: str
    documents: Documents
    changes: int
    """How many change events the domain had before it was read."""


class DomainReader:
    """Reads the domains of one connection. Thread-safe; `invalidate` is called from the event thread."""

    def __init__(self) -> None:
        self._cache: dict[str, _CachedDomain] = {}
        self._changes: dict[str, int] = {}
        self._pools: Mapping[str, str] | None = None

    @property
    def pools(self) -> Mapping[str, str]:
        """Pool names by directory, as far as known."""
        return self._pools or {}

    @property
    def has_pools(self) -> bool:
        return self._pools is not None

    def invalidate(self, uuid: str) -> None:
        """Invalidate the cached definition of this domain, including a read that is in progress."""
        self._changes[uuid] = self._changes.get(uuid, 0) + 1

    def set_pools(self, name_by_path: Mapping[str, str]) -> None:
        """Set which directories are pools, so that disk paths can be mapped to volumes."""
        if self._pools is None or dict(name_by_path) != dict(self._pools):
            self._pools = dict(name_by_path)
            self._cache.clear()

    def devices(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """The disks' targets and the interfaces' MAC addresses of every domain, as last read."""
        return {
            uuid: (
                tuple(disk.target for disk in cached.documents.definition.disks),
                tuple(nic.mac for nic in cached.documents.definition.nics),
            )
            for uuid, cached in list(self._cache.items())
        }

    def read_all(self, connection: Any, *, fresh: bool) -> list[DomainFacts]:
        """Every domain. `fresh=False` reuses cached definitions that no event has invalidated."""
        transient = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
        saved = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
        found = []
        for domain, state, reason in _states(connection):
            uuid = str(domain.UUIDString())
            try:
                facts = self._facts(domain, state, reason, uuid not in transient, uuid in saved, fresh=fresh)
            except Exception as error:  # noqa: BLE001 - one bad domain must not hide the others
                skip_unreadable(connection, "domain", domain, error)
                facts = _unreadable_facts(domain, uuid, state, reason, saved=uuid in saved)
            if facts is not None:
                found.append(facts)
        for gone in set(self._cache) - {facts.uuid for facts in found}:
            self._cache.pop(gone, None)
            self._changes.pop(gone, None)
        return found

    def read_one(self, connection: Any, uuid: str) -> DomainFacts | None:
        """Read one domain again; None if there is none."""
        try:
            domain = connection.lookupByUUIDString(uuid)
            state, reason = domain.state()
            saved = state in MANAGED_SAVE_AWARE and bool(domain.hasManagedSaveImage())
            try:
                return self._facts(domain, state, reason, bool(domain.isPersistent()), saved, fresh=True)
            except ValueError as error:
                skip_unreadable(connection, "domain", domain, error)
                return _unreadable_facts(domain, uuid, state, reason, saved=saved)
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
                self._cache.pop(uuid, None)
                return None
            raise

    def documents(self, connection: Any, *, fresh: bool) -> Iterator[tuple[Any, bool, Documents]]:
        """Every current domain, whether it runs, and its documents; `fresh` as in `read_all`."""
        for domain in connection.listAllDomains(0):
            uuid = str(domain.UUIDString())
            try:
                yield domain, domain.ID() != -1, self._definition(domain, uuid, fresh=fresh).documents
            except libvirt.libvirtError as error:
                if code_of(error) != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
            except ValueError as error:  # what it uses is unknown: no change that depends on it may go on
                raise Conflict(f"the definition of the VM {name_of(domain)} cannot be read: {error}") from error

    def _facts(
        self, domain: Any, state: int, reason: int, persistent: bool, saved: bool, *, fresh: bool
    ) -> DomainFacts | None:
        uuid = str(domain.UUIDString())
        try:
            cached = self._definition(domain, uuid, fresh=fresh)
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
                return None  # it was removed between the listing and the read
            raise
        migrating = (state, reason) == PAUSED_BY_MIGRATION and _is_migrating(domain)
        api_state, why = read_state(state, reason, saved=saved, migrating=migrating)
        if (state, reason) == PAUSED_BY_IO_ERROR:
            why = _io_error(domain) or why
        return DomainFacts(
            uuid=uuid,
            name=str(domain.name()),
            state=api_state,
            reason=why,
            run_id=run_id if (run_id := domain.ID()) != -1 else None,
            preserved=is_preserved(state, reason),
            ended_cleanly=ended_cleanly(state, reason),
            persistent=persistent,
            xml_digest=cached.documents.digest,
            **msgspec.structs.asdict(cached.documents.definition),
        )

    def _definition(self, domain: Any, uuid: str, *, fresh: bool) -> _CachedDomain:
        active = domain.ID() != -1
        cached, changes = self._cache.get(uuid), self._changes.get(uuid, 0)  # before the read
        if cached is not None and not fresh and cached.active == active and cached.changes == changes:
            return cached
        persistent = domain.XMLDesc(_PERSISTENT_XML)
        live = domain.XMLDesc(0) if active else persistent
        hashes = _hash(live), _hash(persistent)
        if cached is None or (cached.live, cached.persistent) != hashes or cached.active != active:
            cached = _CachedDomain(active, *hashes, read_documents(live, persistent, self._pools or {}), changes)
        elif cached.changes != changes:
            cached = msgspec.structs.replace(cached, changes=changes)
        self._cache[uuid] = cached
        return cached


def _unreadable_facts(domain: Any, uuid: str, state: int, reason: int, *, saved: bool) -> DomainFacts:
    """A domain whose definition cannot be read: it exists and has a state, which is more than its absence would say."""
    api_state, why = read_state(state, reason, saved=saved)
    unreadable = "its definition cannot be read"
    return DomainFacts(
        uuid=uuid,
        name=name_of(domain),
        state=api_state,
        reason=f"{why}; {unreadable}" if why else unreadable,
        preserved=is_preserved(state, reason),
        ended_cleanly=ended_cleanly(state, reason),
    )


def _uuids(connection: Any, flag: int) -> set[str]:
    return {str(domain.UUIDString()) for domain in connection.listAllDomains(flag)}


def _states(connection: Any) -> Iterator[tuple[Any, int, int]]:
    """All domains with their states, in one call."""
    for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        yield domain, stats.get("state.state", 0), stats.get("state.reason", 0)


def _is_migrating(domain: Any) -> bool:
    """Whether a domain that a migration has paused is still being migrated."""
    try:
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as error:
        # An incoming migration has a job, but no statistics: libvirt refuses the question.
        return code_of(error) == int(libvirt.VIR_ERR_OPERATION_INVALID)


def _io_error(domain: Any) -> str:
    """What stopped a domain that an I/O error has paused, empty if libvirt does not know more."""
    try:
        errors_by_disk = domain.diskErrors(0)
    except libvirt.libvirtError:
        return ""
    full = sorted(disk for disk, error in errors_by_disk.items() if error == libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
    failed = sorted(set(errors_by_disk) - set(full))
    said = [f"no space left for {', '.join(full)}"] * bool(full) + [f"I/O error on {', '.join(failed)}"] * bool(failed)
    return "; ".join(said)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def by_uuid(action: Callable[[Any], object]) -> Callable[[Any, str], None]:
    """Turn an action on a domain into a function of a connection and a UUID."""

    def call(connection: Any, uuid: str) -> None:
        action(connection.lookupByUUIDString(uuid))

    return call


def _resume(domain: Any) -> None:
    if domain.state()[0] == libvirt.VIR_DOMAIN_PMSUSPENDED:  # the guest suspended itself: it must be woken up
        domain.pMWakeup(0)
    else:
        domain.resume()


def _reset(domain: Any) -> None:
    crashed = tuple(domain.state()) in CRASHED
    domain.reset(0)
    if crashed and domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
        domain.resume()  # a crashed guest is preserved, stopped: the reset alone does not let it run


def _press(call: Callable[[int], object], flag: int) -> None:
    """Press the virtual power button, or use the only way that a hypervisor has if it does not know the flag."""
    try:
        call(flag)
    except libvirt.libvirtError as error:
        if code_of(error) not in _NO_SUCH_FLAG:
            raise
        call(0)


start = by_uuid(lambda domain: domain.create())
ask_agent_to_shut_down = by_uuid(lambda domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT))
press_power_button = by_uuid(lambda domain: _press(domain.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))
power_off = by_uuid(lambda domain: domain.destroy())
pause = by_uuid(lambda domain: domain.suspend())
resume = by_uuid(_resume)
ask_agent_to_reboot = by_uuid(lambda domain: domain.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT))
press_for_reboot = by_uuid(lambda domain: _press(domain.reboot, libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN))
reset = by_uuid(_reset)
discard_saved = by_uuid(lambda domain: domain.managedSaveRemove(0))


def define(connection: Any, spec: DomainSpec) -> None:
    """Define or redefine a domain. The volumes of its disks must exist."""
    connection.defineXML(domain_xml(spec, _sources(connection, spec)))


def _sources(connection: Any, spec: DomainSpec) -> Sequence[DiskSource]:
    found = []
    for disk in spec.disks:
        volume = connection.storagePoolLookupByName(disk.pool).storageVolLookupByName(disk.volume)
        found.append(DiskSource(str(volume.path()), volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK))
    return found


def undefine(connection: Any, uuid: str) -> None:
    """Remove a stopped domain with its saved memory, NVRAM and snapshot metadata; succeeds if there is none."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        if domain.isActive():
            # libvirt would turn it into a transient domain that disappears when it stops: never wanted.
            raise Conflict("the VM is still running: power it off first")
        _undefine(domain)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def _undefine(domain: Any) -> None:
    try:
        domain.undefineFlags(_UNDEFINE_ALL)
    except libvirt.libvirtError as error:
        # The simulator supports neither NVRAM nor checkpoint removal, and refuses unknown flags.
        if code_of(error) not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        domain.undefineFlags(_UNDEFINE)


def definition(connection: Any, uuid: str) -> str:
    """The XML of the persistent definition, without secrets."""
    return without_secrets(connection.lookupByUUIDString(uuid).XMLDesc(_PERSISTENT_XML))


def set_tag(connection: Any, uuid: str, tag: OwnershipTag | None) -> None:
    """Write NovaCron's tag into a domain, running or not; None: remove it."""
    domain = connection.lookupByUUIDString(uuid)
    flags = 0
    if domain.isPersistent():
        flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    text = tag_text(tag) if tag is not None else None
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, PREFIX, NAMESPACE, flags)
