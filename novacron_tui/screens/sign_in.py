"""The doors: reach the server, make its first administrator if it has none, and sign in.

It paints before anything slow is imported; the server may still be starting behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from novacron_core.api import access
from novacron_core.api.access import User
from novacron_core.errors import NovaCronError, RateLimited, ServerUnreachable, Unauthenticated
from novacron_tui.access.forms import EntryForm, FirstRunForm, SignInForm
from novacron_tui.access.watch import LOOK_S, Watch
from novacron_tui.place import Place
from novacron_tui.safe_text import clean, one_line
from novacron_tui.type_ahead import Forget
from novacron_tui.widgets.line import Line, Piece, content

if TYPE_CHECKING:  # the client brings httpx and websockets: not before the first paint
    from novacron_core.client import Client

WORDMARK = "█▄ █ █▀█ █ █ ▄▀█ █▀▀ █▀█ █▀█ █▄ █\n█ ▀█ █▄█ ▀▄▀ █▀█ █▄▄ █▀▄ █▄█ █ ▀█"
PLAIN_WORDMARK = "N o v a C r o n"
Connect = Callable[[Place], "Client"]
Enter = Callable[[Place, "Client", User], None]


class SignIn(Screen[None]):
    """`enter` is called once somebody is signed in. With `client` the server was reached before: only sign in again,
    `reason` says why that is asked."""

    DEFAULT_CSS = """
    SignIn { align: center middle; background: $background; }
    SignIn > VerticalScroll { width: 72; max-width: 100%; height: auto; max-height: 100%; padding: 0 2; scrollbar-size-vertical: 1; }
    SignIn #wordmark { color: $accent; width: 100%; text-align: center; height: auto; }
    SignIn #motto { color: $tone-quiet; width: 100%; text-align: center; margin: 1 0 1 0; }
    SignIn #card { height: auto; background: $surface; border: round $rule; padding: 1 2; border-title-color: $tone-quiet; border-subtitle-color: $tone-quiet; }
    SignIn #state { height: auto; }
    SignIn #keys { dock: bottom; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "retry", show=False),
        Binding("ctrl+q", "app.quit", show=False, priority=True),
    ]

    def __init__(
        self,
        open_place: Callable[[], Awaitable[Place]],
        connect: Connect,
        enter: Enter,
        *,
        token: str = "",
        plain: bool = False,
        known: tuple[Place, Client, str] | None = None,
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
        self._place: Place | None = known[0] if known else None
        self._client: Client | None = known[1] if known else None
        self._form: EntryForm | None = None
        self._failed = False
        self._form_stands = False
        self._began: float | None = None
        self._watch: Watch | None = None
        self._through = False

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(PLAIN_WORDMARK if self._plain else WORDMARK, id="wordmark", markup=False)
            yield Static("the control room for your virtual machines", id="motto")
            with Vertical(id="card"):
                yield Static(content([Piece("reaching the server…", "quiet")]), id="state")
        yield Line(margin=1, id="keys")

    def on_mount(self) -> None:
        self._show_keys()
        self.set_interval(LOOK_S, self._look)
        if self._known:
            self._show_form(SignInForm(self._known[2]), self._reason)
        else:
            self.call_after_refresh(self._reach)

    @property
    def awaits_form(self) -> bool:
        """Whether what is typed now is meant for a form that is still to come (see TypeAhead)."""
        return not self._form_stands and not self._failed

    # -- reaching the server ---------------------------------------------------------------------------------------

    @work(exclusive=True)
    async def _reach(self) -> None:
        self._failed = False
        self._state("reaching the server…", "quiet")
        self._show_keys()
        waiting = self.set_interval(1.0, self._still_reaching)
        self._began = monotonic()
        try:
            self._place = await self._open_place()
            self._title(self._place)
            self._client = await self._new_client(self._place)
            await self._look_in(self._place, self._client)
        except (NovaCronError, OSError) as e:
            self._fail(e)
        finally:
            waiting.stop()

    def _still_reaching(self) -> None:
        """A server that starts takes its seconds: show that they pass."""
        if self._began is not None and (waited_s := round(monotonic() - self._began)) >= 2:
            self._state(f"reaching the server… {waited_s} s", "quiet")

    async def _new_client(self, place: Place) -> Client:
        if self._client is not None:
            await self._client.close()
        await asyncio.to_thread(_import_client)
        return self._connect(place)

    async def _look_in(self, place: Place, client: Client) -> None:
        from novacron_core.api.health import INFO

        about = await client.call(INFO)
        if about.setup_required:
            self._show_form(FirstRunForm((place.setup_token() if place.setup_token else None) or ""))
        elif self._token:
            await self._enter_by_token(place, client)
        else:
            self._show_form(SignInForm())

    async def _enter_by_token(self, place: Place, client: Client) -> None:
        client.credentials.token = self._token
        try:
            who = await client.call(access.VALIDATE)
        except Unauthenticated as e:
            client.credentials.drop()
            self._show_form(SignInForm(), f"the token is not accepted: {one_line(e.detail)}")
            return
        self._through_the_doors(place, client, who.user)

    # -- while somebody thinks -------------------------------------------------------------------------------------

    @work(group="watch")
    async def _look(self) -> None:
        """A server must not stop because somebody takes their time with a password."""
        form, client = self._form, self._client
        if self._through or not self._form_stands or form is None or form.held or client is None:
            return
        if self._watch is None:
            self._watch = Watch(self._open_place, client, say=self._say_in_form, moved=self._moved)
        await self._watch.look()

    def _say_in_form(self, text: str, tone: str) -> None:
        if self._form is not None and not self._form.held:
            self._form.say(text, tone)

    def _moved(self, place: Place) -> None:
        self._place = place
        self._title(place)
        if isinstance(self._form, FirstRunForm) and place.setup_token:
            self._form.offer(place.setup_token() or "")

    def _through_the_doors(self, place: Place, client: Client, who: User) -> None:
        self._through = True
        self._enter(place, client, who)

    def _fail(self, e: NovaCronError | OSError) -> None:
        self._failed = True
        self.app.post_message(Forget())
        self._state(clean(e.detail if isinstance(e, NovaCronError) else str(e) or type(e).__name__), "bad")
        self._show_keys()

    def action_retry(self) -> None:
        if self._failed:
            self._reach()

    def _state(self, text: str, tone: str) -> None:
        state = self.query_one("#state", Static)
        state.display = True
        more = [Piece("\n\npress ", "quiet"), Piece("ctrl+r", "key"), Piece(" to try again", "quiet")]
        state.update(content([Piece(text, tone), *(more if tone == "bad" else [])]))

    def _title(self, place: Place) -> None:
        card = self.query_one("#card")
        card.border_title = content([Piece(place.profile, "danger" if place.production else "strong")])
        card.border_subtitle = content([Piece(place.url, "quiet")])

    # -- the forms -------------------------------------------------------------------------------------------------

    def _show_form(self, form: EntryForm, reason: str = "") -> None:
        self.query_one("#state").display = False
        self._form, self._form_stands = form, False
        if isinstance(form, FirstRunForm):
            self.app.post_message(Forget())  # it was meant for the form of every other day: user, password
        if self._place:
            self._title(self._place)
        self._mount_form(form, reason)
        self._show_keys()

    @work
    async def _mount_form(self, form: EntryForm, reason: str) -> None:
        card = self.query_one("#card")
        await card.query(EntryForm).remove()
        await card.mount(form)
        form.start()
        form.say(clean(reason), "warn")
        self._form_stands = True

    @on(EntryForm.Sent)
    def _sent(self, event: EntryForm.Sent) -> None:
        self._send(event)

    @work(exclusive=True)
    async def _send(self, sent: EntryForm.Sent) -> None:
        form, client, place = self._form, self._client, self._place
        if form is None or client is None or place is None:
            return
        form.hold(True)
        form.say("one moment…", "quiet")
        try:
            if isinstance(form, FirstRunForm):
                await client.call(access.REGISTER, body=_registration(sent))
            tokens = await client.sign_in(sent.username, sent.password)
        except RateLimited as e:
            await self._wait_out(form, e)
            return
        except NovaCronError as e:
            form.hold(False)
            await self._refused(form, e)
            return
        form.say("")
        self._through_the_doors(self._place or place, client, tokens.user)

    async def _refused(self, form: EntryForm, e: NovaCronError) -> None:
        if form.blame(e.fields):
            form.say("")
            return
        form.say(one_line(e.detail))
        if isinstance(form, SignInForm) and isinstance(e, Unauthenticated):
            form.refused()
        elif isinstance(form, FirstRunForm) and not isinstance(e, ServerUnreachable):
            await self._perhaps_set_up(one_line(e.detail))

    async def _perhaps_set_up(self, reason: str) -> None:
        """Somebody else may have made the first account in the meantime: then this is the wrong form."""
        from novacron_core.api.health import INFO

        if self._client is not None:
            try:
                about = await self._client.call(INFO)
            except NovaCronError:
                return  # the first refusal is on the screen already
            if not about.setup_required:
                self._show_form(SignInForm(), reason)

    async def _wait_out(self, form: EntryForm, e: RateLimited) -> None:
        """Count the seconds down, then open the form again."""
        left = max(1, round(e.retry_after_s or 30))
        while left > 0:
            form.say(f"too many attempts: try again in {left} s", "warn")
            await asyncio.sleep(1)
            left -= 1
        form.hold(False)
        form.say("try again now", "quiet")

    def _show_keys(self) -> None:
        keys = [Piece("enter", "key"), Piece(" next, send   ", "plain")] if self._form else []
        if self._failed:
            keys += [Piece("ctrl+r", "key"), Piece(" try again   ", "plain")]
        self.query_one("#keys", Line).show([*keys, Piece("ctrl+q", "key"), Piece(" quit", "plain")])


def _registration(sent: EntryForm.Sent) -> access.Register:
    return access.Register(username=sent.username, password=sent.password, setup_token=sent.setup_token)


def _import_client() -> None:
    import novacron_core.client  # noqa: F401 - a quarter second, so off the event loop
