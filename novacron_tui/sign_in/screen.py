"""The screen before the doors. It paints before anything slow is imported, or started; what it then does is in
flow.py, which brings the contract, the forms and the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.type_ahead import Forget
from novacron_tui.widgets.text_bar import Piece, TextBar, content

if TYPE_CHECKING:  # not before the first paint
    from novacron_core.client import Client
    from novacron_tui.sign_in.flow import Connect, Enter, SignInFlow
    from novacron_tui.sign_in.forms import EntryForm

LOOK_S = 8.0
"""How often a server that somebody stands before is asked: well within the 30 s after which a bundled one that nobody
asks stops."""
WORDMARK = "█▄ █ █▀█ █ █ ▄▀█ █▀▀ █▀█ █▀█ █▄ █\n█ ▀█ █▄█ ▀▄▀ █▀█ █▄▄ █▀▄ █▄█ █ ▀█"
PLAIN_WORDMARK = "N o v a C r o n"


class SignInScreen(Screen[None]):
    """`enter` is called once somebody is signed in. With `known` the server was reached before: only sign in again,
    `reason` says why that is asked."""

    DEFAULT_CSS = """
    SignInScreen { align: center middle; background: $background; }
    SignInScreen > VerticalScroll { width: 72; max-width: 100%; height: auto; max-height: 100%; padding: 0 2; scrollbar-size-vertical: 1; }
    SignInScreen #wordmark { color: $accent; width: 100%; text-align: center; height: auto; }
    SignInScreen #motto { color: $tone-quiet; width: 100%; text-align: center; margin: 1 0 1 0; }
    SignInScreen #card { height: auto; background: $surface; border: round $rule; padding: 1 2; border-title-color: $tone-quiet; border-subtitle-color: $tone-quiet; }
    SignInScreen #state { height: auto; }
    SignInScreen #keys { dock: bottom; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "retry", show=False),
        Binding("ctrl+q", "app.quit", show=False, priority=True),
    ]

    def __init__(
        self,
        open_place: Callable[[], Awaitable[ServerRef]],
        connect: Connect,
        enter: Enter,
        *,
        token: str = "",
        plain: bool = False,
        known: tuple[ServerRef, Client, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__()
        self._open_place = open_place
        self._connect = connect
        self._enter = enter
        self._token = token
        self._plain = plain
        self._known = known
        self._reason = reason
        self._doors: SignInFlow | None = None
        self._failed = False
        self._form_stands = False
        self._began: float | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(PLAIN_WORDMARK if self._plain else WORDMARK, id="wordmark", markup=False)
            yield Static("the control room for your virtual machines", id="motto")
            with Vertical(id="card"):
                yield Static(content([Piece("reaching the server…", "quiet")]), id="state")
        yield TextBar(margin=1, id="keys")

    def on_mount(self) -> None:
        self._show_keys(form=False)
        self.call_after_refresh(lambda: self.run_worker(self._open_doors(), exclusive=True))

    @property
    def awaits_form(self) -> bool:
        """Whether what is typed now is meant for a form that is still to come (see TypeAhead)."""
        return not self._form_stands and not self._failed

    async def _open_doors(self) -> None:
        await asyncio.to_thread(_import_doors)
        from novacron_tui.sign_in.flow import SignInFlow

        self._doors = SignInFlow(self, self._open_place, self._connect, self._enter, self._token)
        self.set_interval(LOOK_S, self._doors.look)
        if self._known:
            await self._doors.again(*self._known, self._reason)
        else:
            await self._doors.reach()

    def action_retry(self) -> None:
        if self._failed and self._doors is not None:
            self.run_worker(self._doors.reach(), exclusive=True)

    async def on_entry_form_sent(self, event: EntryForm.Sent) -> None:
        if self._doors is not None:
            self.run_worker(self._doors.send(event), exclusive=True)

    # -- what the doors show -----------------------------------------------------------------------------------------

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        self.run_worker(work, group="watch")

    def begin(self) -> Callable[[], None]:
        """The server is being reached: show that, and that time passes. Answers how to stop."""
        self._failed = False
        self._began = monotonic()
        self._state("reaching the server…", "quiet")
        self._show_keys(form=False)
        return self.set_interval(1.0, self._still_reaching).stop

    def _still_reaching(self) -> None:
        """A server that starts takes its seconds."""
        if self._began is not None and (waited_s := round(monotonic() - self._began)) >= 2:
            self._state(f"reaching the server… {waited_s} s", "quiet")

    def fail(self, why: str) -> None:
        """The server is not reached."""
        self._failed = True
        self.app.post_message(Forget())
        self._state(why, "bad")
        self._show_keys(form=False)

    def name_place(self, place: ServerRef) -> None:
        """Where this is."""
        card = self.query_one("#card")
        card.border_title = content([Piece(place.profile, "danger" if place.production else "strong")])
        card.border_subtitle = content([Piece(place.url, "quiet")])

    async def show(self, form: EntryForm, reason: str, *, expected: bool) -> None:
        """A form, in place of what was there. One that is not `expected` gets nothing of what was typed before it."""
        self._form_stands = False
        if not expected:
            self.app.post_message(Forget())
        self.query_one("#state").display = False
        card = self.query_one("#card")
        await card.query("EntryForm").remove()
        await card.mount(form)
        form.start()
        form.say(reason, "warn")
        self._form_stands = True
        self._show_keys(form=True)

    def _state(self, text: str, tone: str) -> None:
        state = self.query_one("#state", Static)
        state.display = True
        more = [Piece("\n\npress ", "quiet"), Piece("ctrl+r", "key"), Piece(" to try again", "quiet")]
        state.update(content([Piece(text, tone), *(more if tone == "bad" else [])]))

    def _show_keys(self, *, form: bool) -> None:
        keys = [Piece("enter", "key"), Piece(" next, send   ", "plain")] if form else []
        if self._failed:
            keys += [Piece("ctrl+r", "key"), Piece(" try again   ", "plain")]
        self.query_one("#keys", TextBar).show([*keys, Piece("ctrl+q", "key"), Piece(" quit", "plain")])


def _import_doors() -> None:
    import novacron_tui.sign_in.flow  # noqa: F401 - off the event loop
