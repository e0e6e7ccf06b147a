"""`novacron audit ls|verify|export`: who did what, from where; and whether the record of it is whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from novacron_core import errors
from novacron_core.api import audit as api
from novacron_core.api.audit import AuditEntry, AuditQuery, ChainCheck, ChainQuery
from novacron_core.api.health import INFO
from novacron_core.client import Client
from novacron_core.client.audit import export_part, verify_chains
from novacron_core.rules.audit_chain import check_export
from novacron_core.rules.filters.events import with_moments
from novacron_core.rules.filters.language import FilterError
from novacron_tui.cli.runtime.exit_codes import print_error
from novacron_tui.cli.runtime.lookup import explain_filter
from novacron_tui.cli.runtime.output import Output, print_styled, show_json, show_table

_PAGE_SIZE = 1000


async def ls(client: Client, output: Output, q: str, *, at_most: int) -> None:
    """List entries that match a filter, newest first; at most so many unless it is 0."""
    await client.call(INFO)  # tells the server's time, in which ages are meant
    now = client.now()
    try:
        query = AuditQuery(q=with_moments(q, now), to=now)  # a fixed end: entries that are added shift no page
    except FilterError as e:
        raise errors.ValidationFailed(f'invalid filter "{q}": {e}') from e
    found, total = await _pages(client, query, q, at_most)
    if output is Output.JSON:
        show_json(found)
        return
    show_table(("TIME", "WHO", "ROLE", "FROM", "ACTION", "TARGET", "RESULT", "DETAIL"), map(_row, found))
    if len(found) < total:
        print_error(f"these are the newest {len(found)} of {total} entries: --count 0 lists all")


async def _pages(client: Client, query: AuditQuery, typed: str, at_most: int) -> tuple[list[AuditEntry], int]:
    found: dict[tuple[str, int], AuditEntry] = {}
    for number in range(1, 1_000_000):
        size = min(_PAGE_SIZE, at_most or _PAGE_SIZE)
        try:
            page = await client.call(api.LIST, query=msgspec.structs.replace(query, page=number, page_size=size))
        except errors.ValidationFailed as e:
            raise explain_filter(typed, e) from e
        # A refusal is written a moment after its time, and may have moved others to this page.
        found |= {(entry.tenant, entry.seq): entry for entry in page.items}
        if len(page.items) < size or (at_most and len(found) >= at_most):
            break
    return list(found.values())[: at_most or None], page.total


def _row(entry: AuditEntry) -> tuple[object, ...]:
    target = entry.target.name or entry.target.id or entry.target.type
    who = f"{entry.actor} (token {entry.token})" if entry.token else entry.actor
    times = f"{entry.result} × {entry.times}" if entry.times > 1 else str(entry.result)
    return _time(entry), who, entry.role, entry.address, entry.action, target, times, entry.detail


def _time(entry: AuditEntry) -> str:
    """In this machine's time zone; a year that has none there is shown as it came."""
    try:
        return entry.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return entry.time.isoformat()


def verify_file(output: Output, file: Path) -> int:
    """Verify an export. Returns the exit code as `verify` does."""
    try:
        with file.open(encoding="utf-8") as lines:
            checks, keys = check_export(json.loads(line) for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as e:
        raise errors.InvalidSetting(f"cannot read {file}: {getattr(e, 'strerror', None) or 'it is not text'}") from e
    code = _show(output, checks)
    print_error(f"signed with {', '.join(keys) or 'no key'}: compare it with the server's own export")
    return code


async def verify(client: Client, output: Output, tenant: str | None) -> int:
    """Verify chains. Returns the exit code: 1 when an entry is not as it was written."""
    return _show(output, await verify_chains(client, tenant))


def _show(output: Output, checks: list[ChainCheck]) -> int:
    if output is Output.JSON:
        show_json(checks)
    else:
        show_table(("TENANT", "ENTRIES", "FIRST", "LAST", "RESULT"), map(_check_row, checks))
    bad = [check for check in checks if check.reason]
    if bad:
        print_error(f"the audit log was changed: entry {bad[0].bad_seq}: {bad[0].reason}")
    return 1 if bad else 0


def _check_row(check: ChainCheck) -> tuple[object, ...]:
    result = f"entry {check.bad_seq}: {check.reason}" if check.reason else "whole"
    if not check.reason and check.pruned:
        result = f"whole; entries up to {check.pruned} were deleted by retention"
    return check.tenant or "(installation)", check.entries, check.first or None, check.last or None, result


async def export(client: Client, tenant: str | None) -> None:
    """Print chains as JSON lines, each with its signed head."""
    async for line in _lines(client, ChainQuery(tenant=tenant)):
        print_styled(line)


async def _lines(client: Client, query: ChainQuery) -> AsyncIterator[str]:
    """The lines of all parts, as ASCII."""
    after: str | None = ""
    while after is not None:
        data = await export_part(client, msgspec.structs.replace(query, after=after))
        after = None
        for line in data.splitlines():
            values = json.loads(line)
            if values.get("record") == "next":
                after = values["after"]
            else:
                yield json.dumps(values, ensure_ascii=True).replace("\x7f", "\\u007f")
