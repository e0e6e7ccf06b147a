"""`novacron doctor`: checks whether this machine can run VMs, and prints a fix for each thing that is missing."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_tui.cli.doctor_checks import Finding, Machine, examine, examine_console, has_server
from novacron_tui.cli.runtime.exit_codes import DONE, FAILED
from novacron_tui.cli.runtime.output import Output, cell, colors_enabled, print_line, print_styled, show_data, width

_CONSOLE_ONLY = (
    "Only the console is installed here. It works with a server elsewhere: novacron --server URL. To run VMs on this "
    "machine, install the server, and run `novacron doctor` again."
)


def doctor(output: Output, machine: Machine) -> int:
    """Run the checks and print the findings. Returns 1 when the server is installed, and this machine cannot run VMs
    with it. Where only the console is, nothing of what a server needs is missed."""
    with_server = has_server(machine)
    found = examine(machine) if with_server else examine_console(machine)
    able = with_server and can_serve(found)
    if output.is_data:
        show_data(output, {"can_serve": able, "findings": found})
    else:
        _show(found)
        print_line("")
        print_line(_verdict(found, able) if with_server else _CONSOLE_ONLY)
    return DONE if able or not with_server else FAILED


def can_serve(found: Sequence[Finding]) -> bool:
    """Whether all required findings are ok."""
    return all(finding.ok for finding in found if finding.needed)


def _show(found: Sequence[Finding]) -> None:
    longest = max(width(finding.name) for finding in found)
    statuses = [_status(finding) for finding in found]
    indent = max(map(len, statuses))
    for finding, status in zip(found, statuses, strict=True):
        print_styled(f"{_colored(status, indent)}  {finding.name:<{longest}}  {cell(finding.detail)}")
        if not finding.ok:
            print_line(f"{'':{indent}}  {'':{longest}}  -> {cell(finding.mend)}")


def _status(finding: Finding) -> str:
    return "ok" if finding.ok else "missing" if finding.needed else "missing (optional)"


def _colored(status: str, columns: int) -> str:
    color = {"ok": 32, "missing": 31, "missing (optional)": 33}[status]
    return f"\x1b[{color}m{status:<{columns}}\x1b[0m" if colors_enabled() else f"{status:<{columns}}"


def _verdict(found: Sequence[Finding], able: bool) -> str:
    if able:
        return "This machine can run VMs. Run `novacron` to open the console with its bundled server."
    missing = ", ".join(finding.name for finding in found if finding.needed and not finding.ok)
    return f"This machine cannot run VMs (missing: {missing}). The console works with another server: novacron --server URL"
