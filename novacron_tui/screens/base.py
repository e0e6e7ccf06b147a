"""What every screen behind the doors has: the top line, a body, the status line and the keys that work here, now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from novacron_core.api.events import SampleRequest
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.screens import footer
from novacron_tui.screens.commands import COMMANDING, HOST, ROWS, THEME, action_named, commands, not_understood
from novacron_tui.screens.global_actions import (
    ACTIVITY,
    EVERYWHERE,
    HELP,
    METRICS_SCREEN,
    PALETTE,
    QUIT,
    REREAD,
    SCREENS,
    STORAGE,
    VMS,
)
from novacron_tui.screens.help import HelpScreen, KeyRow
from novacron_tui.screens.navigation import Go
from novacron_tui.screens.top_line import top_line
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.painting import paint_finely
from novacron_tui.terminal.safe_text import clean, one_line
from novacron_tui.terminal.themes import named
from novacron_tui.terminal.type_ahead import Forget
from novacron_tui.vms.perform import outcome
from novacron_tui.widgets.command_line import CommandLine
from novacron_tui.widgets.confirm import Confirm, Confirmation, Question
from novacron_tui.widgets.text_bar import Piece, TextBar

SAID_S = 8.0
"""How long a sentence that needs no answer stays in the status line."""
MIN_WIDTH, MIN_HEIGHT, WIDE = 60, 15, 110


class BaseScreen(Screen[None]):
    """The base of screens over a session. A subclass names its ACTIONS and answers `body`, `subject`, `why_not`,
    `do` and `refresh_body`."""

    ACTIONS: ClassVar[tuple[Action[Any], ...]] = EVERYWHERE
    HERE: ClassVar[Action[Any] | None] = None
    """The action that leads to this screen; its key says so here."""
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
        paint_finely(self)
        self.session = session
        self.glyphs = glyphs
        self.command = CommandLine(id="command")
        self._top = TextBar(id="top")
        self._status = TextBar(margin=1, id="status")
        self._keys = TextBar(margin=1, id="keys")
        self._said: tuple[str, str] = ("", "plain")
        self._forget: Timer | None = None
        self._unwatch: Callable[[], None] | None = None

    # -- for subclasses --------------------------------------------------------------------------------------------

    def body(self) -> Widget:
        raise NotImplementedError

    def subject(self) -> Any:
        """The thing that actions act on here, or None."""
        return None

    def why_not(self, action: Action[Any]) -> str | None:
        """The sentence that refuses an action here and now."""
        return None

    async def do(self, action: Action[Any]) -> None:
        """Carry an action out that nothing stands against."""
        raise NotImplementedError

    def refresh_body(self) -> None:
        """Draw what changed."""

    def wants(self) -> SampleRequest | None:
        """The samples that are shown here now; None: none."""
        return None

    def go_on_from(self, before: Self) -> None:
        """Be as this one was left, which was on the same screen before."""

    def hint(self) -> Sequence[Piece]:
        """What the status line says when there is nothing else to say."""
        return ()

    # -- the frame -------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self._top
        with Vertical(id="body"):
            yield self.body()
        yield Static(f"this terminal is too small:\n{MIN_WIDTH}x{MIN_HEIGHT} is the least", id="small")
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
    def _other_keys(self) -> None:
        self.refresh_frame()

    def on_screen_resume(self) -> None:
        self._changed()

    def _changed(self) -> None:
        """Draw only what is looked at; a screen that comes back draws then."""
        if not self._is_looked_at or not self.is_mounted:
            return
        self.refresh_body()
        self._tell_outcomes()
        self.refresh_frame()
        self.ask_for_samples()

    @property
    def _is_looked_at(self) -> bool:
        """Whether this is the topmost board, be it below a question. Textual's `is_current` holds of two: it reckons
        that one may shine through the other."""
        return (
            next((screen for screen in reversed(self.app.screen_stack) if isinstance(screen, BaseScreen)), None) is self
        )

    def _tick(self) -> None:
        if self._is_looked_at:
            self.refresh_body()
            self.refresh_frame()
            self.ask_for_samples()

    def ask_for_samples(self) -> None:
        """Those that are shown here; a screen behind another one asks for none, whatever happens to it."""
        if self._is_looked_at:
            self.session.want(self.wants())

    def _tell_outcomes(self) -> None:
        for op in self.session.settled():
            self.say(*outcome(op))

    def refresh_frame(self) -> None:
        """The three lines; what is the same as before is not painted."""
        self._top.show(*top_line(self.session, self.glyphs, SCREENS, self.HERE))
        text, tone = self._said
        self._status.show([Piece(text, tone)] if text else self.hint())
        offered = list(COMMANDING) if self.command.editing else self._offered()
        right = [action for action in offered if action in (HELP, QUIT)]
        above = SCREENS if self._top.shows(VMS.key) else ()
        left = [action for action in offered if action not in right and action not in above]
        self._keys.show(self._key_pieces(left), self._key_pieces(right))

    def _key_pieces(self, actions: Sequence[Action[Any]]) -> list[Piece]:
        return footer.pieces(actions, self.ACTIONS, self.why_not, roomy=self.size.width >= WIDE)

    def _offered(self) -> list[Action[Any]]:
        return footer.offered(self.ACTIONS, self.HERE, self.why_not)

    # -- saying and asking -----------------------------------------------------------------------------------------

    def say(self, text: str, tone: str = "plain") -> None:
        """One sentence in the status line. A failure stays until something else is said or escape is pressed."""
        sign = {"bad": self.glyphs.bad, "good": self.glyphs.ok, "busy": self.glyphs.work}.get(tone, self.glyphs.arrow)
        self._said = (f"{sign} {clean(text)}", tone)
        if self._forget:
            self._forget.stop()
        self._forget = None if tone == "bad" else self.set_timer(SAID_S, self.hush)
        self.refresh_frame()

    def hush(self) -> None:
        """Take the sentence away."""
        self._said = ("", "plain")
        self.refresh_frame()

    async def ask(self, question: Question) -> Confirmation | None:
        """Show a question and wait for its answer; only from a worker."""
        return await self.app.push_screen_wait(Confirm(question))

    # -- keys ------------------------------------------------------------------------------------------------------

    def action_press(self, key: str) -> None:
        """A key of an action: do it, or say why not. One that is not offered may say why, but is not done."""
        offered = self._offered()
        action = next((action for action in (*offered, *self.ACTIONS) if action.key == key), None)
        if action is not None and action is self.HERE:
            self.say(f"this is {action.label} already")
        elif action is not None and (refused := self.why_not(action)) is not None:
            self.say(refused, "warn")
            if action.leads_on:
                self.app.post_message(Forget())  # else it would be read as commands here
        elif action in offered:
            self.run_worker(self._do(action), group="actions")

    def action_command(self) -> None:
        """Open the `:` line."""
        self.hush()
        self.command.open(commands(self.ACTIONS, (one_line(host.name) for host in self.session.store.hosts.values())))

    @on(CommandLine.Given)
    def _command(self, event: CommandLine.Given) -> None:
        """Do what was typed, by the same rules as its key; or say that it is not understood."""
        word, _, rest = event.text.partition(" ")
        rest = rest.strip()
        if word == THEME and rest:
            self._look(rest)
        elif word == HOST and rest:
            self.app.post_message(Go(VMS.name, only=f'host:"{rest}"'))
        elif (action := action_named(event.text, self.ACTIONS)) is None:
            self.say(not_understood(one_line(event.text), self.ACTIONS), "warn")
        elif action is PALETTE:
            self.app.action_command_palette()
        elif (refused := self.why_not(action)) is not None:
            self.say(refused, "warn")
        else:
            self.run_worker(self._do(action), group="actions")

    def _look(self, theme: str) -> None:
        try:
            self.app.theme = named(theme)
        except ValueError as e:
            self.say(str(e), "warn")

    async def _do(self, action: Action[Any]) -> None:
        if action is HELP:
            rows = [KeyRow(a.key, a.label, a.help, a.group, self.why_not(a) or "") for a in self.ACTIONS]
            await self.app.push_screen(HelpScreen([*rows, *ROWS]))
        elif action is QUIT:
            self.app.exit()
        elif action in (VMS, STORAGE, METRICS_SCREEN, ACTIVITY):
            self.app.post_message(Go(action.name))
        elif action is REREAD:
            self.say("reading everything again…", "busy")
            self.session.reread()
        else:
            await self.do(action)

    @on(TextBar.Pressed)
    async def _clicked(self, event: TextBar.Pressed) -> None:
        if event.name == PALETTE.key:
            await self.run_action("app.command_palette")
        else:
            self.action_press(event.name)
