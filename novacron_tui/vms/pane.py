"""The list of VMs: a table over the store, and a placeholder while there is nothing to list."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from novacron_core.api.events import SampleRequest
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import CREATE, VM
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.vms import LIVE_FIELDS, vm_fields
from novacron_core.rules.operation_words import doing
from novacron_core.values.ages import age_text
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState, VMKey, key_of
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.columns import HOST_WIDTHS, columns
from novacron_tui.vms.live import LIVE
from novacron_tui.widgets.cells import Column
from novacron_tui.widgets.filter_line import FilterLine
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece, content

_REQUEST_ALL_BELOW = 50
"""Up to this many VMs, samples of all are requested."""
_MAX_REQUESTED = 200
_LIVE_WORDS = tuple(f"{field}{sign}" for field in LIVE_FIELDS for sign in "<>=:")


class VMPane(Vertical):
    """Call `refresh_data` whenever the store or the clock has changed; only changes are painted."""

    DEFAULT_CSS = """
    VMPane { height: 1fr; }
    VMPane #instead { height: 1fr; content-align: center middle; text-align: center; padding: 0 2; }
    """

    class Sifted(Message):
        """The filter was changed or closed."""

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self._session = session
        self._glyphs = glyphs
        self._host_width = 0
        self._seen = self._seen_samples = -1
        self._placeholder: tuple[Piece, ...] = ()
        signs = (glyphs.mark, glyphs.up, glyphs.down, glyphs.cut)
        self.table: Table[VM] = Table(self._columns(), key_of, signs=signs, sort="name", id="vms")
        self._static = Static(id="instead")
        self.filter = FilterLine(id="filter")
        self._filter_error = ""
        self._host_names: dict[str, str] = {}
        self._fields = vm_fields(self._host_names, session.store.samples.of)
        self._by_name: Sequence[VM] = ()
        self._filters_live = False
        self._requested: SampleRequest | None = None
        self._return_to: VMKey | None = None
        self._created = ""

    def compose(self) -> ComposeResult:
        yield self.table
        yield self._static
        yield self.filter

    def on_mount(self) -> None:
        self.refresh_data()

    def refresh_data(self) -> None:
        """Show the current data of the store."""
        store = self._session.store
        if (width := self._host_width_now()) != self._host_width:
            self._host_width = width
            self.table.set_columns(self._columns())
        if store.version != self._seen:
            self._seen = store.version
            self._host_names.clear()
            self._host_names.update((host.id, host.name) for host in store.hosts.values())
            self._by_name = sorted(store.vms.values(), key=lambda vm: (vm.name, store.host_name(vm.host)))
            self.table.show(self._by_name)  # rows equal in the sorted column keep this order
            self._find_made()
        elif store.samples.version != self._seen_samples and self.reorders:
            self.table.show(self._by_name)
        else:
            self.table.repaint()
        self._seen_samples = store.samples.version
        self._show_placeholder(tuple(self._placeholder_pieces()))
        self._show_count()

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

    def open_filter(self) -> None:
        """Open the filter line; when the filter is cleared, the cursor returns to its row."""
        self._return_to = key_of(self.table.row) if self.table.row else None
        self.filter.open("name, or state:running host:kvm-a tag:db cpu>80 -test")

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
        self._find_made()

    @on(Table.Moved)
    def _moved(self) -> None:
        self._created = ""  # the operator has moved the cursor: leave it there

    def _find_made(self) -> None:
        if self._created and (found := self._session.store.vms_with(self._created)):
            self._created = ""
            self.table.select(key_of(found[0]))

    @on(FilterLine.Changed)
    def _filter(self, event: FilterLine.Changed) -> None:
        event.stop()
        try:
            test = compile_filter(event.text, self._fields)
        except FilterError as e:
            self._filter_error = str(e)  # the list is unchanged until the filter is valid
        else:
            self._filter_error = ""
            self._filters_live = any(word.lstrip("-!").startswith(_LIVE_WORDS) for word in event.text.lower().split())
            self.table.set_filter(test if event.text else None)
        self._show_placeholder(tuple(self._placeholder_pieces()))
        self._show_count()
        self.post_message(self.Sifted())

    @on(FilterLine.Closed)
    def _filter_closed(self, event: FilterLine.Closed) -> None:
        event.stop()
        if not event.kept and self._return_to:
            self.table.select(self._return_to)
        self._return_to = None  # with a kept filter the cursor stays where it is
        self._focus_list()
        self.post_message(self.Sifted())

    def _show_count(self) -> None:
        if self._filter_error:
            self.filter.show_note("invalid filter", "bad")
        else:
            self.filter.show_note(f"{len(self.table.rows):,} of {len(self._session.store.vms):,}")

    def _focus_list(self) -> None:
        """Focus the table; while it is hidden, focus nothing, so that keys reach the screen."""
        if self.table.display:
            self.table.focus()
        else:
            self.screen.set_focus(None)

    def _columns(self) -> Sequence[Column[VM]]:
        store = self._session.store
        return columns(self._glyphs, store, host_width=self._host_width)

    def _host_width_now(self) -> int:
        """The width of the longest name: hosts often differ only at the end."""
        store = self._session.store
        if len(store.hosts) < 2:
            return 0
        least, most = HOST_WIDTHS
        return max(least, min(most, max(cell_len(one_line(store.host_name(host))) for host in store.hosts)))

    def _show_placeholder(self, pieces: tuple[Piece, ...]) -> None:
        if pieces == self._placeholder and self._static.display == bool(pieces):
            return
        self._placeholder = pieces
        self._static.update(content(pieces))
        self._static.display = bool(pieces)
        self.table.display = not pieces
        if not pieces and not self.filter.editing:
            self.table.focus()

    def _placeholder_pieces(self) -> list[Piece]:
        """What is shown instead of an empty list, with the next step."""
        store = self._session.store
        if store.connection is ConnectionState.LOADING:
            return [Piece("loading…", "quiet")]
        if not store.loaded:
            return [
                Piece("the server is not responding\n\n", "bad"),
                Piece(f"{one_line(store.reason)}\n\n", "plain"),
                Piece("Retrying automatically; ", "quiet"),
                Piece("r", "key"),
                Piece(" retries now", "quiet"),
            ]
        if store.vms:
            return [] if self.table.rows or not self.filter.text else self._no_match_pieces()
        down = [host for host in store.hosts.values() if host.status is HostStatus.DOWN]
        if down and len(down) == len(store.hosts):
            return [
                Piece("no host is responding\n\n", "bad"),
                *(
                    Piece(f"{one_line(host.name)}: {one_line(host.detail or 'reason unknown')}\n", "plain")
                    for host in down
                ),
            ]
        return [Piece("no VMs yet\n\n", "strong"), *self._next_step()]

    def _no_match_pieces(self) -> list[Piece]:
        return [
            Piece("no VM matches the filter\n\n", "strong"),
            Piece("esc", "key"),
            Piece(" clears the filter", "quiet"),
        ]

    def _next_step(self) -> list[Piece]:
        if not self._session.may(CREATE):
            return [Piece(f"your role ({self._session.user.role}) cannot create VMs", "quiet")]
        return [Piece("press ", "quiet"), Piece("c", "key"), Piece(" to create one from an image", "quiet")]

    def hint(self) -> list[Piece]:
        """More about the VM under the cursor than its row shows."""
        if self._filter_error:
            return [Piece(f"{self._glyphs.bad} {self._filter_error}", "bad")]
        vm = self.table.row
        if vm is None or self._static.display:
            return []
        if (op := self._session.store.operation_on(vm)) is not None:
            actor = f" by {one_line(op.actor)}" if op.actor else ""
            eta = f", {age_text(op.eta_s)} left" if op.eta_s is not None else ""
            return [Piece(f"{doing(op.kind)}{actor}: {one_line(op.step) or op.state}{eta}", "busy")]
        why = f" ({one_line(vm.reason)})" if vm.reason else ""
        host = one_line(self._session.store.host_name(vm.host))
        unmanaged = ", unmanaged" if vm.unmanaged else ""
        said = f"{one_line(vm.name)} on {host}: {vm.state}{why}{unmanaged}  "
        pieces = [Piece(said, "quiet"), Piece(vm.id, "quiet", 1)]
        others = ", ".join(one_line(self._session.store.host_name(other)) for other in vm.duplicate_on)
        return [*pieces, Piece(f"  also on {others}", "warn", 2)] if others else pieces
