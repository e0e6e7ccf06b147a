"""The entry point. It opens the plain console without importing typer, which would delay the first paint.

Handled here: only the console's own flags, without a command, on a terminal. Everything else, including invalid flags
and help, is passed to `command_line`.
"""

from __future__ import annotations

import argparse
import os
import sys

_TYPER_VARIABLES = ("NOVACRON_HYPERVISOR", "NOVACRON_ASCII", "NOVACRON_READ_ONLY", "_NOVACRON_COMPLETE")
"""Environment variables that only typer parses."""


def main() -> None:
    """Open the console, or run the full command line."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _mend_streams()
    flags = _console_flags(sys.argv[1:])
    if flags is None:
        from novacron_tui.startup.command_line import main as run_command_line

        run_command_line()
    else:
        _open(flags)


def _mend_streams() -> None:
    """Replace closed standard streams. Without stdout only the server runs: a command could not tell what it did."""
    from novacron_tui.cli.runtime.exit_codes import USAGE, print_error
    from novacron_tui.cli.runtime.standard_streams import open_closed_streams

    if "stdout" in open_closed_streams() and sys.argv[1:2] != ["serve"]:
        print_error("standard output is closed; redirect it instead, to /dev/null if it is not wanted")
        sys.exit(USAGE)


def _console_flags(words: list[str]) -> argparse.Namespace | None:
    """The flags of a plain console; None for everything that the full command line must parse."""
    if any(name in os.environ for name in _TYPER_VARIABLES) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("server", "profile", "token", "data-dir", "theme"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--hypervisor", action="append", default=[])
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--ascii", action="store_true", default=None)
    try:
        flags, rest = parser.parse_known_args(words)
    except argparse.ArgumentError:
        return None
    return None if rest or "" in vars(flags).values() else flags


def _open(flags: argparse.Namespace) -> None:
    from pathlib import Path

    from novacron_tui.servers.server_choice import ServerChoice
    from novacron_tui.startup.launch import open_console

    server = flags.server or os.environ.get("NOVACRON_SERVER", "")
    profile = flags.profile or ("" if flags.server else os.environ.get("NOVACRON_PROFILE", ""))
    data_dir = flags.data_dir or os.environ.get("NOVACRON_DATA_DIR")
    choice = ServerChoice(
        server=server,
        profile=profile,
        token=flags.token or os.environ.get("NOVACRON_TOKEN", ""),
        data_dir=Path(data_dir) if data_dir else None,
        server_meant=bool(flags.server),
        read_only=flags.read_only,
    )
    theme = flags.theme or os.environ.get("NOVACRON_THEME", "")
    from novacron_tui.cli.runtime.exit_codes import UsageError, exit_code_of_run
    from novacron_tui.cli.runtime.text_checks import checked

    def run() -> None:
        try:
            open_console(checked(choice), flags.hypervisor, theme, flags.ascii)
        except ValueError as e:
            raise UsageError(f"--theme: {e}") from e

    sys.exit(exit_code_of_run(run))


if __name__ == "__main__":
    main()
