"""`vm ls`, `vm show`, `host ls`, `image ls`, `op ls`: lists and details, as tables or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from novacron_core.api import access, hosts, images, operations, vms
from novacron_core.api.base import ListQuery
from novacron_core.api.hosts import Host
from novacron_core.api.images import Image
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, State
from novacron_core.client import Client
from novacron_core.errors import NotFound, NovaCronError
from novacron_core.rules.visibility import ONLY_ADMINISTRATORS
from novacron_core.rules.vm_actions import TRANSIENT, state_words
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.roles import Role
from novacron_core.values.sizes import size_text
from novacron_tui.cli.runtime.exit_codes import print_error
from novacron_tui.cli.runtime.lookup import find_vm, list_all
from novacron_tui.cli.runtime.output import Output, distinct_names, show_data, show_pairs, show_table
from novacron_tui.vms.crash_rows import crash_rows


async def vm_ls(client: Client, output: Output, q: str) -> None:
    """List VMs by name; `q` is filter text."""
    found = await list_all(client, vms.LIST, vms.VMQuery(q=q))
    if output.is_data:
        show_data(output, found)
        return
    names = await _host_names(client)
    now = client.now()
    shown = distinct_names([vm.name for vm in found])
    rows = (_vm_row(vm, name, names, now) for vm, name in zip(found, shown, strict=True))
    show_table(("NAME", "STATE", "SINCE", "CPUS", "MEMORY", "HOST", "ADDRESSES", "ID"), rows)
    if not found and not q and not await _is_administrator(client):
        print_error(f"no VMs; {ONLY_ADMINISTRATORS}")


async def _is_administrator(client: Client) -> bool:
    """Whether this session sees everything; also when the server does not say, because the list itself was read."""
    try:
        return (await client.call(access.VALIDATE)).user.role is Role.ADMINISTRATOR
    except NovaCronError:
        return True


async def vm_show(client: Client, output: Output, name_or_id: str) -> None:
    """Show all details of one VM."""
    vm = await find_vm(client, name_or_id)
    if output.is_data:
        show_data(output, vm)
        return
    pairs = [*_details(vm, await _host_names(client), await _running(client, vm), client.now())]
    show_pairs([*pairs, *await _crash(client, vm)])


async def host_ls(client: Client, output: Output) -> None:
    """List hosts by name."""
    found = await list_all(client, hosts.LIST, ListQuery())
    if output.is_data:
        show_data(output, found)
        return
    uri = ("URI",) if any(host.uri for host in found) else ()  # administrators alone are told
    head = ("NAME", "STATUS", "SEEN", "KIND", "CPUS", "FREE", "MEMORY", *uri, "DETAIL")
    now = client.now()
    show_table(head, (_host_row(host, now, with_uri=bool(uri)) for host in found))


async def image_ls(client: Client, output: Output) -> None:
    """List images by name."""
    found = await list_all(client, images.LIST, ListQuery())
    if output.is_data:
        show_data(output, found)
        return
    show_table(("NAME", "FORMAT", "SIZE", "FILE", "BOOT", "ABOUT"), (_image_row(image) for image in found))


async def op_ls(client: Client, output: Output, q: str, at_most: int) -> None:
    """List operations, newest first."""
    found = await list_all(client, operations.LIST, ListQuery(q=q), at_most=at_most)
    if output.is_data:
        show_data(output, found)
        return
    now = client.now()
    rows = (_operation_row(op, now) for op in found)
    show_table(("AGE", "KIND", "TARGET", "STATE", "DONE", "BY", "REASON", "ID"), rows)


async def _host_names(client: Client) -> dict[str, str]:
    return {host.id: host.name for host in await list_all(client, hosts.LIST, ListQuery())}


def _details(vm: VM, names: dict[str, str], operation: Operation | None, now: datetime) -> Iterable[tuple[str, object]]:
    yield from (("name", vm.name), ("id", vm.id))
    since = f"for {_age(vm.state_since, now)}" if vm.state_since else ""
    yield "state", _words(state_words(vm), f"({vm.reason})" if vm.reason else "", since)
    yield "seen", f"{_age(vm.seen_at, now)} ago" if vm.seen_at else None
    if vm.booted_at:
        yield "booted", f"{_age(vm.booted_at, now)} ago"
    yield from (("host", names.get(vm.host, vm.host)), ("virtualization", vm.virtualization))
    yield from (("cpus", vm.vcpus), ("memory", size_text(vm.memory_bytes)))
    for disk in vm.disks:
        yield f"disk {disk.target}", _words(size_text(disk.size_bytes), disk.format, disk.bus, disk.source)
    for nic in vm.nics:
        yield "network", _words(nic.mac, nic.network, nic.model, *nic.addresses)
    yield "tags", _words(*(f"{key}={value}" for key, value in sorted(vm.tags.items())))
    yield from (("tenant", vm.tenant), ("owner", vm.owner), ("protected", "yes" if vm.protected else "no"))
    if vm.transient:
        yield "definition", TRANSIENT
    yield from (("created", vm.created_at), ("description", vm.description), ("generation", vm.generation))
    if operation:
        yield "running now", f"{operation.kind} by {operation.actor}"


async def _crash(client: Client, vm: VM) -> list[tuple[str, object]]:
    """When and why the VM crashed, with QEMU's last lines."""
    if State.CRASHED not in (vm.state, vm.last_state):
        return []
    try:
        crash = await client.call(vms.CRASH, vm_id=vm.id)
    except NotFound:  # it runs again by now
        return []
    log = [("log", line) for line in crash.log] or [("log", crash.log_note)]
    return [*((label, text) for label, text in crash_rows(crash, client.now()) if text), *log]


async def _running(client: Client, vm: VM) -> Operation | None:
    """The operation on the VM, None also when it ended meanwhile."""
    if vm.operation_id is None:
        return None
    try:
        operation = await client.call(operations.GET, operation_id=vm.operation_id)
    except NotFound:
        return None
    return None if operation.state.ended else operation


def _vm_row(vm: VM, name: str, names: dict[str, str], now: datetime) -> Sequence[object]:
    host = names.get(vm.host, vm.host)
    size = size_text(vm.memory_bytes)
    return name, state_words(vm), _age(vm.state_since, now), vm.vcpus, size, host, _addresses(vm), vm.id


def _host_row(host: Host, now: datetime, *, with_uri: bool) -> Sequence[object]:
    seen = _age(host.seen_at, now)
    kind = f"{host.virtualization}, simulated" if host.simulated else host.virtualization
    sizes = (size_text(host.memory_free_bytes), size_text(host.memory_bytes))
    return (host.name, host.status, seen, kind, host.cpus, *sizes, *([host.uri] if with_uri else []), host.detail)


def _image_row(image: Image) -> Sequence[object]:
    boot = "own kernel" if image.direct_boot else "boot loader"
    return (
        image.name,
        image.format or "-",
        size_text(image.size_bytes),
        size_text(image.file_bytes),
        boot,
        image.problem or image.description,
    )


def _operation_row(op: Operation, now: datetime) -> Sequence[object]:
    done = None if op.progress is None else f"{op.progress:.0%}"
    reason = op.problem.sentence if op.problem else ""
    target = op.target.name or op.target.id
    kind = f"{op.child_kind} (bulk)" if op.child_kind else op.kind
    return _age(op.created_at, now), kind, target, op.state, done, op.actor, reason, op.id


def _age(since: datetime | None, now: datetime) -> str:
    return age_text(age_s(since, now)) if since else "-"


def _addresses(vm: VM) -> str:
    return _words(*(address for nic in vm.nics for address in nic.addresses))


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)
