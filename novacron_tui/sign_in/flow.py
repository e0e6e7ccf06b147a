"""The sign-in flow: connect to the server, create its first administrator if needed, and sign in. Has no UI of its
own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from novacron_core.api import access
from novacron_core.api.access import User
from novacron_core.api.health import INFO
from novacron_core.errors import NovaCronError, RateLimited, ServerUnreachable, TotpRequired, Unauthenticated
from novacron_core.values.roles import SET_UP_ONLY
from novacron_tui.servers.server_ref import OwnAccount, ServerRef
from novacron_tui.sign_in.forms import FORMS, EntryForm, FirstRunForm, SignInForm
from novacron_tui.sign_in.server_watch import ServerWatch
from novacron_tui.sign_in.ways import INVITATION, REGISTER, RESET, SIGN_IN
from novacron_tui.terminal.safe_text import clean, one_line
from novacron_tui.widgets.form import Refused
from novacron_tui.widgets.text_bar import Piece

if TYPE_CHECKING:  # the client imports httpx and websockets: done while the server starts
    from novacron_core.client import Client

Connect = Callable[[ServerRef], "Client"]
Enter = Callable[[ServerRef, "Client", User], None]


class View(Protocol):
    """The methods of the screen that the flow uses."""

    def show_progress(self) -> Callable[[], None]: ...

    def show_failure(self, why: str) -> None: ...

    def show_server(self, server: ServerRef) -> None: ...

    def show_no_form(self) -> None: ...

    async def show(self, form: EntryForm, reason: str, *, expected: bool) -> None: ...

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None: ...

    async def set_up_second_factor(self, client: Client, username: str, password: str) -> User | None: ...


class SignInFlow:
    """`screen` shows the progress; `enter` is called after signing in. Methods that call a server run in a worker of
    the screen."""

    def __init__(
        self,
        screen: View,
        open_server: Callable[[], Awaitable[ServerRef]],
        connect: Connect,
        enter: Enter,
        token: str = "",
    ) -> None:
        self._screen = screen
        self._open_server = open_server
        self._connect = connect
        self._enter = enter
        self._token = token
        self._server: ServerRef | None = None
        self._client: Client | None = None
        self._form: EntryForm | None = None
        self._watch: ServerWatch | None = None
        self._signed_in = False
        self._registration = False

    async def sign_in_again(self, server: ServerRef, client: Client, username: str, reason: str) -> None:
        """Only sign in: the server is already connected."""
        self._server, self._client = server, client
        self._screen.show_server(server)
        if server.account is not None:
            await self.reach()
        else:
            await self._show(self._sign_in_form(username), reason)

    async def reach(self) -> None:
        """Connect to the server and show the form it requires."""
        stop = self._screen.show_progress()
        try:
            server = self._server = await self._open_server()
            self._screen.show_server(server)
            client = self._client = await self._new_client(server)
            await self._choose_form(server, client)
        except (NovaCronError, OSError) as e:
            why = e.detail if isinstance(e, NovaCronError) else str(e) or type(e).__name__
            self._screen.show_failure(clean(why))
        finally:
            stop()

    async def _new_client(self, server: ServerRef) -> Client:
        if self._client is not None:
            await self._client.close()
        await asyncio.to_thread(_import_client)
        return await asyncio.to_thread(self._connect, server)  # it may ask a keyring

    async def _choose_form(self, server: ServerRef, client: Client) -> None:
        info = await client.call(INFO)
        self._registration = info.registration == "open"
        if server.account is not None:
            await self._enter_by_account(server, client, server.account, create=info.setup_required)
        elif info.setup_required:
            token = server.setup_token() if server.setup_token else None
            await self._show(FirstRunForm(token or ""), expected=False)
        elif self._token:
            client.credentials.drop()  # a given token takes precedence over the saved session
            client.credentials.token = self._token
            await self._enter_by_token(server, client, "The token was rejected: ")
        elif client.credentials.refresh_token:
            await self._enter_by_token(server, client, "", kept=True)
        else:
            await self._show(self._sign_in_form(), _why_unread(client))

    async def _enter_by_token(self, server: ServerRef, client: Client, refused: str, *, kept: bool = False) -> None:
        try:
            validation = await client.call(access.VALIDATE)
        except Unauthenticated as e:
            client.credentials.drop()
            await self._show(self._sign_in_form(), f"{refused}{one_line(e.detail)}")
            return
        if _must_set_up(validation.user):  # which takes the password
            client.credentials.drop()
            await self._show(self._sign_in_form(validation.user.username), _requires(validation.user))
            return
        if kept:
            self._screen.show_no_form()
        self._enter_console(server, client, validation.user)

    async def _enter_by_account(self, server: ServerRef, client: Client, account: OwnAccount, *, create: bool) -> None:
        """Create the account of a server that nobody else uses, and sign in."""
        if create:
            token = server.setup_token() if server.setup_token else None
            body = access.Register(username=account.username, password=account.password, setup_token=token or "")
            await client.call(access.REGISTER, body=body)
        client.credentials.drop()
        tokens = await client.sign_in(account.username, account.password)
        self._enter_console(server, client, tokens.user)

    async def _show(self, form: EntryForm, reason: str = "", *, expected: bool = True) -> None:
        self._form = form
        await self._screen.show(form, clean(reason), expected=expected)

    def _enter_console(self, server: ServerRef, client: Client, user: User) -> None:
        self._signed_in = True
        self._enter(server, client, user)

    # -- the ways in -------------------------------------------------------------------------------------------------

    async def show_way(self, name: str) -> None:
        """Show the form of another way in; the user name goes along."""
        form = self._form
        if form is None or form.submitting or name not in {way.name for way in form.ways}:
            return
        username = form.fields["username"].value.strip()
        await self._show(self._sign_in_form(username) if name == SIGN_IN.name else FORMS[name](username))

    def _sign_in_form(self, username: str = "", password: str = "") -> SignInForm:
        ways = (INVITATION, RESET, REGISTER) if self._registration else (INVITATION, RESET)
        server = self._server
        if server is None:
            return SignInForm(username, password=password, ways=ways)
        return SignInForm(username or server.user, password=password, may_stay=server.kept is not None, ways=ways)

    # -- while a form is open ----------------------------------------------------------------------------------------

    def check_server(self) -> None:
        """Keep the server running while the form is being filled in."""
        form, client = self._form, self._client
        if self._signed_in or form is None or not form.is_mounted or form.submitting or client is None:
            return
        if self._watch is None:
            self._watch = ServerWatch(self._open_server, client, say=self._show_status, moved=self._server_moved)
        self._screen.run_in_background(self._watch.check())

    def _show_status(self, text: str, tone: str) -> None:
        if self._form is not None and not self._form.submitting:
            self._form.say([Piece(text, tone)])

    def _server_moved(self, server: ServerRef) -> None:
        self._server = server
        self._screen.show_server(server)
        if isinstance(self._form, FirstRunForm) and server.setup_token:
            self._form.offer(server.setup_token() or "")

    # -- submitting --------------------------------------------------------------------------------------------------

    async def send(self, sent: EntryForm.Sent) -> None:
        """Send the form to the server."""
        form, client, server = self._form, self._client, self._server
        if form is None or client is None or server is None:
            return
        form.set_submitting(True)
        form.say([Piece(form.progress, "quiet")])
        try:
            if sent.first is not None:
                endpoint, body = sent.first
                await client.call(endpoint, body=body)
        except NovaCronError as e:
            await self._failed(form, client, e)
            return
        try:
            client.credentials.drop()  # of an ended session
            tokens = await client.sign_in(sent.username, sent.password, sent.totp)
            user: User | None = tokens.user
            if _must_set_up(tokens.user):
                form.set_submitting(False)  # while dialogs are open, the server is kept running
                user = await self._screen.set_up_second_factor(client, sent.username, sent.password)
        except NovaCronError as e:
            if sent.first is None:
                await self._failed(form, client, e)
            else:
                await self._go_on_signing_in(form, sent, e)
            return
        if user is None:
            await self._left_without_second_factor(client, tokens.user, sent)
            return
        form.say([])
        server = self._server or server
        await _remember(server, client, tokens, stay=sent.stay)
        self._enter_console(server, client, user)

    async def _go_on_signing_in(self, before: EntryForm, sent: EntryForm.Sent, e: NovaCronError) -> None:
        """The first step is done, and its code used up: only signing in is left."""
        form = self._sign_in_form(sent.username, sent.password)
        await self._show(form, f"{before.done}. {one_line(e.detail)}")
        if isinstance(e, TotpRequired):
            await form.ask_code()

    async def _left_without_second_factor(self, client: Client, user: User, sent: EntryForm.Sent) -> None:
        with suppress(NovaCronError):
            await client.sign_out()
        await self._show(self._sign_in_form(sent.username, sent.password), _requires(user))

    async def _failed(self, form: EntryForm, client: Client, e: NovaCronError) -> None:
        if isinstance(e, RateLimited):
            await self._wait_for_rate_limit(form, e)
            return
        form.set_submitting(False)
        await self._refused(form, client, e)

    async def _refused(self, form: EntryForm, client: Client, e: NovaCronError) -> None:
        if isinstance(form, SignInForm) and isinstance(e, TotpRequired):
            is_new = await form.ask_code()
            form.say([] if is_new else [Piece(one_line(e.detail), "bad")])
            return
        form.refuse(Refused(one_line(e.detail), {error.field: one_line(error.message) for error in e.fields}))
        if e.fields:
            return
        if isinstance(form, SignInForm) and isinstance(e, Unauthenticated):
            form.clear_password()
        elif isinstance(form, FirstRunForm) and not isinstance(e, ServerUnreachable):
            await self._check_set_up(client, one_line(e.detail))

    async def _check_set_up(self, client: Client, reason: str) -> None:
        """Show the sign-in form if another user has created the first account meanwhile."""
        try:
            info = await client.call(INFO)
        except NovaCronError:
            return  # the first error is already shown
        if not info.setup_required:
            await self._show(self._sign_in_form(), reason)

    async def _wait_for_rate_limit(self, form: EntryForm, e: RateLimited) -> None:
        """Count down the seconds, then enable the form again."""
        left = max(1, round(e.retry_after_s or 30))
        while left > 0:
            form.say([Piece(f"Too many attempts. Try again in {left} s", "warn")])
            await asyncio.sleep(1)
            left -= 1
        form.set_submitting(False)
        form.say([Piece("You can try again", "quiet")])


def _must_set_up(user: User) -> bool:
    """Whether the user's tenant requires a second factor that they do not have."""
    return user.limits is not None and not user.limits - SET_UP_ONLY


def _requires(user: User) -> str:
    return f"the tenant {one_line(user.tenant)} requires a second factor: sign in with your password and set one up"


def _why_unread(client: Client) -> str:
    """Why the saved session could not be read; empty when it was, or there is none."""
    from novacron_tui.servers.shared_credentials import SharedCredentials

    unread = client.credentials.unread if isinstance(client.credentials, SharedCredentials) else None
    return one_line(unread.detail) if unread else ""


async def _remember(server: ServerRef, client: Client, tokens: access.Tokens, *, stay: bool) -> None:
    """Save the profile, and the session if `stay`. Failing to write does not prevent signing in."""
    from novacron_tui.servers.shared_credentials import SharedCredentials

    # What could not be saved is asked for again next time.
    if server.remember:
        with suppress(NovaCronError, OSError):
            await asyncio.to_thread(server.remember, tokens.user.username)  # waits for other processes
    if stay and isinstance(client.credentials, SharedCredentials):
        with suppress(NovaCronError, OSError):
            await client.credentials.keep(tokens)


def _import_client() -> None:
    import novacron_core.client  # noqa: F401 - takes 0.25 s, so not on the event loop
