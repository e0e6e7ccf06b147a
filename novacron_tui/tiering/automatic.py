"""Automatic moves on the storage screen: the switch, what moves now, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from novacron_core.api import automatic, tiering
from novacron_core.api.automatic import (
    AutomaticChange,
    AutomaticPolicy,
    AutomaticStatus,
    PairChange,
    StorageDecision,
)
from novacron_core.api.base import ListQuery
from novacron_core.api.tiering import PolicyChange, StoragePolicy
from novacron_core.errors import NotFound, NovaCronError
from novacron_core.rules.tiering.policy import is_time_zone, pair_text
from novacron_core.values.ages import moment_text
from novacron_core.values.counts import counted
from novacron_core.values.sizes import parse_size, size_text
from novacron_core.values.tiers import PAIRS, TIER_ORDER, TierPair
from novacron_core.values.windows import parse_windows
from novacron_tui.actions import Action, ActionContext, Danger
from novacron_tui.connection.form_request import call_from_form
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.detail import Lines, labelled
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Refused, Values, choice
from novacron_tui.widgets.text_bar import Piece

_OLD_SERVER = "this server makes no automatic moves: update it"
_ON = "automatic moves are on: one at a time, and none while a tier is slow"
_NEWEST = 500
UP = tuple(pair for pair, (source, target) in PAIRS.items() if TIER_ORDER[target] < TIER_ORDER[source])
"""The pairs whose target is the faster tier."""
DOWN = tuple(pair for pair in PAIRS if pair not in UP)
_YES_NO = (("yes", "yes"), ("no", "no"))


class AutomaticData:
    """`status` is None until it was read. `rows` are the newest decisions, read while they are `wanted`. `version` rises
    with every change; `error` is why the last read failed."""

    def __init__(self) -> None:
        self.status: AutomaticStatus | None = None
        self.rows: list[StorageDecision] = []
        self.total = 0
        self.wanted = self.loaded = False
        self.error = ""
        self.version = 0

    async def read(self, session: Session) -> None:
        """Read both anew; what cannot be read stays as it was."""
        if not session.may(automatic.STATUS):
            return
        before = self.status, self.rows, self.error, self.loaded
        try:
            self.status = await session.client.call(automatic.STATUS)
            if self.wanted:
                query = ListQuery(page_size=_NEWEST)
                page = await session.client.call(automatic.DECISIONS, query=query)
                self.rows, self.total, self.loaded = page.items, page.total, True
            self.error = ""
        except NotFound:
            self.error = _OLD_SERVER
        except NovaCronError as e:
            self.error = one_line(e.detail)
        self.version += before != (self.status, self.rows, self.error, self.loaded)

    @property
    def problem(self) -> tuple[str, bool]:
        """Why the last read failed, and whether there is an older one."""
        return self.error, self.loaded

    def pieces(self, glyphs: Glyphs) -> Sequence[Piece]:
        """What the server does by itself now, in a few words."""
        status = self.status
        if status is None:
            return ()
        if not status.enabled:
            return [Piece("automatic off", "quiet")]
        if names := [one_line(pair.moving) for pair in status.pairs if pair.moving]:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return [Piece(f"{glyphs.work} automatic: moving {names[0]}{more}", "busy")]
        if status.pairs and all(pair.waits for pair in status.pairs):
            return [Piece("automatic waits", "warn")]
        return [Piece(f"{glyphs.live} automatic on", "good")]


async def switch(context: ActionContext) -> None:
    """Ask to turn automatic moves off, or show the form that turns them on."""
    client, status = context.session.client, AutomaticStatus(enabled=True)
    try:
        policy = await client.call(tiering.POLICY)
        try:
            status = await client.call(automatic.STATUS)
        except NotFound:
            context.say(_OLD_SERVER, "bad")
            return
        except NovaCronError:  # to stop them, what moves need not be known
            pass
    except NovaCronError as e:
        context.say(f"cannot read the storage policy: {one_line(e.detail)}", "bad")
        return
    if policy.automatic.enabled:
        await _turn_off(context, status)
    elif any(pair.enabled for pair in policy.automatic.pairs.values()):
        await _turn_on_again(context, policy.automatic)
    else:
        await context.show_dialog(_form(context, policy))


async def _turn_off(context: ActionContext, status: AutomaticStatus) -> None:
    moving = [one_line(pair.moving) for pair in status.pairs if pair.moving]
    lines: Lines = [[Piece("The server moves no volume by itself any more, on no host.")]]
    if moving:
        lines.append([Piece(f"Cancels {counted(len(moving), 'move')} under way: {', '.join(moving[:4])}", "warn")])
        lines.append([Piece("Their volumes stay where they were.", "quiet")])
    if await context.ask(Question(title="Turn automatic moves off?", lines=lines, yes="Turn off")) is None:
        return
    await _turn(context, enabled=False)


async def _turn_on_again(context: ActionContext, policy: AutomaticPolicy) -> None:
    """As they were: what was set for single pairs stays."""
    lines: Lines = [
        [Piece(f"{pair.replace('-', ' '):13}", "strong"), Piece(f" {pair_text(policy, settings)}")]
        for pair, settings in policy.pairs.items()
        if settings.enabled
    ]
    lines += [[Piece("")], [Piece("novacron storage policy set changes single pairs.", "quiet")]]
    if await context.ask(Question(title="Turn automatic moves on again?", lines=lines, yes="Turn on")) is None:
        return
    await _turn(context, enabled=True)


async def _turn(context: ActionContext, *, enabled: bool) -> None:
    """Turn them on or off, and say what came of it."""
    try:
        body = PolicyChange(automatic=AutomaticChange(enabled=enabled))
        await context.session.client.call(tiering.SET_POLICY, body=body)
    except NovaCronError as e:
        context.say(f"automatic moves are still {'off' if enabled else 'on'}: {one_line(e.detail)}", "bad")
    else:
        context.say(_ON if enabled else "automatic moves are off", "good")


def _form(context: ActionContext, policy: StoragePolicy) -> Form[None]:
    """What turns them on: in which directions, when, and how fast."""
    own, pairs = policy.automatic, policy.automatic.pairs
    known = next((pairs[pair] for pair in (*UP, *DOWN) if pair in pairs), None)
    fast = size_text(known.bandwidth_bytes_s).replace(" ", "") if known and known.bandwidth_bytes_s else "64M"

    def some(of: tuple[TierPair, ...]) -> str:
        return "yes" if not pairs or any(pairs[pair].enabled for pair in of if pair in pairs) else "no"

    fields = {
        "up": FormField("To faster", choice(_YES_NO, some(UP)), advice="busy volumes move to a faster tier"),
        "down": FormField("To slower", choice(_YES_NO, some(DOWN)), advice="idle volumes, and those in the way, to a slower one"),
        "window": FormField(
            "Begins", value=known.window if known else "", why_not=_why_not_window, placeholder="at any time",
            advice="22:00-06:00, or sat,sun 00:00-24:00",
        ),
        "time_zone": FormField("Time zone", value=own.time_zone, why_not=_why_not_zone, advice="UTC, or Europe/Berlin"),
        "bandwidth": FormField(
            "Copies at", value=fast if known is None or known.bandwidth_bytes_s else "", why_not=_why_not_bandwidth,
            placeholder="as fast as it can", advice="at most this much per second, e.g. 64M",
        ),
    }  # fmt: skip

    async def submit(values: Values, key: str) -> None:
        if values["up"] == values["down"] == "no":
            raise Refused("nothing would move", {"down": "choose at least one direction"})
        limit = parse_size(values["bandwidth"]) if values["bandwidth"] else 0
        changed = {
            pair: PairChange(enabled=values[way] == "yes", bandwidth_bytes_s=limit, window=values["window"])
            for way, of in (("up", UP), ("down", DOWN))
            for pair in of
        }
        change = AutomaticChange(enabled=True, pairs=changed, time_zone=values["time_zone"] or "UTC")
        await call_from_form(context.session, tiering.SET_POLICY, PolicyChange(automatic=change), key)
        context.say(_ON, "good")

    intro = [[Piece("The server makes advised moves by itself. M stops it at once.", "quiet")]]
    return Form("Turn automatic moves on", fields, "Turn on", submit, intro=intro)


def _why_not_window(text: str) -> str | None:
    try:
        parse_windows(text)
    except ValueError as e:
        return str(e)
    return None


def _why_not_zone(text: str) -> str | None:
    return None if not text or is_time_zone(text) else f"there is no time zone {text}"


def _why_not_bandwidth(text: str) -> str | None:
    try:
        return None if not text or parse_size(text) >= 64 << 10 else "Enter at least 64K"
    except ValueError as e:
        return str(e)


def decision_details(decision: StorageDecision) -> Lines:
    """All that is known of a decision."""
    advice = decision.text.split("; ") if decision.text else [""]
    rows = [
        ("move", f"{decision.source} to {decision.target}"),
        ("result", decision.result),
        ("why", decision.reason),
        ("decided", f"{decision.times} times since {moment_text(decision.at)}" if decision.times > 1 else ""),
        ("last", moment_text(decision.last_at)),
        ("advice", advice[0]),
        *(("", part) for part in advice[1:]),
        ("operation", decision.operation or ""),
        ("volume", decision.volume),
    ]
    return labelled((label, one_line(text)) for label, text in rows)


AUTOMATIC = Action[Any](
    "automatic", "M", "automatic", "Turn automatic moves on or off; off also cancels those under way.", tiering.SET_POLICY,
    danger=Danger.LOSES_WORK, needs_one=False, group="Advice", run=lambda screen, _: switch(screen),
    command="storage automatic off",
)  # fmt: skip
