"""The way in: reach the server, make its first administrator if it has none, and sign in. It shows nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from novacron_core.api import access
from novacron_core.api.access import User
from novacron_core.api.health import INFO
from novacron_core.errors import NovaCronError, RateLimited, ServerUnreachable, Unauthenticated
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.sign_in.forms import EntryForm, FirstRunForm, SignInForm
from novacron_tui.sign_in.server_watch import ServerWatch
from novacron_tui.terminal.safe_text import clean, one_line

if TYPE_CHECKING:  # the client brings httpx and websockets: imported while the server starts
    from novacron_core.client import Client

Connect = Callable[[ServerRef], "Client"]
Enter = Callable[[ServerRef, "Client", User], None]


class View(Protocol):
    """The screen, as far as the flow needs it."""

    def begin(self) -> Callable[[], None]: ...

    def fail(self, why: str) -> None: ...

    def name_place(self, place: ServerRef) -> None: ...

    async def show(self, form: EntryForm, reason: str, *, expected: bool) -> None: ...

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None: ...


class SignInFlow:
    """`screen` shows what goes on; `enter` is called once somebody is signed in. Each method that talks to a server
    runs in a worker of the screen."""

    def __init__(
        self,
        screen: View,
        open_place: Callable[[], Awaitable[ServerRef]],
        connect: Connect,
        enter: Enter,
        token: str = "",
    ) -> None:
        self._screen = screen
        self._open_place = open_place
        self._connect = connect
        self._enter = enter
        self._token = token
        self._place: ServerRef | None = None
        self._client: Client | None = None
        self._form: EntryForm | None = None
        self._watch: ServerWatch | None = None
        self._through = False

    async def again(self, place: ServerRef, client: Client, username: str, reason: str) -> None:
        """The server was reached before: only sign in."""
        self._place, self._client = place, client
        self._screen.name_place(place)
        await self._show(_sign_in_form(place, username), reason)

    async def reach(self) -> None:
        """Find the server, and see which form it needs."""
        stop = self._screen.begin()
        try:
            place = self._place = await self._open_place()
            self._screen.name_place(place)
            client = self._client = await self._new_client(place)
            await self._look_in(place, client)
        except (NovaCronError, OSError) as e:
            why = e.detail if isinstance(e, NovaCronError) else str(e) or type(e).__name__
            self._screen.fail(clean(why))
        finally:
            stop()

    async def _new_client(self, place: ServerRef) -> Client:
        if self._client is not None:
            await self._client.close()
        await asyncio.to_thread(_import_client)
        return self._connect(place)

    async def _look_in(self, place: ServerRef, client: Client) -> None:
        about = await client.call(INFO)
        if about.setup_required:
            token = place.setup_token() if place.setup_token else None
            await self._show(FirstRunForm(token or ""), expected=False)
        elif self._token:
            client.credentials.drop()  # whoever gives a token does not mean the session that is kept here
            client.credentials.token = self._token
            await self._enter_by_token(place, client, "the token is not accepted: ")
        elif client.credentials.refresh_token:
            await self._enter_by_token(place, client, "")
        else:
            await self._show(_sign_in_form(place))

    async def _enter_by_token(self, place: ServerRef, client: Client, refused: str) -> None:
        try:
            who = await client.call(access.VALIDATE)
        except Unauthenticated as e:
            client.credentials.drop()
            await self._show(_sign_in_form(place), f"{refused}{one_line(e.detail)}")
            return
        self._go_through(place, client, who.user)

    async def _show(self, form: EntryForm, reason: str = "", *, expected: bool = True) -> None:
        self._form = form
        await self._screen.show(form, clean(reason), expected=expected)

    def _go_through(self, place: ServerRef, client: Client, who: User) -> None:
        self._through = True
        self._enter(place, client, who)

    # -- while somebody thinks ---------------------------------------------------------------------------------------

    def look(self) -> None:
        """A server must not stop because somebody takes their time with a password."""
        form, client = self._form, self._client
        if self._through or form is None or not form.is_mounted or form.held or client is None:
            return
        if self._watch is None:
            self._watch = ServerWatch(self._open_place, client, say=self._say, moved=self._moved)
        self._screen.run_in_background(self._watch.look())

    def _say(self, text: str, tone: str) -> None:
        if self._form is not None and not self._form.held:
            self._form.say(text, tone)

    def _moved(self, place: ServerRef) -> None:
        self._place = place
        self._screen.name_place(place)
        if isinstance(self._form, FirstRunForm) and place.setup_token:
            self._form.offer(place.setup_token() or "")

    # -- sending -----------------------------------------------------------------------------------------------------

    async def send(self, sent: EntryForm.Sent) -> None:
        """What the form says, to the server."""
        form, client, place = self._form, self._client, self._place
        if form is None or client is None or place is None:
            return
        form.hold(True)
        form.say("one moment…", "quiet")
        try:
            if isinstance(form, FirstRunForm):
                await client.call(access.REGISTER, body=_registration(sent))
            client.credentials.drop()  # what is left of a session that ended
            tokens = await client.sign_in(sent.username, sent.password)
        except RateLimited as e:
            await self._wait_out(form, e)
            return
        except NovaCronError as e:
            form.hold(False)
            await self._refused(form, client, e)
            return
        form.say("")
        place = self._place or place
        await _remember(place, client, tokens, stay=sent.stay)
        self._go_through(place, client, tokens.user)

    async def _refused(self, form: EntryForm, client: Client, e: NovaCronError) -> None:
        if form.blame(e.fields):
            form.say("")
            return
        form.say(one_line(e.detail))
        if isinstance(form, SignInForm) and isinstance(e, Unauthenticated):
            form.refused()
        elif isinstance(form, FirstRunForm) and not isinstance(e, ServerUnreachable):
            await self._perhaps_set_up(client, one_line(e.detail))

    async def _perhaps_set_up(self, client: Client, reason: str) -> None:
        """Somebody else may have made the first account in the meantime: then this is the wrong form."""
        try:
            about = await client.call(INFO)
        except NovaCronError:
            return  # the first refusal is on the screen already
        if not about.setup_required:
            await self._show(_sign_in_form(self._place), reason)

    async def _wait_out(self, form: EntryForm, e: RateLimited) -> None:
        """Count the seconds down, then open the form again."""
        left = max(1, round(e.retry_after_s or 30))
        while left > 0:
            form.say(f"too many attempts: try again in {left} s", "warn")
            await asyncio.sleep(1)
            left -= 1
        form.hold(False)
        form.say("try again now", "quiet")


def _registration(sent: EntryForm.Sent) -> access.Register:
    return access.Register(username=sent.username, password=sent.password, setup_token=sent.setup_token)


def _sign_in_form(place: ServerRef | None, username: str = "") -> SignInForm:
    if place is None:
        return SignInForm(username)
    return SignInForm(username or place.user, may_stay=place.kept is not None)


async def _remember(place: ServerRef, client: Client, tokens: access.Tokens, *, stay: bool) -> None:
    """The profile, and the session too when it shall stay. A home that cannot be written to keeps nobody out."""
    from novacron_tui.servers.shared_credentials import SharedCredentials

    try:
        if place.remember:
            place.remember(tokens.user.username)
        if stay and isinstance(client.credentials, SharedCredentials):
            await client.credentials.keep(tokens)
    except (NovaCronError, OSError):
        pass  # asked again the next time


def _import_client() -> None:
    import novacron_core.client  # noqa: F401 - a quarter second, so off the event loop
