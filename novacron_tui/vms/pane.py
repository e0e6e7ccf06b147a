"""The list of VMs: a table over the store, and a placeholder while there is nothing to list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from rich.cells import cell_len
from textual import on, work

from novacron_core.api import images
from novacron_core.api.base import ListQuery
from novacron_core.api.events import SampleRequest
from novacron_core.api.hosts import HostStatus
from novacron_core.api.images import Image
from novacron_core.api.vms import VM, State
from novacron_core.errors import NovaCronError
from novacron_core.rules.filters.language import compile_filter
from novacron_core.rules.filters.vms import LIVE_FIELDS, vm_fields
from novacron_core.rules.operation_words import doing
from novacron_core.rules.visibility import ONLY_ADMINISTRATORS
from novacron_core.rules.vm_actions import state_words
from novacron_core.values.ages import age_text
from novacron_core.values.roles import Role
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState, VMKey, key_of
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.columns import HOST_WIDTHS, STATE_WIDTH, UNKNOWN_WIDTH, columns
from novacron_tui.vms.first_steps import first_steps
from novacron_tui.vms.live import LIVE
from novacron_tui.vms.look_alikes import LookAlikes
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece

_REQUEST_ALL_BELOW = 50
"""Up to this many VMs, samples of all are requested."""
_MAX_REQUESTED = 200
_LOOK_EVERY_S = 5.0
"""How often the images are looked for while there is no VM."""
_LIVE_WORDS = tuple(f"{field}{sign}" for field in LIVE_FIELDS for sign in "<>=:")


class VMPane(ListPane[VM]):
    """While order or filter depend on samples, every sample sorts the list again."""

    NOUN = "VM"
    KEEPS_FILTER = True
    EXAMPLE = "name, or state:running host:kvm-a tag:db cpu>80 -test"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        self._session = session
        self._glyphs = glyphs
        self._host_width, self._state_width = 0, STATE_WIDTH
        self._alike = LookAlikes()
        self._sorted_version = -1
        super().__init__(Table(self._columns(), key_of, signs=glyphs.table_signs, sort="name", id="vms"))
        self._host_names: dict[str, str] = {}
        self._fields = vm_fields(self._host_names, session.store.samples.of)
        self._by_name: Sequence[VM] = ()
        self._filters_live = False
        self._requested: SampleRequest | None = None
        self._created = ""
        self._images: Sequence[Image] | None = None
        self._look_at = 0.0

    def on_mount(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Show the current data of the store."""
        widths = self._host_width_now(), self._state_width_now()
        if widths != (self._host_width, self._state_width):
            self._host_width, self._state_width = widths
            self.table.set_columns(self._columns())
        super().refresh_data()
        self._find_created()
        if self._may_look_for_images():
            self._look_at = monotonic() + _LOOK_EVERY_S
            self._look_for_images()

    def version(self) -> tuple[int, int]:
        store = self._session.store
        return store.version, store.samples.version if self.reorders else -1

    def rows(self) -> Sequence[VM]:
        """The VMs by name: rows equal in the sorted column keep this order."""
        store = self._session.store
        if store.version != self._sorted_version:
            self._sorted_version = store.version
            self._host_names.clear()
            self._host_names.update((host.id, host.name) for host in store.hosts.values())
            self._alike.update(store.vms.values())
            self._by_name = sorted(store.vms.values(), key=lambda vm: (vm.name, store.host_name(vm.host)))
        return self._by_name

    def total(self) -> int:
        return len(self._session.store.vms)

    @property
    def reorders(self) -> bool:
        """Whether order or filter depend on values that change with every sample."""
        return self._filters_live or self.table.sort_key in LIVE

    def wants(self) -> SampleRequest | None:
        """The samples of the visible VMs and a page above and below; of all VMs when order or filter depend on samples.

        The request stays the same while the visible rows are within it.
        """
        if not self.table.display:
            return None
        if self.reorders or len(self.table.rows) <= _REQUEST_ALL_BELOW:
            self._requested = SampleRequest()
            return self._requested
        room = max(1, self.table.size.height)
        top = self.table.scroll_offset.y
        seen = {vm.id for vm in self.table.rows[top : top + room]}
        held = self._requested.targets if self._requested is not None else ()
        if isinstance(held, str) or not seen <= set(held):
            near = self.table.rows[max(0, top - room) : top + 2 * room]
            self._requested = SampleRequest(targets=[vm.id for vm in near][:_MAX_REQUESTED])
        return self._requested

    # -- the filter ------------------------------------------------------------------------------------------------

    def go_to(self, vm: VMKey) -> None:
        """Put the cursor on a VM; clear a filter that hides it."""
        if any(key_of(shown) == vm for shown in self.table.rows):
            self.table.select(vm)
        else:
            self._return_to = vm
            self.filter.action_clear()

    def go_to_created(self, vm_id: str) -> None:
        """Put the cursor on a VM that is being created as soon as it appears; its host is not known before."""
        self._created = vm_id
        self._find_created()

    @on(Table.Moved)
    def _moved(self) -> None:
        self._created = ""  # the operator has moved the cursor: leave it there

    def _find_created(self) -> None:
        if self._created and (found := self._session.store.vms_with(self._created)):
            self._created = ""
            self.table.select(key_of(found[0]))

    def compile(self, text: str) -> Callable[[VM], bool]:
        test = compile_filter(text, self._fields)
        self._filters_live = any(word.lstrip("-!").startswith(_LIVE_WORDS) for word in text.lower().split())
        return test

    def _columns(self) -> Sequence[Column[VM]]:
        store = self._session.store
        widths = {"host_width": self._host_width, "state_width": self._state_width}
        return columns(self._glyphs, store, **widths, alike=self._alike)

    def _state_width_now(self) -> int:
        return UNKNOWN_WIDTH if self._session.store.counts()[State.UNKNOWN] else STATE_WIDTH

    def _host_width_now(self) -> int:
        """The width of the longest name: hosts often differ only at the end."""
        store = self._session.store
        if len(store.hosts) < 2:
            return 0
        least, most = HOST_WIDTHS
        return max(least, min(most, max(cell_len(one_line(store.host_name(host))) for host in store.hosts)))

    def placeholder(self) -> list[Piece]:
        store = self._session.store
        if store.connection is ConnectionState.LOADING:
            return [Piece("loading…", "quiet")]
        if not store.loaded:
            return [
                Piece("the server is not responding\n\n", "bad"),
                Piece(f"{store.reason}\n\n", "plain"),
                Piece("Retrying automatically; ", "quiet"),
                Piece("r", "key"),
                Piece(" retries now", "quiet"),
            ]
        if store.vms:
            return []
        down = [host for host in store.hosts.values() if host.status is HostStatus.DOWN]
        if down and len(down) == len(store.hosts):
            return [
                Piece("no host is responding\n\n", "bad"),
                *(
                    Piece(f"{one_line(host.name)}: {one_line(host.detail or 'reason unknown')}\n", "plain")
                    for host in down
                ),
            ]
        return [Piece("no VMs yet\n\n", "strong"), *first_steps(self._session, self._images), *self._unseen()]

    def _may_look_for_images(self) -> bool:
        store = self._session.store
        idle = store.loaded and store.connection is ConnectionState.LIVE and not store.vms
        return idle and monotonic() >= self._look_at

    @work(exclusive=True, group="images")
    async def _look_for_images(self) -> None:
        """Which images there are, for the first steps."""
        try:
            page = await self._session.client.call(images.LIST, query=ListQuery(page_size=1000))
        except NovaCronError:
            return  # asked again soon
        self._images = page.items
        self.refresh_state()

    def _unseen(self) -> list[Piece]:
        """Why the list may be empty on a host that is full."""
        if self._session.user.role is Role.ADMINISTRATOR:
            return []
        return [Piece(f"\n\n{ONLY_ADMINISTRATORS}", "quiet")]

    def hint(self) -> list[Piece]:
        """More about the VM under the cursor than its row shows."""
        vm = self.table.row
        if vm is None or self.is_empty:
            return []
        if (op := self._session.store.operation_on(vm)) is not None:
            actor = f" by {one_line(op.actor)}" if op.actor else ""
            eta = f", {age_text(op.eta_s)} left" if op.eta_s is not None else ""
            return [Piece(f"{doing(op.kind)}{actor}: {one_line(op.step) or op.state}{eta}", "busy")]
        why = f" ({one_line(vm.reason)})" if vm.reason else ""
        host = one_line(self._session.store.host_name(vm.host))
        unmanaged = ", unmanaged" if vm.unmanaged else ""
        said = f"{one_line(vm.name)} on {host}: {state_words(vm)}{why}{unmanaged}  "
        pieces = [Piece(said, "quiet"), Piece(vm.id, "quiet", 1)]
        others = ", ".join(one_line(self._session.store.host_name(other)) for other in vm.duplicate_on)
        return [*pieces, Piece(f"  also on {others}", "warn", 2)] if others else pieces
