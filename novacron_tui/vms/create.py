"""The form that creates a VM from an image: defaults, the server's rules checked while typing, one key to submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Select

from novacron_core.api import images, vms
from novacron_core.api.base import ListQuery
from novacron_core.api.hosts import Host, HostStatus
from novacron_core.api.images import Image
from novacron_core.api.operations import Operation
from novacron_core.errors import NovaCronError
from novacron_core.values.counts import counted
from novacron_core.values.sizes import size_text
from novacron_tui.connection.form_request import call_from_form
from novacron_tui.connection.session import Session
from novacron_tui.pools.tier_choice import show_room, tier_options
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.draft import USER_NETWORK, VMDraft, split_login
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Values, choice
from novacron_tui.widgets.text_bar import Piece, content
from novacron_tui.widgets.toggle import Toggle


class CreateVMForm(Form[Operation]):
    """Dismissed with the operation that the server accepted, or None."""

    DEFAULT_CSS = """
    CreateVMForm > VerticalScroll { width: 76; }
    CreateVMForm Fields { margin-bottom: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+r", "reload", show=False)]
    SENDING = "Creating…"
    FIRST = "name"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._draft = VMDraft(session.store, session.user.tenant)
        hosts = [host for host in session.store.hosts.values() if host.status is HostStatus.UP]
        self._hosts = [host.id for host in hosts]
        self._image: Select[str] = choice([])
        self._host = choice([(_host_words(host), host.id) for host in hosts])
        self._network: Select[str] = choice([])
        self._images_loaded = False
        self._unusable = ""
        super().__init__("Create a VM from an image", self._make_fields(), "Create", self._create)

    def _make_fields(self) -> dict[str, FormField]:
        draft, advice = self._draft, "Lower-case letters, digits and hyphens"
        fields = {
            "image": FormField("Image", self._image, advice="Loading the images…", why_not=_why_not_image),
            "name": FormField("Name", why_not=lambda name: draft.why_not_name(name, self._host_id), advice=advice),
            "vcpus": FormField("vCPUs", value="1", why_not=draft.why_not_vcpus),
            "memory_bytes": FormField("Memory", value="512 MiB", why_not=draft.why_not_memory, id="memory"),
            "disk_bytes": FormField("Disk", why_not=self._why_not_disk, id="disk"),
            "tier": FormField("Tier", choice(tier_options(self._session.store))),
            "host": FormField("Host", self._host),
            "network": FormField("Network", self._network),
            "start": FormField("Start", Toggle("start after creation", value=True)),
        }
        return {name: field for name, field in fields.items() if name != "host" or len(self._hosts) > 1}

    def on_mount(self) -> None:
        self._show_host()
        self.action_reload()

    # -- choices ---------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="images")
    async def action_reload(self) -> None:
        """Load the images."""
        try:
            page = await self._session.client.call(images.LIST, query=ListQuery(page_size=1000))
        except NovaCronError as e:
            self.fields["image"].show_error(f"{one_line(e.detail)}: ctrl+r retries")
            return
        usable = [image for image in page.items if not image.problem]
        self._draft.images = {image.name: image for image in usable}
        self._image.set_options([(_image_words(image), image.name) for image in usable])
        if usable:
            self._image.value = usable[0].name
        self._show_images(page.items, usable)
        if not self._images_loaded:
            self._images_loaded = True
            self.note_untouched()

    def _show_images(self, every: Sequence[Image], usable: Sequence[Image]) -> None:
        broken = [image for image in every if image.problem]
        field = self.fields["image"]
        if not usable:
            field.show_error("The server has no image. Upload one on the storage screen (4, then i)")
            return
        field.show_error("")
        self._unusable = f"{one_line(broken[0].name)} cannot be used: {one_line(broken[0].problem)}" if broken else ""
        self._show_login()

    def _show_login(self) -> None:
        """Say how to log in to guests of the chosen image, or else which image cannot be chosen."""
        image = self._draft.images.get(self.fields["image"].value)
        login = one_line(split_login(image)[1]) if image else ""
        self.fields["image"].show_advice(login or self._unusable)

    @on(Select.Changed, "#image Select")
    def _image_chosen(self) -> None:
        image = self._draft.images.get(self.fields["image"].value)
        if image is not None:
            self.fields["disk_bytes"].show_advice(
                f"Empty = image size ({size_text(image.size_bytes)}); cannot be smaller"
            )
            self.fields["image"].show_error("")
            self._show_login()
        self._show_room()

    @on(Input.Changed, "#disk Input")
    @on(Select.Changed, "#tier Select")
    def _show_room(self) -> None:
        size = self._draft.disk_bytes(self.fields["disk_bytes"].value, self.fields["image"].value)
        show_room(self.fields["tier"], self._session.store, size, self._host_id)

    @on(Select.Changed, "#host Select")
    def _show_host(self) -> None:
        host = self._session.store.hosts.get(self._host_id)
        names = [*(host.networks if host else []), USER_NETWORK]
        self._network.set_options([(_network_words(name), name) for name in names])
        self._network.value = "default" if "default" in names else names[0]
        if host is not None:
            self.fields["memory_bytes"].show_advice(_memory_words(host))
            self.fields["vcpus"].show_advice(
                f"{one_line(host.name)} has {counted(host.cpus, 'CPU')}" if host.cpus else ""
            )
        self._show_room()

    @property
    def _host_id(self) -> str:
        """The chosen host; with a single host there is no choice."""
        return self._hosts[0] if len(self._hosts) == 1 else self.fields["host"].value if self._hosts else ""

    def _why_not_disk(self, text: str) -> str | None:
        return self._draft.why_not_disk(text, self.fields["image"].value)

    async def _create(self, values: Values, key: str) -> Operation:
        op: Operation = await call_from_form(self._session, vms.CREATE, self._draft.body(values), key)
        return op


def _why_not_image(image: str) -> str | None:
    return None if image else "Choose an image"


def _image_words(image: Image) -> Content:
    words = f"  {size_text(image.size_bytes)}  {one_line(split_login(image)[0])}"
    return content([Piece(one_line(image.name)), Piece(words, "quiet")])


def _host_words(host: Host) -> Content:
    return content([Piece(one_line(host.name)), Piece("  SIMULATED" if host.simulated else "", "warn")])


def _memory_words(host: Host) -> str:
    """The memory of the host, as far as it is known."""
    if host.memory_bytes is None:
        return ""
    total = size_text(host.memory_bytes)
    if host.memory_free_bytes is None:
        return f"{one_line(host.name)} has {total}"
    return f"{size_text(host.memory_free_bytes)} of {total} free on {one_line(host.name)}"


def _network_words(name: str) -> Content:
    why = "  outbound only, NAT" if name == USER_NETWORK else ""
    return content([Piece(one_line(name)), Piece(why, "quiet")])
