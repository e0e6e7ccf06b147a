"""The head of the account screen: who one is, and what guards the account."""

from __future__ import annotations

from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Vertical

from novacron_core.api.access import User
from novacron_core.api.second_factor import SecondFactor
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.counts import counted
from novacron_tui.account.reading import AccountData
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece, TextBar

Line = tuple[list[Piece], list[Piece]]
_LABEL = 15
_FEW_CODES = 3


class Summary(Vertical):
    """Call `show` as often as data or the clock changes. A click on the name of an action runs it."""

    DEFAULT_CSS = """
    Summary { height: auto; padding: 0 1; border-bottom: solid $rule; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._bars = [TextBar(margin=1) for _ in range(4)]

    def compose(self) -> ComposeResult:
        yield from self._bars

    def show(self, lines: list[Line]) -> None:
        """Show these lines, each with its left and right side."""
        for bar, (left, right) in zip(self._bars, lines, strict=True):
            bar.show(left, right)


def lines(data: AccountData, user: User, now: datetime, glyphs: Glyphs) -> list[Line]:
    """The four lines of the head."""
    known = data.user or user
    return [
        _who(known),
        _tenants(known),
        _second_factor(data.factor, now, glyphs),
        _password(data, now),
    ]


def _label(text: str) -> Piece:
    return Piece(text.ljust(_LABEL), "quiet")


def _way(name: str, what: str) -> list[Piece]:
    return [Piece(f":{name}", "key", 2, name), Piece(f" {what}", "quiet", 3, name)]


def _who(user: User) -> Line:
    pieces = [Piece(one_line(user.username).ljust(_LABEL - 1), "strong"), Piece(f" {user.role}")]
    if user.tenant:
        pieces += [Piece(" of " if user.role != "administrator" else ", in ", "quiet"), Piece(one_line(user.tenant))]
    if user.email:
        pieces.append(Piece(f"   {one_line(user.email)}", "quiet", 2))
    aside = [Piece("an API token: limited", "warn", 1)] if user.scope is not None else []
    return pieces, aside


def _tenants(user: User) -> Line:
    pieces = [_label("tenants")]
    for at, each in enumerate(user.memberships):
        here = each.tenant == user.tenant
        pieces.append(Piece(f"{', ' if at else ''}{one_line(each.tenant)}", "strong" if here else "plain", at and 4))
        pieces.append(Piece(f" {each.role}", "quiet", 5))
    return pieces, _way("tenant", "switches")


def _second_factor(factor: SecondFactor | None, now: datetime, glyphs: Glyphs) -> Line:
    label = _label("second factor")
    if factor is None:
        return [label, Piece(glyphs.no, "quiet")], []
    if not factor.enabled:
        needed = factor.required
        words = f"{glyphs.bad} off: this tenant requires one" if needed else "off: your password alone signs you in"
        return [label, Piece(words, "bad" if needed else "warn")], _way("second-factor", "sets it up")
    left = factor.recovery_codes_left
    pieces = [label, Piece(f"{glyphs.ok} on", "good")]
    if factor.since:
        pieces.append(Piece(f" for {age_text(age_s(factor.since, now))}", "quiet", 3))
    pieces.append(Piece(f"   {counted(left, 'recovery code')} left", "warn" if left < _FEW_CODES else "quiet", 1))
    return pieces, _way("second-factor-off", "turns it off")


def _password(data: AccountData, now: datetime) -> Line:
    here = next((each for each in data.sessions if each.current), None)
    if here is None:
        return [_label("this session"), Piece("none", "quiet")], _way("password", "changes your password")
    begun, ends = age_text(age_s(here.created_at, now)), age_text((here.expires_at - now).total_seconds())
    pieces = [_label("this session"), Piece(f"begun {begun} ago"), Piece(f", ends in {ends} at the latest", "quiet", 1)]
    if here.proved_at is not None:
        pieces.append(Piece(f", password given {age_text(age_s(here.proved_at, now))} ago", "quiet", 4))
    return pieces, _way("password", "changes your password")
