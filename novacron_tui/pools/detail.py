"""The details of a pool."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.pools import Pool
from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering.classes import class_of, class_text, marks_text
from novacron_core.values.sizes import size_text
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Lines, labelled


def of_pool(pool: Pool, host_name: Callable[[str], str], policy: StoragePolicy | None = None) -> Lines:
    """All known properties; with the policy also what is declared of its tier."""
    shares = pool.shares_disk_with
    rows = [
        ("tier", pool.tier or "none (listed only)"),
        ("class", class_text(class_of(policy, pool.tier)) if policy else ""),
        ("marks", marks_text(policy) if policy and pool.tier else ""),
        (
            "disk",
            "unknown"
            if pool.available_bytes is None
            else f"{size_text(pool.available_bytes)} free of {size_text(pool.capacity_bytes)}",
        ),
        ("shares disk", "unknown" if shares is None else ", ".join(shares) or "no"),
        ("volumes", str(pool.volumes)),
        ("type", f"{pool.type}{'' if pool.active else ', not active'}"),
        *([("problem", pool.problem)] if pool.problem else []),
        ("host", host_name(pool.host)),
        ("path", pool.path or "administrators see this"),
        ("managed", "by NovaCron" if pool.managed else "no"),
        ("id", pool.id),
    ]
    return labelled((label, one_line(text)) for label, text in rows)
