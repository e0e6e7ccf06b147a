"""The form that creates a VM from an image: defaults, the server's rules checked while typing, one key to submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import uuid4

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button, Input, Select

from novacron_core.api import images, vms
from novacron_core.api.base import ListQuery
from novacron_core.api.hosts import Host, HostStatus
from novacron_core.api.images import Image
from novacron_core.api.operations import Operation
from novacron_core.errors import NovaCronError
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.pools.tier_choice import tier_options
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.draft import FIELDS, USER_NETWORK, VMDraft
from novacron_tui.widgets.confirm import Confirm, Question
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import choice
from novacron_tui.widgets.sheet import Sheet
from novacron_tui.widgets.text_bar import Piece, content
from novacron_tui.widgets.toggle import Toggle


class CreateVMForm(Sheet[Operation | None]):
    """Dismissed with the operation that the server accepted, or None."""

    DEFAULT_CSS = """
    CreateVMForm > VerticalScroll { width: 76; }
    CreateVMForm Horizontal.buttons { margin-bottom: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+r", "reload", show=False)]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._draft = VMDraft(session.store)
        self._initial_values: tuple[str, ...] | None = None
        self._key = str(uuid4())
        self._sent_body: vms.VMCreate | None = None
        self._sending = False
        hosts = [host for host in session.store.hosts.values() if host.status is HostStatus.UP]
        self._image: Select[str] = _select([])
        self._tier = choice(tier_options(session.store))
        self._host: Select[str] = _select([(_host_words(host), host.id) for host in hosts])
        self._network: Select[str] = _select([])
        self._start = Toggle("start after creation", value=True)
        self._hosts = [host.id for host in hosts]
        self._fields = self._make_fields()

    def _make_fields(self) -> dict[str, FormField]:
        draft = self._draft
        return {
            "image": FormField("Image", self._image, id="image", advice="Loading the images…"),
            "name": FormField(
                "Name", why_not=self._why_not_name, id="name", advice="Lower-case letters, digits and hyphens"
            ),
            "vcpus": FormField("vCPUs", value="1", why_not=draft.why_not_vcpus, id="vcpus"),
            "memory": FormField("Memory", value="512 MiB", why_not=draft.why_not_memory, id="memory"),
            "disk": FormField("Disk", why_not=self._why_not_disk, id="disk"),
            "tier": FormField("Tier", self._tier, id="tier"),
            "host": FormField("Host", self._host, id="host"),
            "network": FormField("Network", self._network, id="network"),
            "start": FormField("Start", self._start, id="start"),
        }

    def compose(self) -> ComposeResult:
        fields = [field for name, field in self._fields.items() if name != "host" or len(self._hosts) > 1]
        yield from self.sheet("Create a VM from an image", "Create", fields)

    def on_mount(self) -> None:
        self._show_host()
        self._fields["name"].widget.focus()
        self.action_reload()

    # -- choices ---------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="images")
    async def action_reload(self) -> None:
        """Load the images."""
        try:
            page = await self._session.client.call(images.LIST, query=ListQuery(page_size=1000))
        except NovaCronError as e:
            self._fields["image"].show_error(f"{one_line(e.detail)}: ctrl+r retries")
            return
        usable = [image for image in page.items if not image.problem]
        self._draft.images = {image.name: image for image in usable}
        self._image.set_options([(_image_words(image), image.name) for image in usable])
        if usable:
            self._image.value = usable[0].name
        self._show_images(page.items, usable)
        if self._initial_values is None:
            self._initial_values = self._current_values()

    def _show_images(self, every: Sequence[Image], usable: Sequence[Image]) -> None:
        broken = [image for image in every if image.problem]
        field = self._fields["image"]
        if not usable:
            field.show_error("The server has no image. Upload one on the storage screen (4, then i)")
            return
        field.show_error("")
        field.show_advice(f"{one_line(broken[0].name)} cannot be used: {one_line(broken[0].problem)}" if broken else "")

    @on(Select.Changed, "#image Select")
    def _image_chosen(self) -> None:
        image = self._draft.images.get(_chosen(self._image))
        if image is not None:
            self._fields["disk"].show_advice(f"Empty = image size ({size_text(image.size_bytes)}); cannot be smaller")
            self._fields["image"].show_error("")

    @on(Select.Changed, "#host Select")
    def _show_host(self) -> None:
        host = self._session.store.hosts.get(self._host_id)
        names = [*(host.networks if host else []), USER_NETWORK]
        self._network.set_options([(_network_words(name), name) for name in names])
        self._network.value = "default" if "default" in names else names[0]
        if host is not None:
            self._fields["memory"].show_advice(_memory_words(host))
            self._fields["vcpus"].show_advice(f"{one_line(host.name)} has {host.cpus} CPUs" if host.cpus else "")

    @property
    def _host_id(self) -> str:
        """The chosen host; with a single host there is no choice."""
        return self._hosts[0] if len(self._hosts) == 1 else _chosen(self._host)

    def _why_not_name(self, name: str) -> str | None:
        return self._draft.why_not_name(name, self._host_id)

    def _why_not_disk(self, text: str) -> str | None:
        return self._draft.why_not_disk(text, _chosen(self._image))

    # -- submitting and leaving ------------------------------------------------------------------------------------

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#send")
    def action_send(self) -> None:
        """Check all fields and submit the form, or put the cursor on the first invalid field."""
        if self._sending:
            return
        for field in self._fields.values():
            if field.check():
                field.widget.focus()
                return
        if not _chosen(self._image):
            self._fields["image"].show_error("Choose an image")
            return
        self._send()

    @work(exclusive=True, group="send")
    async def _send(self) -> None:
        body = self._body()
        if body != self._sent_body:
            self._key, self._sent_body = str(uuid4()), body
        self._set_sending(True)
        self._show_status("Creating…", "quiet")
        try:
            if (offline := self._session.store.why_no_change()) is not None:
                self._show_status(offline, "warn")
                return
            op = await self._session.client.call(vms.CREATE, body=body, idempotency_key=self._key)
        except NovaCronError as e:
            self._show_refusal(e)
            return
        finally:
            self._set_sending(False)
        self.dismiss(op)

    def _body(self) -> vms.VMCreate:
        values = {name: field.value for name, field in self._fields.items()}
        return self._draft.body(
            values,
            image=_chosen(self._image),
            host=self._host_id if len(self._hosts) > 1 else None,
            network=_chosen(self._network) or None,
            tier=_chosen(self._tier),
            start=self._start.value,
        )

    def _show_refusal(self, e: NovaCronError) -> None:
        """Show the server's errors at the fields they name, and the others below the fields."""
        rest = []
        for error in e.fields:
            field = self._fields.get(FIELDS.get(error.field, error.field))
            if field is not None:
                field.show_error(one_line(error.message))
                field.widget.focus()
            else:
                rest.append(f"{error.field}: {error.message}")
        self._show_status(one_line("; ".join(rest) if e.fields else e.detail), "bad")

    def _set_sending(self, sending: bool) -> None:
        self._sending = sending
        self.query_one("#send", Button).disabled = sending

    def _show_status(self, text: str, tone: str) -> None:
        self.say([Piece(text, tone)])

    def _current_values(self) -> tuple[str, ...]:
        values = [field.value for field in self._fields.values()]
        chosen = [_chosen(select) for select in (self._image, self._tier, self._host, self._network)]
        return (*values, *chosen, str(self._start.value))

    @work(exclusive=True, group="leave")
    async def action_leave(self) -> None:
        """Leave the form; ask only when something was changed."""
        if self._initial_values is not None and self._current_values() != self._initial_values:
            lines = [[Piece("Your input is not saved.")]]
            if (
                await self.app.push_screen_wait(Confirm(Question("Discard your changes?", lines, yes="Discard")))
                is None
            ):
                return
        self.dismiss(None)


def _select(options: Sequence[tuple[Content, str]]) -> Select[str]:
    select: Select[str] = Select(options, allow_blank=not options)
    return select


def _chosen(select: Select[str]) -> str:
    value = select.value
    return value if isinstance(value, str) else ""


def _image_words(image: Image) -> Content:
    words = f"  {size_text(image.size_bytes)}  {one_line(image.description)}"
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
