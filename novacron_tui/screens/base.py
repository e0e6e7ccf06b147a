"""The base of all screens of a session: top line, body, status line and the available keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from novacron_core.api import operations, tenants
from novacron_core.api.events import SampleRequest
from novacron_core.api.operations import Operation
from novacron_core.errors import NovaCronError
from novacron_core.rules.filters.language import fold
from novacron_tui.account import perform as account
from novacron_tui.account.reading import reachable_tenants
from novacron_tui.actions import Action, refusal
from novacron_tui.connection.session import Session
from novacron_tui.screens import footer
from novacron_tui.screens.commands import (
    COMMAND_KEYS,
    HOST,
    ROWS,
    TENANT,
    THEME,
    action_named,
    commands,
    unknown_command,
)
from novacron_tui.screens.global_actions import COMING_SCREENS, EVERYWHERE, HELP, QUIT, SCREENS, VMS
from novacron_tui.screens.help import HelpScreen, KeyRow
from novacron_tui.screens.navigation import Go
from novacron_tui.screens.script_commands import script_command
from novacron_tui.screens.top_line import FILTER, top_line, window_title
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import clean, one_line
from novacron_tui.terminal.themes import resolve_theme
from novacron_tui.terminal.type_ahead import Forget
from novacron_tui.vms.perform import outcome, took_long
from novacron_tui.widgets.command_line import CommandLine
from novacron_tui.widgets.confirm import Confirm, Confirmation, Question
from novacron_tui.widgets.once import once
from novacron_tui.widgets.server_title import NamesServer
from novacron_tui.widgets.text_bar import Piece, TextBar

D = TypeVar("D")
MESSAGE_S = 8.0
"""Seconds that a message stays in the status line, unless it reports a failure."""
MIN_WIDTH, MIN_HEIGHT, WIDE = 60, 15, 110


class BaseScreen(Screen[None]):
    """The base of screens over a session. A subclass sets ACTIONS and overrides `body`, `subject`, `refresh_body` and,
    where a screen has reasons of its own, `why_not`."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = EVERYWHERE
    HERE: ClassVar[Action[Any] | None] = None
    """The action that opens this screen."""
    DEFAULT_CSS = """
    BaseScreen { background: $background; layers: base over; }
    BaseScreen > #top { background: $surface; }
    BaseScreen > #status { background: $background; }
    BaseScreen > #keys { background: $surface; }
    BaseScreen > #body { height: 1fr; }
    BaseScreen > #small {
        display: none; layer: over; width: 100%; height: 100%; margin: 1 0 2 0; background: $background;
        content-align: center middle; text-align: center;
    }
    BaseScreen.-too-narrow > #small, BaseScreen.-too-low > #small { display: block; }
    """
    HORIZONTAL_BREAKPOINTS = [
        (0, "-too-narrow"),
        (MIN_WIDTH, "-narrow"),
        (WIDE, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-too-low"), (MIN_HEIGHT, "-high")]

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__()
        self.session = session
        self.glyphs = glyphs
        self.command = CommandLine(id="command")
        self._top = TextBar(id="top")
        self._status = TextBar(margin=1, id="status")
        self._keys = TextBar(margin=1, id="keys")
        self._message: tuple[str, str] = ("", "plain")
        self._forget: Timer | None = None
        self._unwatch: Callable[[], None] | None = None

    # -- for subclasses --------------------------------------------------------------------------------------------

    def body(self) -> Widget:
        raise NotImplementedError

    def subject(self, action: Action[Any]) -> Any:
        """The object that this action applies to, or None."""
        return None

    def why_not(self, action: Action[Any]) -> str | None:
        """The sentence that refuses an action now, or None."""
        return refusal(action, self.session, self.subject(action))

    def refresh_body(self) -> None:
        """Redraw what has changed."""

    def wants(self) -> SampleRequest | None:
        """The samples that this screen shows now, or None."""
        return None

    def restore_from(self, before: Self) -> None:
        """Take over the state of the previous instance of this screen."""

    def begin_as_left(self) -> None:
        """Begin as this user has left the screen in an earlier console. Called before it is shown."""

    def hint(self) -> Sequence[Piece]:
        """The default text of the status line, shown when there is no message."""
        return ()

    def crumbs(self) -> Sequence[str]:
        """The way to what is shown, from the screen on; empty where the tab in the top line says it all."""
        return ()

    def notes(self) -> Sequence[Piece]:
        """What the right end of the status line says beside the crumbs."""
        return ()

    # -- the frame -------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self._top
        with Vertical(id="body"):
            yield self.body()
        yield Static(f"Terminal too small:\nneeds at least {MIN_WIDTH}x{MIN_HEIGHT}", id="small")
        yield self.command
        yield self._status
        yield self._keys

    def on_mount(self) -> None:
        self._unwatch = self.session.watch(self._changed)
        self.set_interval(1.0, self._tick)
        self.refresh_frame()

    def on_unmount(self) -> None:
        if self._unwatch:
            self._unwatch()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_changed(self) -> None:
        self.refresh_frame()

    def on_screen_resume(self) -> None:
        self._changed()

    def on_screen_suspend(self) -> None:
        self.refresh_frame()

    def _changed(self) -> None:
        """Draw only when in front; other screens draw when they are resumed."""
        if not self._is_frontmost or not self.is_mounted:
            return
        self.refresh_body()
        if warning := self.session.store.clock.take_warning():
            self.say(warning, "warn")
        self._report_outcomes()
        self.refresh_frame()
        self.request_samples()

    @property
    def _is_frontmost(self) -> bool:
        """Whether this is the topmost BaseScreen, possibly below a dialog. Textual's `is_current` can be true for two
        screens, because it considers transparent ones."""
        return (
            next((screen for screen in reversed(self.app.screen_stack) if isinstance(screen, BaseScreen)), None) is self
        )

    def _tick(self) -> None:
        if self._is_frontmost:
            self.refresh_body()
            self.refresh_frame()
            self.request_samples()

    def request_samples(self) -> None:
        """Request the samples shown here; a screen behind another one requests nothing."""
        if self._is_frontmost:
            self.session.want(self.wants())

    def _report_outcomes(self) -> None:
        for op in self.session.take_ended():
            if took_long(op):
                self.app.ring()  # type: ignore[attr-defined]
            self.say(*outcome(op, self.session.left_out.get(op.id, ())))

    def refresh_frame(self) -> None:
        """Update the top, status and key lines; unchanged cells are not painted."""
        self.app.show_title(window_title(self.session, self.glyphs))  # type: ignore[attr-defined]
        self._top.show(*top_line(self.session, self.glyphs, SCREENS, self.HERE))
        text, tone = self._message
        crumbs = f" {self.glyphs.arrow} ".join(self.crumbs())
        aside = [*self.notes(), *([Piece(crumbs, "quiet", 20)] if crumbs else [])]
        self._status.show([Piece(text, tone)] if text else self.hint(), aside)
        covered = self.app.screen is not self
        offered = [] if covered else self._offered()  # the keys are those of the dialog in front
        right = [action for action in offered if action in (HELP, QUIT)]
        above = SCREENS if self._top.shows(VMS.key) else ()
        left = [action for action in offered if action not in right and action not in above]
        self._keys.show(self._key_pieces(left), self._key_pieces(right))

    def _key_pieces(self, actions: Sequence[Action[Any]]) -> list[Piece]:
        return footer.pieces(actions, self.ACTIONS, self.why_not, roomy=self.size.width >= WIDE)

    def _offered(self) -> list[Action[Any]]:
        """One action per key. While a command is typed, letters are text: only the keys of its line work."""
        if self.command.editing:
            return list(COMMAND_KEYS)
        return footer.offered(self.present(), self.HERE, self.why_not)

    def present(self) -> Sequence[Action[Any]]:
        """The actions on what is shown now: a screen with several lists overrides it."""
        return self.ACTIONS

    # -- messages and questions ------------------------------------------------------------------------------------

    def say(self, text: str, tone: str = "plain") -> None:
        """Show a message in the status line. A failure stays until the next message or until escape is pressed."""
        sign = {"bad": self.glyphs.bad, "good": self.glyphs.ok, "busy": self.glyphs.work}.get(tone, self.glyphs.arrow)
        self._message = (f"{sign} {clean(text)}", tone)
        if self._forget:
            self._forget.stop()
        self._forget = None if tone == "bad" else once(self, MESSAGE_S, self.clear_message)
        self.refresh_frame()

    def clear_message(self) -> None:
        """Clear the message."""
        self._message = ("", "plain")
        self.refresh_frame()

    async def ask(self, question: Question) -> Confirmation | None:
        """Show a question and wait for the answer. Must be called from a worker."""
        return await self.show_dialog(Confirm(question))

    # -- keys ------------------------------------------------------------------------------------------------------

    def on_key(self, event: Key) -> None:
        """A letter that no key binding takes."""
        if event.is_printable and event.key not in self.active_bindings and not self.command.editing:
            letter = one_line(event.character or event.key)
            coming = COMING_SCREENS.get(event.key)
            why = f"this version has no {coming} screen" if coming else "? lists the keys"
            self.say(f"{letter} does nothing here: {why}", "warn")
            self.app.post_message(Forget())  # text that was typed for something else has more letters

    def action_press(self, key: str) -> None:
        """Handle the key of an action: perform it, or show why not. An action that is not offered is never
        performed."""
        offered = self._offered()
        action = next((action for action in (*offered, *self.ACTIONS) if action.key == key), None)
        if action is not None and action is self.HERE:
            self.say(f"already on {action.label}")
        elif action is not None and (refused := self._refused(action)) is not None:
            self.say(refused, "warn")
            if action.takes_input:
                self.app.post_message(Forget())  # keys typed ahead were meant for what would have opened
        elif action in offered:
            self.run_worker(self._perform(action), group="actions")

    def _refused(self, action: Action[Any]) -> str | None:
        if action.changes and (self.has_class("-too-narrow") or self.has_class("-too-low")):
            return "the terminal is too small to show what that does: enlarge it"
        return self.why_not(action)

    def acts(self, key: Key) -> bool:
        """Whether a key does more than change what this screen shows (see TypeAhead)."""
        names = (key.key, key.character)
        return key.character == ":" or any(not action.only_view for action in self.ACTIONS if action.key in names)

    def action_command(self) -> None:
        """Open the `:` line."""
        self.clear_message()
        self.command.open(self._commands())
        if not self.session.other_tenants and self.session.may(tenants.LIST):
            self.run_worker(self._read_tenants(), group="tenants", exclusive=True)

    def _commands(self) -> list[str]:
        hosts = (one_line(host.name) for host in self.session.store.hosts.values())
        return commands(self.ACTIONS, hosts, map(one_line, self.session.tenants))

    async def _read_tenants(self) -> None:
        """Complete the tenants that an administrator may work in too."""
        with suppress(NovaCronError):
            await reachable_tenants(self.session)
        if self.command.editing:
            self.command.complete_from(self._commands())

    @on(CommandLine.Given)
    def _command(self, event: CommandLine.Given) -> None:
        """Perform a typed command by the same rules as its key, or report that it is unknown."""
        word, _, rest = event.text.partition(" ")
        rest = rest.strip()
        if word == THEME and rest:
            self._set_theme(rest)
        elif word == HOST and rest:
            self._show_host(rest)
        elif word == TENANT and rest:
            self._switch_tenant(rest)
        elif (action := self._named(event.text)) is None:
            find = getattr(self.app, "action_elsewhere", lambda _: "")
            self.say(find(event.text) or unknown_command(one_line(event.text), self.ACTIONS), "warn")
        else:
            self.start(action)

    def _named(self, name: str) -> Action[Any] | None:
        """The action with this name: of two, that of the list that is shown."""
        return action_named(name, (*self.present(), *self.ACTIONS))

    def _show_host(self, name: str) -> None:
        """Show the VMs of a host, or say that there is no host of this name."""
        hosts = self.session.store.hosts.values()
        if any(fold(name) in (fold(host.name), fold(host.id), fold(one_line(host.name))) for host in hosts):
            self.app.post_message(Go(VMS.name, only=f'host:"{name}"'))
        else:
            names = ", ".join(sorted({one_line(host.name) for host in hosts})) or "none yet"
            self.say(f'no host is called "{one_line(name)}"; hosts: {names}', "warn")

    def _switch_tenant(self, name: str) -> None:
        """Work in another tenant, by the rules of the action without a name."""
        switch = self._named(TENANT)
        if switch is not None and (refused := self._refused(switch)) is not None:
            self.say(refused, "warn")
        else:
            self.run_worker(account.switch_to(self, name), group="actions")

    def start(self, action: Action[Any]) -> None:
        """Perform an action by its name, or show why not."""
        if action is self.HERE:
            self.say(f"already on {action.label}")
        elif (refused := self._refused(action)) is not None:
            self.say(refused, "warn")
        else:
            self.run_worker(self._perform(action), group="actions")

    def _set_theme(self, theme: str) -> None:
        try:
            self.app.choose_theme(resolve_theme(theme))  # type: ignore[attr-defined]
        except ValueError as e:
            self.say(str(e), "warn")

    async def _perform(self, action: Action[Any]) -> None:
        subject = self.subject(action)
        if action.needs_one and subject is None:
            return  # it has gone since the key was pressed
        if (waiting := action.run(self, subject)) is not None:
            await waiting
        self.refresh_frame()

    @on(TextBar.Pressed)
    def _clicked(self, event: TextBar.Pressed) -> None:
        """A click on the key of an action, on the name of one without a key, or on a number of VMs."""
        if event.name.startswith(FILTER):
            self.app.post_message(Go(VMS.name, only=event.name.removeprefix(FILTER)))
            return
        keyless = next((action for action in self.ACTIONS if not action.key and action.name == event.name), None)
        if keyless is not None:
            self.start(keyless)
        else:
            self.action_press(event.name)

    # -- what the actions of every screen run ----------------------------------------------------------------------

    def show_help(self) -> None:
        """Show every key of this screen, and why it is unavailable now."""
        self.app.push_screen(HelpScreen([*self.help_rows(), *ROWS], self._copy_command), self._perform_from_help)

    def help_rows(self) -> list[KeyRow]:
        """The lines of the help that are about this screen: its keys, and what is reached by its name."""
        rows = [KeyRow(a.key, a.label, a.help, a.group, self.why_not(a) or "", a.name) for a in self.ACTIONS if a.key]
        named = [a for a in self.ACTIONS if not a.key and a.endpoint and a.name != TENANT]
        return rows + [KeyRow(":", a.name, a.help, a.group, self.why_not(a) or "", a.name) for a in named]

    def _perform_from_help(self, row: KeyRow | None) -> None:
        action = self._named(row.name) if row is not None else None
        if action is not None and action is not HELP:
            self.start(action)
        elif row is not None and not row.name:
            self.action_command()

    def _copy_command(self, row: KeyRow) -> None:
        action = self._named(row.name)
        if action is None or not action.command:
            self.app.notify(f"{row.label} has no novacron command")
            return
        command = script_command(action.command, self.subjects(action), self.session)
        self.app.copy_to_clipboard(command)
        self.app.notify(f"copied: {command}")

    def subjects(self, action: Action[Any]) -> Sequence[Any]:
        """The objects that an action would apply to now."""
        subject = self.subject(action) if action.needs_one else None
        return () if subject is None else (subject,)

    def reload(self) -> None:
        """Read everything from the server again, and write the whole screen again."""
        self.say("refreshing…", "busy")
        self.app.repaint()  # type: ignore[attr-defined]
        self.session.reload()

    def leave(self) -> None:
        """Go back to the screen below."""
        self.dismiss()

    def copy(self, text: str) -> None:
        """Copy text to the terminal's clipboard."""
        self.app.copy_to_clipboard(text)
        self.say(f"copied {text}")

    def copy_ids(self, ids: Sequence[str]) -> None:
        """Copy the ids of one or more objects, with a space between them: a pasted line break would end a command."""
        if len(ids) == 1:
            return self.copy(ids[0])
        self.app.copy_to_clipboard(" ".join(ids))
        return self.say(f"copied {len(ids):,} ids")

    def follow(self, op: Operation, doing: str) -> None:
        """Say that an operation has started, and report its end when it comes."""
        self.session.followed[op.id] = op
        self.say(f"{doing.capitalize()} {one_line(op.target.name or op.target.id)}…", "busy")
        self.session.changed()

    async def cancel_operation(self, op: Operation | None, name: str) -> None:
        """Ask the server to cancel an operation on the object with this name."""
        if op is None:
            return
        try:
            await self.session.client.call(operations.CANCEL, operation_id=op.id)
        except NovaCronError as e:
            self.say(f"cancel {one_line(name)}: {one_line(e.detail)}", "bad")
        else:
            self.say(f"Cancelling the operation on {one_line(name)}…", "busy")

    async def show_dialog(self, dialog: ModalScreen[D]) -> D | None:
        """Show a dialog and wait for its result. A refusal that is shown goes with a dialog that is left. Must be called
        from a worker."""
        if isinstance(dialog, NamesServer):
            dialog.name_server(self.session.server.profile, production=self.session.server.production)
        result = await self.app.push_screen_wait(dialog)
        if result is None and self._message[1] == "warn":
            self.clear_message()
        return result
