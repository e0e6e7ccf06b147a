"""What the console leaves behind when it fails by a fault of its own: one sentence, and a file that says where."""

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
    """The sentence. The file has the lines of code, and not what their variables held: a password may be among them."""
    cause = error.error if isinstance(error, WorkerFailed) else error
    said = f"a fault of novacron itself: {type(cause).__name__}: {cause}"
    lines = "".join(traceback.format_exception(cause))
    try:
        path = _path()
        private_folder(path.parent)
        write_private(path, clean(f"novacron {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n{lines}"))
    except OSError:
        return ReportedCrash(f"{said} (NOVACRON_DEBUG=1 shows where)")
    return ReportedCrash(f"{said} (where it was: {path})")


def _path() -> Path:
    import platformdirs

    return platformdirs.user_state_path("novacron") / "fault.txt"
