"""The console app: themes, sign-in, screens, and the event stream that keeps them current."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from novacron_tui.screens.navigation import Go
from novacron_tui.screens.router import action_elsewhere, stacked_screen
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.sign_in.screen import SignInScreen
from novacron_tui.terminal import window
from novacron_tui.terminal.capabilities import lacks_color
from novacron_tui.terminal.painting import Difference, Painted
from novacron_tui.terminal.themes import MONO, PALETTES, THEMES, resolve_theme, with_colors_of
from novacron_tui.terminal.type_ahead import (
    Forget,
    HabitIgnored,
    OpenedWithoutForm,
    PasteIgnored,
    TakesEveryKey,
    TypeAhead,
    taker_of_keys,
)
from novacron_tui.terminal.whole_paste import WholePaste

if TYPE_CHECKING:  # the API, the client and the screens are imported after the first paint
    from textual.command import Provider
    from textual.driver import Driver

    from novacron_core.api.access import User
    from novacron_core.client import Client
    from novacron_tui.connection.presence import Presence
    from novacron_tui.connection.session import Session, Updates
    from novacron_tui.screens.base import BaseScreen
    from novacron_tui.terminal.bursts import UnmarkedPaste

_CHECK_EVERY_S, _REOPEN_AFTER_S = 1.0, 4.0
"""How often the connection is checked, and after how long offline the server is opened again."""
_INCOMPATIBLE_RETRY_S = 15.0
_SET_UP_RETRY_S = 1.0
"""Delay before retrying after an incompatible answer: the server may be in the middle of an upgrade."""


def connect(server: ServerRef) -> Client:
    """A client that makes every response safe for a terminal."""
    from novacron_core.client import Client
    from novacron_tui.servers.shared_credentials import SharedCredentials
    from novacron_tui.terminal.safe_text import clean_json

    credentials = SharedCredentials(server.kept) if server.kept else None
    return Client(
        server.url,
        credentials,
        clean=clean_json,
        certificate=server.certificate,
        verify=server.verify,
        read_only=server.read_only,
    )


def _go_to_vm() -> type[Provider]:
    from novacron_tui.screens.palette import GoToVM

    return GoToVM


class Console(App[None]):
    """`open_server` finds or starts the server; it may raise NovaCronError or OSError.

    `token` signs in without the form. `theme` is a name known to `themes.resolve_theme` (else ValueError); with
    NO_COLOR in the environment, and on a terminal without colours, the default is mono. `ascii` uses ASCII symbols only. `connect`, `updates` and `now`
    replace the client, the event stream and the clock.
    """

    TITLE = "NovaCron"
    COMMANDS = App.COMMANDS | {_go_to_vm}
    CSS = """
    SearchIcon { display: none; }
    CommandPalette #--input { border: none; padding-left: 1; }
    CommandPalette CommandList { border-bottom: none; }
    """
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(
        self,
        open_server: Callable[[], Awaitable[ServerRef]],
        *,
        token: str = "",
        theme: str = "",
        ascii: bool = False,
        connect: Callable[[ServerRef], Client] = connect,
        updates: Updates | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        mono = bool(os.environ.get("NO_COLOR")) or lacks_color()
        super().__init__()
        for known in (*THEMES, *PALETTES):
            self.register_theme(known)
        self.theme = MONO if mono and not theme else with_colors_of(resolve_theme(theme), self.console.color_system)
        self._theme_is_given = mono or bool(theme)
        self.ascii_only = ascii
        self.session: Session | None = None
        self.type_ahead = TypeAhead(self)
        self.touched_at = 0.0
        """When a key or the mouse was last used, by time.monotonic()."""
        self._open_server = open_server
        self._token = token
        self._connect = connect
        self._updates = updates
        self._now = now
        self._presence: Presence | None = None
        self._painted = Painted()
        self._title = ""

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Textual's: of what is to be displayed only the cells are written that the terminal does not show yet."""
        if isinstance(renderable, LayoutUpdate | ChopsUpdate) and not self.is_headless:
            renderable = Difference(renderable, self._painted)
        super()._display(screen, renderable)

    def show_title(self, text: str) -> None:
        """Set the title of the terminal's window."""
        if text != self._title and window.takes_title():
            self._title = text
            self._tell_terminal(window.title(text))

    def ring(self) -> None:
        """Ring the terminal's bell, unless the operator wants none."""
        if window.rings():
            self._tell_terminal(window.BELL)

    def copy_to_clipboard(self, text: str) -> None:
        """Textual's; inside tmux and screen too."""
        self._clipboard = text
        self._tell_terminal(window.copying(text))

    def _tell_terminal(self, sequence: str) -> None:
        if self._driver is not None:
            self._driver.write(sequence)

    def repaint(self) -> None:
        """Write the whole screen again: another program may have written to the terminal."""
        self._title = ""
        self._painted.forget()
        self.refresh(layout=True)

    @on(events.Resize)
    def _terminal_resized(self) -> None:
        self._painted.forget()  # terminals differ in what they keep where

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        if driver.__name__ != "LinuxDriver":  # another operating system, or a driver named in the environment
            return driver
        from novacron_tui.terminal.keyboard import TerminalDriver

        return TerminalDriver

    async def action_quit(self) -> None:
        """Leave. What the server goes on with is printed, because nothing of it is lost."""
        from novacron_tui.vms.bulk import goes_on

        self.exit(message=goes_on(self.session) if self.session else None)

    def get_default_screen(self) -> Screen[None]:
        return SignInScreen(
            self._open_server, self._connect, self._on_signed_in, token=self._token, plain=self.ascii_only
        )

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.repaint())

    async def on_event(self, event: events.Event) -> None:
        """Key and paste events are deferred until the previous one has been handled completely."""
        if isinstance(event, events.InputEvent) and not self.screen_stack:
            return  # the app is exiting with keys left in a burst: without a screen Textual would crash
        if isinstance(event, events.Key | events.MouseDown | events.MouseScrollDown | events.MouseScrollUp):
            self.touched_at = monotonic()
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            if self.type_ahead.defers(event):
                return
            if (taker := taker_of_keys(self)) is not None:
                taker.take_key(event) if isinstance(event, events.Key) else self._paste_whole(taker, event)
                self.type_ahead.taken()
                return
        if isinstance(event, events.Paste) and not event.is_forwarded and not self.type_ahead.in_field:
            self.post_message(PasteIgnored())
        await super().on_event(event)

    @on(Forget)
    def _drop_typed_ahead(self) -> None:
        self.type_ahead.clear()

    @on(OpenedWithoutForm)
    def _expect_habit(self) -> None:
        self.type_ahead.opened_without_form()

    @on(HabitIgnored)
    def _show_habit_ignored(self) -> None:
        self._show_warning("Already signed in: keys are ignored until you pause for a second")

    def _paste_whole(self, taker: TakesEveryKey, event: events.Paste) -> None:
        if not isinstance(event, WholePaste):
            return taker.take_paste(event.text)
        if event.dropped:
            self.notify(f"the last {event.dropped:,} characters of what was pasted were dropped", severity="warning")
        return taker.take_paste(event.whole)

    def on_unmarked_paste(self, event: UnmarkedPaste) -> None:
        """Found by name: it is posted by the keyboard."""
        if (taker := taker_of_keys(self)) is not None:
            taker.take_pasted_keys(event.keys)
        elif self.screen_stack:
            self.type_ahead.paste(event.keys)

    @on(PasteIgnored)
    def _show_paste_ignored(self, event: PasteIgnored) -> None:
        if event.partly:
            self._show_warning("Only the first line of the pasted text was taken")
        else:
            self._show_warning("Pasted text was ignored: paste it into a text field, such as / or :")

    def on_paste_lost(self) -> None:
        """Found by name: the keyboard module is platform-specific and not imported here."""
        self.notify("The paste was incomplete and was dropped. Paste it again.", severity="warning")

    def _show_warning(self, sentence: str) -> None:
        self._show_line(sentence, "warn")

    def _show_line(self, sentence: str, tone: str) -> None:
        """Show a sentence in the status line, also of a screen below a dialog."""
        from novacron_tui.screens.base import BaseScreen

        below = next((screen for screen in reversed(self.screen_stack) if isinstance(screen, BaseScreen)), None)
        if below is not None:
            below.say(sentence, tone)
        else:
            self.notify(sentence, severity="warning")

    def action_elsewhere(self, name: str) -> str:
        """Which other screen has an action, as a sentence; empty for none."""
        return action_elsewhere(name)

    def push_screen(self, screen: Any, *args: Any, **more: Any) -> Any:
        """Tell the type-ahead first. Before sign-in nothing is typed for a screen below."""
        if self.session is not None:
            self.type_ahead.screen_opened(screen)
        return super().push_screen(screen, *args, **more)

    @on(Go)
    def _go_to_screen(self, event: Go) -> None:
        """Switch screens. The VM list is at the bottom of the stack; the other screens are pushed over what is open."""
        from novacron_tui.screens.base import BaseScreen
        from novacron_tui.screens.vm_list import VMListScreen

        if not isinstance(self.screen, BaseScreen):
            return
        if (kind := stacked_screen(event.screen)) is not None:
            self._show_screen(kind, self.screen)
            return
        while isinstance(self.screen, BaseScreen) and not isinstance(self.screen, VMListScreen):
            self.pop_screen()
        if event.vm and isinstance(self.screen, VMListScreen):
            self.screen.go_to(event.vm)
        if event.only and isinstance(self.screen, VMListScreen):
            self.screen.pane.filter.put(event.only)

    def _show_screen(self, kind: type[BaseScreen], current: BaseScreen) -> None:
        """Show a screen in the state in which it was left. If it is already on the stack, pop back to it, so that
        escape does not lead through duplicates."""
        if not any(type(screen) is kind for screen in self.screen_stack):
            screen, last = kind(current.session, current.glyphs), current.session.last_screens
            if kind in last:
                screen.restore_from(last[kind])
            else:
                screen.begin_as_left()
            last[kind] = screen
            self.push_screen(screen)
        while type(self.screen) is not kind:
            self.pop_screen()

    @property
    def fault(self) -> Exception | None:
        """The unexpected exception that ended the console."""
        return self._exception

    def _fatal_error(self) -> None:
        """Textual would print the local variables of every frame, including passwords and tokens. The caller of the app
        reports the exception instead."""
        self._close_messages_no_wait()

    # -- signing in ------------------------------------------------------------------------------------------------

    def _on_signed_in(self, server: ServerRef, client: Client, user: User) -> None:
        """Signed in: open the VM list the first time, else return to the screen that was open."""
        if self.session is None:
            self._open_session(server, client, user)
        elif self.session.user.id != user.id:
            self._switch_user(server, client, user)
        else:
            self.session.user, self.session.server = user, server
            self.pop_screen()
        self.run_worker(self._follow_stream(), group="stream", exclusive=True)

    def _open_session(self, server: ServerRef, client: Client, user: User) -> None:
        from novacron_tui.connection.session import Session
        from novacron_tui.connection.store import Store
        from novacron_tui.screens.vm_list import VMListScreen
        from novacron_tui.terminal.glyphs import FINE, PLAIN

        self.session = Session(
            server,
            client,
            user,
            Store(self._now),
            updates=self._updates,
            on_rights=lambda sentence: self._show_line(sentence, "warn"),
        )
        self._show_chosen_theme(self.session)
        screen = VMListScreen(self.session, PLAIN if self.ascii_only else FINE)
        screen.begin_as_left()
        self.push_screen(screen)
        if server.note:
            screen.call_after_refresh(screen.say, server.note)
        self.run_worker(self._reopen_when_lost(self.session), group="place", exclusive=True)
        self.run_worker(self._note_presence(self.session), group="presence", exclusive=True)
        self.run_worker(self.session.arranged.keep(), group="arrangement", exclusive=True)

    def _show_chosen_theme(self, session: Session) -> None:
        """The theme that this user has chosen before, unless another was asked for now."""
        with suppress(ValueError):  # one that this version does not have
            if (chosen := session.arranged.now.theme) and not self._theme_is_given:
                self.theme = with_colors_of(resolve_theme(chosen), self.console.color_system)

    async def _note_presence(self, session: Session) -> None:
        """Say what happened since this user was last here, and note every minute that the user is here."""
        from novacron_tui.connection.presence import Presence

        if session.server.kept is None:
            return
        self._presence = presence = Presence(session, session.server.kept)
        if (line := await presence.begin()) is not None:
            self._show_line(*line)
        await presence.keep()

    def _switch_user(self, server: ServerRef, client: Client, user: User) -> None:
        """Another user signed in: close all screens of the previous one."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._open_session(server, client, user)

    async def _follow_stream(self) -> None:
        from novacron_core.errors import IncompatibleServer, Unauthenticated
        from novacron_core.values.roles import SET_UP_ONLY

        session = self.session
        while session is not None:
            try:
                await session.follow_stream()
                return
            except Unauthenticated as e:
                if session.user.limits == SET_UP_ONLY:
                    # Signing in again changes nothing: the second factor has to be set up, which needs no stream.
                    session.store.set_disconnected("your tenant requires a second factor", _SET_UP_RETRY_S)
                    session.changed()
                    await asyncio.sleep(_SET_UP_RETRY_S)
                    continue
                session.store.set_disconnected("signed out", _INCOMPATIBLE_RETRY_S)
                self._sign_in_again(session, e.detail)
                return
            except IncompatibleServer as e:
                session.store.set_disconnected(e.detail, _INCOMPATIBLE_RETRY_S)
                session.changed()
                await asyncio.sleep(_INCOMPATIBLE_RETRY_S)

    async def _reopen_when_lost(self, session: Session) -> None:
        """While offline for long, open the server again: a bundled server that stopped is restarted on another port. A
        server that is only a URL does not change, and the event stream keeps retrying."""
        from novacron_tui.connection.store import ConnectionState

        lost_since: float | None = None
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            if session.store.connection is not ConnectionState.OFFLINE or isinstance(self.screen, SignInScreen):
                lost_since = None
                continue
            lost_since = lost_since or monotonic()
            if monotonic() - lost_since >= _REOPEN_AFTER_S:
                await self._reopen_server(session)
                lost_since = None

    async def _reopen_server(self, session: Session) -> None:
        from novacron_core.errors import NovaCronError
        from novacron_tui.terminal.safe_text import clean

        try:
            server = await self._open_server()
        except (NovaCronError, OSError) as e:
            self._show_error(clean(e.detail if isinstance(e, NovaCronError) else str(e)))
            return
        if server.url != session.server.url:
            session.use_server(server)

    def _show_error(self, trouble: str) -> None:
        from novacron_tui.screens.base import BaseScreen

        if isinstance(self.screen, BaseScreen):
            self.screen.say(trouble, "bad")

    def _sign_in_again(self, session: Session, reason: str) -> None:
        """Push the sign-in screen; the open screens stay below it."""
        self.push_screen(
            SignInScreen(
                self._open_server,
                self._connect,
                self._on_signed_in,
                plain=self.ascii_only,
                known=(session.server, session.client, session.user.username),
                reason=reason,
            )
        )

    # -- the palette -----------------------------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The actions of the screen below and the themes, from the same data as the footer and the help."""
        from novacron_tui.screens.base import BaseScreen
        from novacron_tui.screens.global_actions import PALETTE

        if isinstance(screen, BaseScreen):
            for action in screen.ACTIONS:
                if action is not PALETTE:
                    key = f" ({action.key})" if action.key else ""
                    yield SystemCommand(f"{action.label}{key}", action.help, partial(screen.start, action))
        for theme in THEMES:
            yield SystemCommand(f"theme: {theme.name}", "Change the theme", lambda n=theme.name: self.choose_theme(n))

    def choose_theme(self, theme: str) -> None:
        """Show a theme, by its full name, and remember that this user wants it."""
        self.theme = with_colors_of(theme, self.console.color_system)
        if self.session is not None:
            self.session.arranged.note_theme(theme)

    async def on_unmount(self) -> None:
        """End the session that the form started, but not a saved session, nor that of a token passed in."""
        self.type_ahead.close()
        if self.session is None:
            return
        if self._presence is not None:
            self._presence.note()
        self.session.arranged.write()
        credentials = self.session.client.credentials
        if credentials.shared or (self._token and credentials.token == self._token):
            await self.session.client.close()
        else:
            await self.session.sign_out()
