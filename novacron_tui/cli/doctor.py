"""`novacron doctor`: what this machine has and lacks, each with the line that mends it."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_tui.cli.doctor_checks import Finding, Machine, examine
from novacron_tui.cli.runtime.exit_codes import DONE, FAILED
from novacron_tui.cli.runtime.output import Output, cell, decorated, say, show_json, width


def doctor(output: Output, machine: Machine) -> int:
    """Look, and say what was found. 1 when this machine cannot run VMs with the bundled server."""
    found = examine(machine)
    able = can_serve(found)
    if output is Output.JSON:
        show_json({"can_serve": able, "findings": found})
    else:
        _show(found)
        say("")
        say(_verdict(found, able))
    return DONE if able else FAILED


def can_serve(found: Sequence[Finding]) -> bool:
    """Whether everything is there that the main job needs."""
    return all(finding.ok for finding in found if finding.needed)


def _show(found: Sequence[Finding]) -> None:
    longest = max(width(finding.name) for finding in found)
    for finding in found:
        word = "ok" if finding.ok else "missing" if finding.needed else "without"
        say(f"{_painted(word)}  {finding.name:<{longest}}  {cell(finding.detail)}")
        if not finding.ok:
            say(f"{'':9}{'':{longest}}  -> {cell(finding.mend)}")


def _painted(word: str) -> str:
    colour = {"ok": 32, "missing": 31, "without": 33}[word]
    return f"\x1b[{colour}m{word:<7}\x1b[0m" if decorated() else f"{word:<7}"


def _verdict(found: Sequence[Finding], able: bool) -> str:
    if able:
        return "This machine can run VMs: `novacron` opens the console with its own server."
    missing = ", ".join(finding.name for finding in found if finding.needed and not finding.ok)
    return f"This machine cannot run VMs itself (missing: {missing}); the console works: novacron --server URL"
