"""The console script. The plain console is on the screen before typer, which reads everything else, would be imported.

Only what this reads itself and surely is taken here: the console's own flags, without a command, on a terminal. All else,
wrong flags and help among it, goes to `command_line`.
"""

from __future__ import annotations

import argparse
import os
import sys

_SLOW_VARIABLES = ("NOVACRON_HYPERVISOR", "NOVACRON_ASCII", "_NOVACRON_COMPLETE")
"""Variables that typer has its own way to read."""


def main() -> None:
    """Open the console, or hand over to the whole command line."""
    flags = _console_flags(sys.argv[1:])
    if flags is None:
        from novacron_tui.startup.command_line import main as whole

        whole()
    else:
        _open(flags)


def _console_flags(words: list[str]) -> argparse.Namespace | None:
    """The flags of a plain console; None where this is something else, or not surely understood."""
    if any(name in os.environ for name in _SLOW_VARIABLES) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("server", "profile", "token", "data-dir", "theme"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--hypervisor", action="append", default=[])
    parser.add_argument("--ascii", action="store_true")
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
    named = ServerChoice(
        server=server,
        profile=profile,
        token=flags.token or os.environ.get("NOVACRON_TOKEN", ""),
        data_dir=Path(data_dir) if data_dir else None,
        server_meant=bool(flags.server),
    )
    theme = flags.theme or os.environ.get("NOVACRON_THEME", "")
    from novacron_tui.cli.runtime.exit_codes import UsageError, exit_code_of_run

    def work() -> None:
        try:
            open_console(named, flags.hypervisor, theme, flags.ascii)
        except ValueError as e:
            raise UsageError(f"--theme: {e}") from e

    sys.exit(exit_code_of_run(work))


if __name__ == "__main__":
    main()
