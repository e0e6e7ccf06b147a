"""The sign-in screen. It paints before anything slow is imported or started; the rest is in flow.py, which imports
the API, the forms and the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.sign_in.ways import INVITATION, REGISTER, RESET, SIGN_IN
from novacron_tui.terminal.type_ahead import Forget, OpenedWithoutForm
from novacron_tui.widgets.text_bar import Piece, TextBar, content

if TYPE_CHECKING:  # not before the first paint
    from textual.screen import ModalScreen

    from novacron_core.api.access import User
    from novacron_core.client import Client
    from novacron_tui.sign_in.flow import Connect, Enter, SignInFlow
    from novacron_tui.sign_in.forms import EntryForm

D = TypeVar("D")
_TALL = 4
"""With more fields the form needs the room of the motto on a low terminal."""
CHECK_EVERY_S = 8.0
"""How often the server is checked while the form is open: a bundled server stops after 30 s without a request."""
WORDMARK = "█▄ █ █▀█ █ █ ▄▀█ █▀▀ █▀█ █▀█ █▄ █\n█ ▀█ █▄█ ▀▄▀ █▀█ █▄▄ █▀▄ █▄█ █ ▀█"
PLAIN_WORDMARK = "N o v a C r o n"


class SignInScreen(Screen[None]):
    """`enter` is called after signing in. With `known` the server is already connected: only sign in again; `reason`
    says why."""

    DEFAULT_CSS = """
    SignInScreen { align: center middle; background: $background; }
    SignInScreen > VerticalScroll { width: 72; max-width: 100%; height: auto; max-height: 100%; padding: 0 2; scrollbar-size-vertical: 1; }
    SignInScreen #wordmark { color: $accent; width: 100%; text-align: center; height: auto; }
    SignInScreen #motto { color: $tone-quiet; width: 100%; text-align: center; margin: 1 0 1 0; }
    SignInScreen #card { height: auto; background: $surface; border: round $rule; padding: 1 2; border-title-color: $tone-quiet; border-subtitle-color: $tone-quiet; }
    SignInScreen #state { height: auto; }
    SignInScreen #keys { dock: bottom; background: $surface; }
    SignInScreen.-low.-tall #wordmark { margin-bottom: 1; }
    SignInScreen.-low.-tall #motto { display: none; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "retry", show=False),
        Binding("ctrl+s", "submit", show=False, priority=True),
        Binding("ctrl+q", "app.quit", show=False, priority=True),
        *(Binding(way.key, f"way({way.name!r})", show=False) for way in (INVITATION, RESET, REGISTER)),
        Binding("escape", f"way({SIGN_IN.name!r})", show=False),
    ]

    def __init__(
        self,
        open_server: Callable[[], Awaitable[ServerRef]],
        connect: Connect,
        enter: Enter,
        *,
        token: str = "",
        plain: bool = False,
        known: tuple[ServerRef, Client, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__()
        self._open_server = open_server
        self._connect = connect
        self._enter = enter
        self._token = token
        self._plain = plain
        self._known = known
        self._reason = reason
        self._flow: SignInFlow | None = None
        self._failed = False
        self._form_shown = False
        self._started_at: float | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(PLAIN_WORDMARK if self._plain else WORDMARK, id="wordmark", markup=False)
            yield Static("the control room for your virtual machines", id="motto")
            with Vertical(id="card"):
                yield Static(content([Piece("connecting to the server…", "quiet")]), id="state")
        yield TextBar(margin=1, id="keys")

    def on_mount(self) -> None:
        self._show_keys(form=False)
        self.call_after_refresh(lambda: self.run_worker(self._start_flow(), exclusive=True))

    @property
    def awaits_form(self) -> bool:
        """Whether keys typed now are meant for a form that is not shown yet (see TypeAhead)."""
        return not self._form_shown and not self._failed

    async def _start_flow(self) -> None:
        await asyncio.to_thread(_import_flow)
        from novacron_tui.sign_in.flow import SignInFlow

        self._flow = SignInFlow(self, self._open_server, self._connect, self._enter, self._token)
        self.set_interval(CHECK_EVERY_S, self._flow.check_server)
        if self._known:
            await self._flow.sign_in_again(*self._known, self._reason)
        else:
            await self._flow.reach()

    def action_retry(self) -> None:
        if self._failed and self._flow is not None:
            self.run_worker(self._flow.reach(), exclusive=True)

    async def on_entry_form_sent(self, event: EntryForm.Sent) -> None:
        if self._flow is not None:
            self.run_worker(self._flow.send(event), exclusive=True)

    def action_way(self, name: str) -> None:
        """Show another form, if the one that is shown leads to it."""
        if self._flow is not None:
            self.run_worker(self._flow.show_way(name), group="way", exclusive=True)

    def on_text_bar_pressed(self, event: TextBar.Pressed) -> None:
        self.action_way(event.name)

    async def show_dialog(self, dialog: ModalScreen[D]) -> D | None:
        """Show a dialog and wait for its result. Must be called from a worker."""
        return await self.app.push_screen_wait(dialog)

    # -- called by the flow ------------------------------------------------------------------------------------------

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        self.run_worker(work, group="watch")

    async def set_up_second_factor(self, client: Client, username: str, password: str) -> User | None:
        """Let the user set up a second factor; who they are then, None when they did not. Raises NovaCronError."""
        from novacron_tui.second_factor.set_up import admitted, set_up

        done = await set_up(self, client, username, password=password, ascii_only=self._plain)
        return await admitted(client) if done else None

    def show_progress(self) -> Callable[[], None]:
        """Show that the server is being connected, with the elapsed time. Returns a function that stops it."""
        self._failed = False
        self._started_at = monotonic()
        self._show_state("connecting to the server…", "quiet")
        self._show_keys(form=False)
        return self.set_interval(1.0, self._still_reaching).stop

    def _still_reaching(self) -> None:
        """Show the elapsed seconds: a server may take some to start."""
        if self._started_at is not None and (waited_s := round(monotonic() - self._started_at)) >= 2:
            self._show_state(f"connecting to the server… {waited_s} s", "quiet")

    def show_failure(self, why: str) -> None:
        """Show why the server cannot be reached."""
        self._failed = True
        self.app.post_message(Forget())
        self._show_state(why, "bad")
        self._show_keys(form=False)

    def show_server(self, server: ServerRef) -> None:
        """Show the profile and URL."""
        card = self.query_one("#card")
        card.border_title = content([Piece(server.profile, "danger" if server.production else "strong")])
        card.border_subtitle = content([Piece(server.url, "quiet")])

    def show_no_form(self) -> None:
        """A saved session signs in: whoever types a password by habit must not meet the list with it."""
        self.app.post_message(OpenedWithoutForm())

    async def show(self, form: EntryForm, reason: str, *, expected: bool) -> None:
        """Replace the form. If it is not the `expected` one, keys typed ahead are dropped."""
        self._form_shown = False
        if not expected:
            self.app.post_message(Forget())
        self.query_one("#state").display = False
        self.set_class(len(form.fields) > _TALL, "-tall")
        card = self.query_one("#card")
        await card.query("EntryForm").remove()
        await card.mount(form)
        form.start()
        form.say([Piece(reason, "warn")] if reason else [])
        self._form_shown = True
        self._show_keys(form=True, back=SIGN_IN in form.ways)

    def action_submit(self) -> None:
        """As in the forms of the console, from any field."""
        from novacron_tui.sign_in.forms import EntryForm

        if self._form_shown:
            self.query_one(EntryForm).submit()

    def _show_state(self, text: str, tone: str) -> None:
        state = self.query_one("#state", Static)
        state.display = True
        more = [Piece("\n\npress ", "quiet"), Piece("ctrl+r", "key"), Piece(" to retry", "quiet")]
        state.update(content([Piece(text, tone), *(more if tone == "bad" else [])]))

    def _show_keys(self, *, form: bool, back: bool = False) -> None:
        keys = [Piece("enter", "key"), Piece(" next field / submit   ", "plain")] if form else []
        if back:
            keys += [
                Piece(SIGN_IN.key, "key", 0, SIGN_IN.name),
                Piece(f" {SIGN_IN.label}   ", "plain", 0, SIGN_IN.name),
            ]
        if self._failed:
            keys += [Piece("ctrl+r", "key"), Piece(" retry   ", "plain")]
        self.query_one("#keys", TextBar).show([*keys, Piece("ctrl+q", "key"), Piece(" quit", "plain")])


def _import_flow() -> None:
    import novacron_tui.sign_in.flow  # noqa: F401 - off the event loop
