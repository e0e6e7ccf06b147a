"""The top line of every screen: server, freshness of the data, hosts, VM states and running operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from novacron_core.api.access import User
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import State
from novacron_core.values.ages import age_text
from novacron_core.values.counts import counted
from novacron_tui.actions import Action
from novacron_tui.connection.session import Session
from novacron_tui.connection.store import ConnectionState, Store
from novacron_tui.problems.entries import problems
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.glyphs import Glyphs, state_tone
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.text_bar import Piece

FILTER = "filter "
"""Before the filter in the name of a piece: a click shows the VMs that match it."""
_SHOWN = tuple(State)
"""All states in the order of the API: leaving one out would make the sum wrong."""


def top_line(
    session: Session, glyphs: Glyphs, screens: Sequence[Action[Any]] = (), here: Action[Any] | None = None
) -> tuple[Sequence[Piece], Sequence[Piece]]:
    """The pieces of the left and right side. `screens` are the screen tabs; `here` is the current one."""
    store = session.store
    left = [
        Piece(" NovaCron ", "brand", 12),
        _profile(session.server),
        *([Piece(" "), Piece(" READ-ONLY ", "alarm")] if session.server.read_only else []),
        Piece(" "),
        *_freshness(store, glyphs),
        *_problems(store, glyphs),
        *_database(store),
        *_degraded(store),
        *_simulated(store),
        *_hosts(store),
        *_vms(store, glyphs),
    ]
    running = len(store.running())
    work = [Piece(f"{glyphs.work} {counted(running, 'operation')}   ", "busy", 4)] if running else []
    return left, [*work, *_screen_tabs(screens, here), *_who(session.user)]


def window_title(session: Session, glyphs: Glyphs) -> str:
    """What a terminal's tab says of this console: the server, that it is out of reach, and how much is wrong there."""
    store = session.store
    found = problems(store)
    words = [
        one_line(session.server.profile),
        *(["OFFLINE"] if store.connection is ConnectionState.OFFLINE else []),
        *([f"{glyphs.bad}{len(found)}"] if found else []),
    ]
    return f"{' '.join(words)} – NovaCron"


def _who(user: User) -> list[Piece]:
    """The user, and who may work in several tenants, the one of this session: VMs may have the same names in both."""
    own = {each.tenant for each in user.memberships}
    several = len(own) > 1 or (bool(own) and user.tenant not in own)
    tenant = [Piece("in ", "quiet", 3), Piece(f"{one_line(user.tenant)} ", "strong", 0)] if several else []
    return [Piece(f"{user.username} ", "plain", 3), *tenant, Piece(f"({user.role}) ", "quiet", 11)]


def _screen_tabs(screens: Sequence[Action[Any]], here: Action[Any] | None) -> list[Piece]:
    pieces = []
    for tab in screens:
        key, label = ("strong", "strong") if tab is here else ("key", "quiet")
        pieces.append(Piece(tab.key, key, 0, tab.key))
        pieces.append(Piece(f" {tab.label}", label, 9, tab.key, "ways"))
        pieces.append(Piece("   " if tab is screens[-1] else " ", label, 0, tab.key))
    return pieces


def _profile(server: ServerRef) -> Piece:
    return Piece(f" {server.profile} ", "danger" if server.production else "badge", 0 if server.production else 2)


def _freshness(store: Store, glyphs: Glyphs) -> list[Piece]:
    connection = store.connection
    if connection is ConnectionState.LIVE:
        return [Piece(f"{glyphs.live} LIVE", "good")]
    if connection is ConnectionState.LOADING:
        return [Piece(f"{glyphs.work} LOADING", "busy")]
    if connection is ConnectionState.STALE:
        return [Piece(f"{glyphs.stale} STALE {age_text(store.age_s)}", "warn")]
    pieces = [Piece(f"{glyphs.offline} OFFLINE {age_text(store.age_s)}", "bad")]
    if store.retry_in_s is not None:
        wait_s = round(store.retry_in_s)
        pieces.append(Piece(f" retrying in {wait_s} s" if wait_s else " retrying now", "warn", 1))
    return pieces


def _database(store: Store) -> list[Piece]:
    if store.database_away_since is None or store.connection is ConnectionState.OFFLINE:
        return []
    away_s = max(0.0, (store.now() - store.database_away_since).total_seconds())
    return [Piece(f"   database down {age_text(away_s)}", "bad"), Piece(": changes are disabled", "bad", 2)]


def _degraded(store: Store) -> list[Piece]:
    """Which parts of the server have failed lately: what they keep current may be old."""
    if not store.degraded or store.connection is ConnectionState.OFFLINE:
        return []
    names = _first(one_line(name) for name in store.degraded)
    return [Piece("   server degraded", "warn", 1), Piece(f": {names}", "warn", 7)]


def _problems(store: Store, glyphs: Glyphs) -> list[Piece]:
    found = problems(store)
    if not found:
        return []
    tone = "bad" if any(problem.severe for problem in found) else "warn"
    return [
        Piece(f"   {glyphs.bad} {len(found)}", tone, 0, "!"),
        Piece(f" {'problem' if len(found) == 1 else 'problems'}", tone, 7, "!"),
    ]


def _simulated(store: Store) -> list[Piece]:
    if any(host.simulated for host in store.hosts.values()):
        return [Piece(" "), Piece(" SIMULATED ", "alarm")]
    return []


def _hosts(store: Store) -> list[Piece]:
    total = len(store.hosts)
    if not total:
        return []
    up = sum(host.status is HostStatus.UP for host in store.hosts.values())
    if up == total:
        return [Piece(f"   {counted(total, 'host')} up", "plain", 6)]
    down = [host for host in store.hosts.values() if host.status is HostStatus.DOWN]
    waiting = total - up - len(down)
    tone = "bad" if not up else "warn"
    pieces = [Piece(f"   {counted(up, 'host')} up", tone, 2)]
    if down:
        pieces.append(Piece(f", {len(down)} down", tone, 2))
        pieces.append(Piece(f": {_first(one_line(host.name) for host in down)}", tone, 4))
    if waiting:
        pieces.append(Piece(f", {waiting} connecting", tone, 2))
    return pieces


def _first(names: Iterable[str]) -> str:
    """The first name, and how many more there are."""
    first, *rest = names
    return f"{first} +{len(rest)}" if rest else first


def _vms(store: Store, glyphs: Glyphs) -> list[Piece]:
    counts = store.counts()
    pieces: list[Piece] = []
    for state in _SHOWN:
        if counts[state]:
            urgent = state in (State.CRASHED, State.FAILED, State.UNKNOWN)
            rank = 3 if urgent else 5
            gap = "   " if not pieces else "  "
            pieces.append(
                Piece(
                    f"{gap}{glyphs.state(state)} {counts[state]}",
                    state_tone(state),
                    rank,
                    f"{FILTER}state:{state}",
                    "" if urgent else "counts",
                )
            )
            pieces.append(Piece(f" {state}", "quiet", 10, f"{FILTER}state:{state}", "words"))
    return pieces
