"""The report of an internal error of the console: one sentence, and a file with the traceback."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from pathlib import Path

from textual.worker import WorkerFailed

from novacron_core import __version__
from novacron_tui.cli.runtime.exit_codes import ReportedCrash
from novacron_tui.servers.profiles import private_folder, write_private
from novacron_tui.terminal.safe_text import clean


def write_crash_report(error: Exception) -> ReportedCrash:
    """Write the file and return the sentence as an exception. The traceback has no local variables, which may hold
    passwords."""
    cause = error.error if isinstance(error, WorkerFailed) else error
    sentence = f"internal error: {type(cause).__name__}: {cause}"
    lines = "".join(traceback.format_exception(cause))
    try:
        path = _path()
        private_folder(path.parent)
        write_private(path, clean(f"novacron {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n{lines}"))
    except OSError:
        return ReportedCrash(f"{sentence} (set NOVACRON_DEBUG=1 for a traceback)")
    return ReportedCrash(f"{sentence} (traceback in {path})")


def _path() -> Path:
    import platformdirs

    return platformdirs.user_state_path("novacron") / "fault.txt"
