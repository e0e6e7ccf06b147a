"""The console: themes, the way from the doors to home, and the stream that keeps everything current."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from novacron_tui.screens.navigation import Go
from novacron_tui.screens.router import stacked_screen
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.sign_in.screen import SignInScreen
from novacron_tui.terminal.themes import MONO, THEMES, named
from novacron_tui.terminal.type_ahead import Forget, TypeAhead

if TYPE_CHECKING:  # the contract, the client, the screens: nothing of it before the first paint
    from textual.command import Provider
    from textual.driver import Driver

    from novacron_core.api.access import User
    from novacron_core.client import Client
    from novacron_tui.connection.session import Session, Updates
    from novacron_tui.screens.base import BaseScreen

_LOOK_S, _LOST_S = 1.0, 4.0
"""How often the line is looked at, and after how long without it the place is opened again."""
_AGAIN_S = 15.0
"""How long after an incompatible answer the server is asked again: it may be in the middle of an upgrade."""


def connect(place: ServerRef) -> Client:
    """A client whose every answer is made harmless for a terminal."""
    from novacron_core.client import Client
    from novacron_tui.servers.shared_credentials import SharedCredentials
    from novacron_tui.terminal.safe_text import clean_json

    credentials = SharedCredentials(place.kept) if place.kept else None
    return Client(place.url, credentials, clean=clean_json, certificate=place.certificate)


def _go_to_vm() -> type[Provider]:
    from novacron_tui.screens.palette import GoToVM

    return GoToVM


class Console(App[None]):
    """`open_place` finds, or starts, the server; it may raise NovaCronError or OSError with a reason.

    `token` signs in without the form. `theme` is a name that themes.named knows (else ValueError); NO_COLOR in the environment means mono.
    `ascii` keeps to ASCII signs. `connect` and `updates` replace how the server is reached, `now` the clock.
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
        open_place: Callable[[], Awaitable[ServerRef]],
        *,
        token: str = "",
        theme: str = "",
        ascii: bool = False,
        connect: Callable[[ServerRef], Client] = connect,
        updates: Updates | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        mono = bool(os.environ.get("NO_COLOR"))
        super().__init__()
        for known in THEMES:
            self.register_theme(known)
        self.theme = MONO if mono and not theme else named(theme)
        self._ascii = ascii
        self.session: Session | None = None
        self.type_ahead = TypeAhead(self)
        self._open_place = open_place
        self._token = token
        self._connect = connect
        self._updates = updates
        self._now = now

    def get_driver_class(self) -> type[Driver]:
        known = super().get_driver_class()
        if known.__name__ != "LinuxDriver":  # a terminal of another system, or a driver that the environment names
            return known
        from novacron_tui.terminal.keyboard import TerminalDriver

        return TerminalDriver

    def get_default_screen(self) -> Screen[None]:
        return SignInScreen(self._open_place, self._connect, self._enter, token=self._token, plain=self._ascii)

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))  # the terminal shows something else

    async def on_event(self, event: events.Event) -> None:
        """A key or a paste waits here for its turn: what the one before it does comes first."""
        if isinstance(event, events.InputEvent) and not self.screen_stack:
            return  # it is leaving, and a burst has keys left: Textual would look for a screen and crash
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded and self.type_ahead.keeps(event):
            return
        await super().on_event(event)

    @on(Forget)
    def _forget_typed(self) -> None:
        self.type_ahead.forget()

    def on_paste_lost(self) -> None:
        """By its name: the keyboard's module is one terminal's and not imported here."""
        self.notify("A paste had no end and was dropped: paste it again.", severity="warning")

    @on(Go)
    def _go(self, event: Go) -> None:
        """Another screen by its number: the list is below all others; activity comes on top of what is open."""
        from novacron_tui.screens.base import BaseScreen
        from novacron_tui.screens.vm_list import VMListScreen

        if not isinstance(self.screen, BaseScreen):
            return
        if (kind := stacked_screen(event.screen)) is not None:
            self._show(kind, self.screen)
            return
        while isinstance(self.screen, BaseScreen) and not isinstance(self.screen, VMListScreen):
            self.pop_screen()
        if event.vm and isinstance(self.screen, VMListScreen):
            self.screen.go_to(event.vm)
        if event.only and isinstance(self.screen, VMListScreen):
            self.screen.pane.filter.put(event.only)

    def _show(self, kind: type[BaseScreen], now: BaseScreen) -> None:
        """As it was left, for as long as one is signed in. Back to it where it is open below: screens would pile up, and
        escape lead through all of them."""
        if not any(type(screen) is kind for screen in self.screen_stack):
            board, last = kind(now.session, now.glyphs), now.session.last_boards
            if kind in last:
                board.go_on_from(last[kind])
            last[kind] = board
            self.push_screen(board)
        while type(self.screen) is not kind:
            self.pop_screen()

    @property
    def fault(self) -> Exception | None:
        """What ended the console that nobody was ready for."""
        return self._exception

    def _fatal_error(self) -> None:
        """Textual would print the local variables of every frame, passwords and tokens among them: who runs the console
        tells of the fault."""
        self._close_messages_no_wait()

    # -- from the doors to home ------------------------------------------------------------------------------------

    def _enter(self, place: ServerRef, client: Client, who: User) -> None:
        """Somebody is signed in: home the first time, back to where they were after that."""
        if self.session is None:
            self._first_time(place, client, who)
        elif self.session.who.id != who.id:
            self._leave_to(place, client, who)
        else:
            self.session.who, self.session.place = who, place
            self.pop_screen()
        self.run_worker(self._follow(), group="stream", exclusive=True)

    def _first_time(self, place: ServerRef, client: Client, who: User) -> None:
        from novacron_tui.connection.session import Session
        from novacron_tui.connection.store import Store
        from novacron_tui.screens.vm_list import VMListScreen
        from novacron_tui.terminal.glyphs import FINE, PLAIN

        self.session = Session(place, client, who, Store(self._now), updates=self._updates)
        self.push_screen(VMListScreen(self.session, PLAIN if self._ascii else FINE))
        self.run_worker(self._keep_open(self.session), group="place", exclusive=True)

    def _leave_to(self, place: ServerRef, client: Client, who: User) -> None:
        """Another operator signed in at this console: nothing of the one before stays on it."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._first_time(place, client, who)

    async def _follow(self) -> None:
        from novacron_core.errors import IncompatibleServer, Unauthenticated

        session = self.session
        while session is not None:
            try:
                await session.follow_stream()
                return
            except Unauthenticated as e:
                session.store.lost("signed out", _AGAIN_S)
                self._sign_in_again(session, e.detail)
                return
            except IncompatibleServer as e:
                session.store.lost(e.detail, _AGAIN_S)
                session.changed()
                await asyncio.sleep(_AGAIN_S)

    async def _keep_open(self, session: Session) -> None:
        """While the line is lost for long, open the place again: a bundled server that stopped is started, and
        listens on another port. A place that only has a URL stays what it is, and the stream goes on trying."""
        from novacron_tui.connection.store import ConnectionState

        lost_since: float | None = None
        while True:
            await asyncio.sleep(_LOOK_S)
            if session.store.line is not ConnectionState.OFFLINE or isinstance(self.screen, SignInScreen):
                lost_since = None
                continue
            lost_since = lost_since or monotonic()
            if monotonic() - lost_since >= _LOST_S:
                await self._open_again(session)
                lost_since = None

    async def _open_again(self, session: Session) -> None:
        from novacron_core.errors import NovaCronError
        from novacron_tui.terminal.safe_text import clean

        try:
            place = await self._open_place()
        except (NovaCronError, OSError) as e:
            self._say(clean(e.detail if isinstance(e, NovaCronError) else str(e)))
            return
        if place.url != session.place.url:
            session.moved(place)

    def _say(self, trouble: str) -> None:
        from novacron_tui.screens.base import BaseScreen

        if isinstance(self.screen, BaseScreen):
            self.screen.say(trouble, "bad")

    def _sign_in_again(self, session: Session, reason: str) -> None:
        """The doors, on top of everything: what was open stays open below."""
        self.push_screen(
            SignInScreen(
                self._open_place,
                self._connect,
                self._enter,
                plain=self._ascii,
                known=(session.place, session.client, session.who.username),
                reason=reason,
            )
        )

    # -- the palette -----------------------------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The actions of the screen below, and the themes: the same rows as the footer and the help."""
        from novacron_tui.screens.base import BaseScreen
        from novacron_tui.screens.global_actions import PALETTE

        if isinstance(screen, BaseScreen):
            for action in screen.ACTIONS:
                if action is not PALETTE:
                    run = lambda key=action.key: screen.action_press(key)  # noqa: E731
                    yield SystemCommand(f"{action.label} ({action.key})", action.help, run)
        for theme in THEMES:
            yield SystemCommand(
                f"theme: {theme.name}", "change how the console looks", lambda n=theme.name: self._set(n)
            )

    def _set(self, theme: str) -> None:
        self.theme = theme

    async def on_unmount(self) -> None:
        """Leaving ends the session that the form began; not one that is kept, nor one whose token was given."""
        self.type_ahead.close()
        if self.session is None:
            return
        credentials = self.session.client.credentials
        if credentials.shared or (self._token and credentials.token == self._token):
            await self.session.client.close()
        else:
            await self.session.sign_out()
