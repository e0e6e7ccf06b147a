"""The forms of the volume actions; each builds and sends a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import on
from textual.suggester import SuggestFromList
from textual.widgets import Input, Select

from novacron_core.api import volumes
from novacron_core.api.base import Request
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import VM
from novacron_core.rules.validation import parse_size_for
from novacron_core.rules.volume_actions import VolumeAction
from novacron_core.values.counts import counted
from novacron_core.values.names import why_not_volume_name
from novacron_core.values.sizes import parse_size, size_text
from novacron_tui.connection.form_request import Send, build_request
from novacron_tui.connection.store import Store
from novacron_tui.pools.tier_choice import show_room, tier_options
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Values, choice
from novacron_tui.widgets.form import Send as SendValues
from novacron_tui.widgets.text_bar import Piece
from novacron_tui.widgets.toggle import Toggle

_NAMED = 4
"""At most this many volumes are named; more do not fit."""
_NAME_ADVICE = "Lower-case letters, digits, dots and hyphens"


def move(entry: VolumeEntry, store: Store, send: Send, left_out: str = "") -> Form[None]:
    """The form that moves a volume. `left_out` tells of other marked ones."""
    volume = entry.volume
    is_running = entry.vm is not None and entry.vm.state == "running"
    words = (
        " It is copied while the VM is running."
        if is_running
        else " The old copy is removed after the new one has been verified."
    )
    intro = [
        [
            Piece(one_line(volume.name), "strong"),
            Piece(f", {size_text(volume.allocated_bytes)} on disk, in {volume.tier}."),
            Piece(words, "quiet"),
        ]
    ]
    if left_out:
        intro.append([Piece(left_out, "warn")])
    return _move_form(f"Move {one_line(volume.name)}", intro, store, send, exclude=volume.tier)


def move_many(entries: Sequence[VolumeEntry], store: Store, send: Send, left_out: str = "") -> Form[None]:
    """The form that moves several volumes. `left_out` tells of other marked ones."""
    number = counted(len(entries), "volume")
    size = sum(entry.volume.allocated_bytes for entry in entries)
    tiers = {entry.volume.tier for entry in entries}
    names = ", ".join(one_line(entry.volume.name) for entry in entries[:_NAMED])
    more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
    intro = [[Piece(number, "strong"), Piece(f", {size_text(size)} on disk: "), Piece(f"{names}{more}", "quiet")]]
    if left_out:
        intro.append([Piece(left_out, "warn")])
    return _move_form(f"Move {number}", intro, store, send, exclude=tiers.pop() if len(tiers) == 1 else None)


def _move_form(
    title: str, intro: Sequence[Sequence[Piece]], store: Store, send: Send, *, exclude: str | None
) -> Form[None]:
    fields = {
        "tier": FormField("To", choice(tier_options(store, exclude=exclude))),
        "bandwidth_bytes_s": FormField(
            "Rate limit",
            value="",
            placeholder="unlimited",
            why_not=_why_not_rate,
            advice="per second, e.g. 50 MiB",
        ),
    }

    async def submit(values: Values, key: str) -> None:
        rate = parse_size(values["bandwidth_bytes_s"]) if values["bandwidth_bytes_s"] else None
        await send(build_request(volumes.VolumeMove, tier=values["tier"], bandwidth_bytes_s=rate), key)

    return Form(title, fields, "Move", submit, intro)


def grow(entry: VolumeEntry, send: Send) -> Form[None]:
    volume = entry.volume

    def why_not(text: str) -> str | None:
        if (wrong := _why_not_size(text)) is not None:
            return wrong
        return (
            None
            if parse_size(text) > volume.size_bytes
            else f"Enter more than {size_text(volume.size_bytes)}; volumes cannot shrink"
        )

    fields = {"size_bytes": FormField("New size", value=size_text(volume.size_bytes), why_not=why_not)}

    async def submit(values: Values, key: str) -> None:
        await send(build_request(volumes.VolumeResize, size_bytes=parse_size(values["size_bytes"])), key)

    return Form(f"Grow {one_line(volume.name)}", fields, "Grow", submit)


def clone(entry: VolumeEntry, store: Store, send: Send) -> Form[None]:
    fields = {
        "name": FormField("Name", why_not=_why_not_name, advice=_NAME_ADVICE),
        "tier": FormField("Tier", choice(tier_options(store), entry.volume.tier or "hot")),
    }

    async def submit(values: Values, key: str) -> None:
        await send(build_request(volumes.VolumeClone, name=values["name"], tier=values["tier"]), key)

    return Form(f"Copy {one_line(entry.volume.name)}", fields, "Copy", submit)


class CreateVolumeForm(Form[None]):
    """Warns at the tier when the volume is promised more than there is room for."""

    def __init__(self, store: Store, fields: Mapping[str, FormField], submit: SendValues[None]) -> None:
        super().__init__("Create an empty volume", fields, "Create", submit)
        self._store = store

    def on_mount(self) -> None:
        self._show_room()

    @on(Input.Changed, "#size-bytes Input")
    @on(Select.Changed, "#tier Select")
    @on(Select.Changed, "#host Select")
    def _show_room(self) -> None:
        text, host = self.fields["size_bytes"].value, self.fields.get("host")
        size = None if _why_not_size(text) else parse_size(text)
        show_room(self.fields["tier"], self._store, size, host.value if host else "")


def create(store: Store, send: Send) -> Form[None]:
    hosts = [(one_line(host.name), host.id) for host in store.hosts.values() if host.status is HostStatus.UP]
    fields = {
        "name": FormField("Name", why_not=_why_not_name, advice=_NAME_ADVICE),
        "size_bytes": FormField(
            "Size", value="8 GiB", why_not=_why_not_size, advice="Thin: uses space as data is written"
        ),
        "tier": FormField("Tier", choice(tier_options(store))),
        "format": FormField(
            "Format", choice([("qcow2: snapshots, grows as needed", "qcow2"), ("raw: plain data", "raw")])
        ),
    }
    if len(hosts) > 1:
        fields["host"] = FormField("Host", choice(hosts))

    async def submit(values: Values, key: str) -> None:
        words = {**values, "size_bytes": parse_size(values["size_bytes"])}
        await send(build_request(volumes.VolumeCreate, **words), key)

    return CreateVolumeForm(store, fields, submit)


def attach(entry: VolumeEntry, store: Store, send: Send) -> Form[None]:
    """The VM name is typed with completion: with thousands of VMs a selection list is no use."""
    candidates = {vm.name: vm for vm in store.vms.values() if vm.host == entry.volume.host and not vm.unmanaged}
    typed = Input(placeholder="VM name (right completes)", suggester=SuggestFromList(sorted(candidates)))
    fields = {
        "vm": FormField("VM", typed, why_not=lambda name: _why_not_vm(entry, candidates, store, name)),
        "read_only": FormField("Access", Toggle("read-only")),
    }

    async def submit(values: Values, key: str) -> None:
        vm = candidates[values["vm"]]
        await send(build_request(volumes.VolumeAttach, vm=vm.id, read_only=bool(values["read_only"])), key)

    return Form(f"Attach {one_line(entry.volume.name)} to a VM", fields, "Attach", submit)


def _why_not_vm(entry: VolumeEntry, candidates: dict[str, VM], store: Store, name: str) -> str | None:
    vm = candidates.get(name.strip())
    if vm is None:
        return "No VM with this name on the volume's host. Press right to complete a name"
    return entry.why_not(VolumeAction.ATTACH, vm, store)


def _why_not_size(text: str) -> str | None:
    return _why_not_size_of(volumes.VolumeResize, "size_bytes", text)


def _why_not_rate(text: str) -> str | None:
    return _why_not_size_of(volumes.VolumeMove, "bandwidth_bytes_s", text) if text.strip() else None


def _why_not_size_of(request: type[Request], field: str, text: str) -> str | None:
    try:
        parse_size_for(request, field, text)
    except ValueError as e:
        return str(e)
    return None


def _why_not_name(text: str) -> str | None:
    return why_not_volume_name(text.strip())
