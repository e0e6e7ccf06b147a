"""`storage policy …`, `storage automatic` and `storage decisions`: when volumes move, and what moves by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from novacron_core.api import automatic, hosts, tiering
from novacron_core.api.automatic import AutomaticChange
from novacron_core.api.base import ListQuery
from novacron_core.api.tiering import PolicyChange, StoragePolicy
from novacron_core.client import Client
from novacron_core.rules.tiering.policy import pair_text
from novacron_core.rules.validation import explain
from novacron_core.values.ages import age_text, moment_text, parse_duration
from novacron_core.values.sizes import parse_size, size_text
from novacron_core.values.tiers import PAIRS, TIERS
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.output import Output, print_line, show_data, show_pairs, show_table

_CLASS = {"cost": "cost_per_gib_month", "latency": "expected_ms", "redundancy": "redundancy"}
"""What is declared of a tier: its name on the command line, and that of the field."""
_PAIR = {"bandwidth": "bandwidth_bytes_s", "window": "window"}
"""The settings of a pair of tiers."""
_PLAIN = [name for name in PolicyChange.__struct_fields__ if name not in ("tiers", "automatic")]
_OWN = [name for name in AutomaticChange.__struct_fields__ if name not in ("enabled", "pairs")]
_NEWEST = 500
_SWITCH = {"on": True, "off": False}


async def show(client: Client, output: Output) -> None:
    """Show the storage policy."""
    _show(output, await client.call(tiering.POLICY))


async def change(client: Client, output: Output, settings: Sequence[str]) -> None:
    """Change settings, given as NAME=VALUE: `hot.cost=2` is declared of a tier, `warm-to-hot=on` is about moves from one to
    another."""
    before = await client.call(tiering.POLICY)
    fields: dict[str, Any] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign:
            raise UsageError(f"{setting}: give NAME=VALUE")
        _set(fields, before, name, value)
    try:
        body = msgspec.convert(fields, PolicyChange)
    except msgspec.ValidationError as e:
        sentence, field = explain(str(e))
        raise UsageError(f"{field}: {sentence}") from e
    _show(output, await client.call(tiering.SET_POLICY, body=body))


def _set(fields: dict[str, Any], before: StoragePolicy, name: str, value: str) -> None:
    """Add one setting to a change."""
    first, _, what = name.partition(".")
    own = fields.setdefault("automatic", {}) if name == "automatic" or first in PAIRS or name in _OWN else {}
    if name == "automatic":
        own["enabled"] = _on(name, value)
    elif first in PAIRS and what in ("", *_PAIR):
        pair = own.setdefault("pairs", {}).setdefault(first, {})
        if not what:
            pair["enabled"] = _on(name, value)
        else:
            pair[_PAIR[what]] = value if what == "window" else int(_number("bandwidth_bytes_s", value or "0"))
    elif name in _OWN:
        own[name] = value if name == "time_zone" else _number(name, value)
    elif first in TIERS and what in _CLASS:
        known = before.tiers.get(first)
        declared = fields.setdefault("tiers", {}).setdefault(first, msgspec.to_builtins(known) if known else {})
        declared[_CLASS[what]] = value if what == "redundancy" else None if value == "" else _number(name, value)
    elif name == "budget_month" and not value:
        fields[name] = None
    elif name in _PLAIN:
        fields[name] = int(_number(name, value)) if name == "evaluations" else _number(name, value)
    elif first in PAIRS:
        raise UsageError(
            f"{name}: the settings of a pair are {first}=on, {', '.join(f'{first}.{each}' for each in _PAIR)}"
        )
    elif what:
        raise UsageError(f"{name}: a tier's settings are {', '.join(f'hot.{each}' for each in _CLASS)}")
    else:
        raise UsageError(f"{name}: the settings are {', '.join([*_PLAIN, 'automatic', *_OWN])}, and warm-to-hot=on")


def _on(name: str, value: str) -> bool:
    if value not in _SWITCH:
        raise UsageError(f"{name}: give on or off")
    return _SWITCH[value]


def _show(output: Output, found: StoragePolicy) -> None:
    if output.is_data:
        show_data(output, found)
        return
    rows: list[tuple[str, object]] = [(name, _told(name, getattr(found, name))) for name in _PLAIN]
    for tier, declared in found.tiers.items():
        rows += [(f"{tier}.{word}", getattr(declared, field)) for word, field in _CLASS.items()]
    own = found.automatic
    rows.append(("automatic", "on" if own.enabled else "off"))
    rows += [(name, own.time_zone if name == "time_zone" else _told(name, getattr(own, name))) for name in _OWN]
    rows += [(pair, pair_text(own, settings)) for pair, settings in own.pairs.items()]
    show_pairs(rows)


def _told(name: str, value: float | None) -> str:
    """Seconds as a duration, bytes as a size: both can be given like that."""
    if value is None:
        return "no limit"
    if name.endswith("bytes_s"):
        return f"{size_text(value)}/s"
    return age_text(value) if name.endswith("_s") else f"{value:g}"


def _number(name: str, text: str) -> float:
    """A number; of a setting in seconds also a duration, of one in bytes also a size."""
    try:
        if name.endswith("bytes_s"):
            return float(parse_size(text.removesuffix("/s")))
        return parse_duration(text) if name.endswith("_s") and not text.replace(".", "").isdigit() else float(text)
    except ValueError as e:
        raise UsageError(f"{name}: {text!r} is not a value: {e}") from e


async def automatic_moves(client: Client, output: Output, switch: str) -> None:
    """Show what the server moves by itself; with `on` or `off` turn it on or off first. Off also cancels what moves."""
    if switch:
        body = PolicyChange(automatic=AutomaticChange(enabled=_on("automatic", switch)))
        policy = await client.call(tiering.SET_POLICY, body=body)
        if switch == "on" and not any(pair.enabled for pair in policy.automatic.pairs.values()):
            print_line(
                "Nothing moves yet: turn pairs on, e.g. novacron storage policy set warm-to-hot=on hot-to-warm=on"
            )
    found = await client.call(automatic.STATUS)
    if output.is_data:
        show_data(output, found)
        return
    if not found.enabled:
        print_line("Automatic moves are off.")
        return
    print_line("Automatic moves are on.")
    names = {host.id: host.name for host in (await client.call(hosts.LIST)).items} if found.pairs else {}
    rows = (
        (names.get(each.host, each.host), each.pair.replace("-", " "), each.moving or "-", each.waits or "-")
        for each in found.pairs
    )
    if found.pairs:
        show_table(("HOST", "PAIR", "MOVING", "WAITS"), rows)


async def decisions(client: Client, output: Output, q: str) -> None:
    """List what the server decided about advised moves, newest first."""
    page = await client.call(automatic.DECISIONS, query=ListQuery(q=q, page_size=_NEWEST))
    found = page.items
    if output.is_data:
        show_data(output, found)
        return
    rows = (
        (moment_text(each.last_at), each.name, f"{each.source} to {each.target}", each.result,
         str(each.times) if each.times > 1 else "", each.why)
        for each in found
    )  # fmt: skip
    show_table(("LAST", "VOLUME", "MOVE", "RESULT", "TIMES", "WHY"), rows)
    if page.total > len(found):
        print_line(f"These are the newest {len(found):,} of {page.total:,}: give words to find others.")
