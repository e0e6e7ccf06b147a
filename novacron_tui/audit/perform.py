"""Verifying the audit log, and how to export it."""

from __future__ import annotations

from novacron_core.client.audit import verify_chains
from novacron_core.errors import NovaCronError
from novacron_tui.actions import ActionContext
from novacron_tui.audit.entries import check_lines
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Detail
from novacron_tui.widgets.text_bar import Piece


async def verify(context: ActionContext, _row: object) -> None:
    """Verify every chain that the user may read, and show what was found."""
    context.say("Verifying the audit log…", "busy")
    try:
        checks = await verify_chains(context.session.client)
    except NovaCronError as e:
        context.say(f"the audit log was not verified: {one_line(e.detail)}", "bad")
        return
    broken = sum(bool(check.reason) for check in checks)
    entries = sum(check.entries for check in checks)
    if broken:
        context.say("the audit log was changed", "bad")
    else:
        context.say(f"{entries:,} entries verified: the audit log is whole", "good")
    title = "The audit log was changed" if broken else "The audit log is whole"
    await context.show_dialog(Detail(title, check_lines(checks, export_command(context))))


async def export(context: ActionContext, _row: object) -> None:
    """Show the commands that export the log and verify the copy."""
    lines = [
        [Piece("JSON lines, with the signed hash of the last entry of each chain:", "quiet")],
        [Piece(f"{one_line(export_command(context))} > audit.jsonl", "accent")],
        [],
        [Piece("Verify the copy, also without the server:", "quiet")],
        [Piece("novacron audit verify audit.jsonl", "accent")],
    ]
    await context.show_dialog(Detail("Export the audit log", lines))


def export_command(context: ActionContext) -> str:
    return f"novacron audit export {context.session.server.flag}".rstrip()
