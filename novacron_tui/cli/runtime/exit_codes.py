"""How a command exits: its exit code, and one line on stderr when something went wrong. Never a traceback.

0 done, 1 refused or failed, 2 usage, 3 unreachable, 4 not signed in; 130 after Ctrl+C and 141 when the reader of our
output closed the pipe, as a shell expects them.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from novacron_tui.terminal.capabilities import encoding_of, in_ascii, needs_ascii
from novacron_tui.terminal.safe_text import one_line

if TYPE_CHECKING:  # it imports msgspec and pydantic, which must not delay the console's first paint
    from novacron_core import errors

_MIN_SECRET = 8
DONE, FAILED, USAGE, UNREACHABLE, SIGNED_OUT, INTERRUPTED, READER_GONE = 0, 1, 2, 3, 4, 130, 141


class UsageError(Exception):
    """The command line is invalid; the message says how to correct it."""


class ReportedCrash(Exception):
    """An internal error whose crash report is already written; the message names the file."""


class ReaderGone(Exception):
    """The reader of our output closed the pipe."""


def exit_code_of_run(command: Callable[[], object]) -> int:
    """Run a command and return its exit code."""
    _replace_unencodable()
    try:
        code = command()
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        return _silence_stdout()
    except KeyboardInterrupt:
        return INTERRUPTED
    except _of_typer("Abort"):
        return INTERRUPTED
    except _of_typer("TyperException") as e:
        _explain(e)
        return USAGE
    except UsageError as e:
        print_error(str(e))
        return USAGE
    except OSError as e:
        print_error(f"{e.strerror or e}: {e.filename}" if e.filename else str(e))
        return FAILED
    except Exception as e:
        if os.environ.get("NOVACRON_DEBUG"):
            raise
        return _report_failure(e)
    return code if isinstance(code, int) else DONE


def _of_typer(name: str) -> tuple[type[Exception], ...]:
    """An exception class of typer; empty when typer was not imported, for then it raised nothing."""
    if "typer" not in sys.modules:
        return ()
    import typer.exceptions

    return (getattr(typer.exceptions, name),)


def _report_failure(e: Exception) -> int:
    """Print a refusal or an internal error in one line, because operators cannot use a traceback. The exit code."""
    from novacron_core import errors

    if isinstance(e, ReportedCrash):
        print_error(str(e))
        return FAILED
    if isinstance(e, errors.NovaCronError):
        print_error(error_text(e))
        return exit_code_of(e)
    print_error(f"internal error: {type(e).__name__}: {e} (set NOVACRON_DEBUG=1 for a traceback)")
    return FAILED


def _replace_unencodable() -> None:
    """Print in the terminal's encoding, with a question mark for every character that it lacks, instead of failing."""
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(encoding=encoding_of(out), errors="replace")


def exit_code_of(e: errors.NovaCronError) -> int:
    """The exit code of an error."""
    from novacron_core import errors

    if isinstance(e, errors.ServerUnreachable | errors.UntrustedServer):
        return UNREACHABLE
    if isinstance(e, errors.InvalidSetting):
        return USAGE
    return SIGNED_OUT if isinstance(e, errors.Unauthenticated) else FAILED


def error_text(e: errors.NovaCronError) -> str:
    """An error's message, with its invalid fields and how long to wait before a retry."""
    fields = "; ".join(f"{wrong.field}: {wrong.message}" for wrong in e.fields if wrong.message not in e.detail)
    text = f"{e.detail} ({fields})" if fields else e.detail
    return f"{text}; try again in {e.retry_after_s:.0f} s" if e.retry_after_s else text


def print_error(text: str) -> None:
    """Print one line on stderr. Sentences have no secrets; the text of an unexpected exception may, so those that this
    process was given are replaced."""
    for secret in _secrets():
        text = text.replace(secret, "***")
    line = f"novacron: {one_line(text).strip()}"
    if not line.isascii() and needs_ascii(sys.stderr):
        line = in_ascii(line, encoding_of(sys.stderr))
    print(line, file=sys.stderr, flush=True)


def _secrets() -> list[str]:
    """The token of this process, as it was given, and the passwords of its proxies; short ones could be any word."""
    given = [os.environ.get("NOVACRON_TOKEN", "")]
    given += [word.removeprefix("--token=") for word in sys.argv if word.startswith("--token=")]
    given += [word for flag, word in itertools.pairwise(sys.argv) if flag == "--token"]
    proxies = [value for name, value in os.environ.items() if name.lower().endswith("_proxy") and "@" in value]
    given += [value.rpartition("@")[0].rpartition("/")[2].partition(":")[2] for value in proxies]
    return sorted({secret for secret in given if len(secret) >= _MIN_SECRET}, key=len, reverse=True)


def _explain(e: Any) -> None:
    """Print what is wrong with a command line; for a command group without a command, its help."""
    context = getattr(e, "ctx", None)
    if type(e).__name__ == "NoArgsIsHelpError" or context is None:
        print(e.format_message(), file=sys.stderr)
    else:
        print_error(f"{e.format_message().rstrip('.')} (see `{context.command_path} --help`)")


def _silence_stdout() -> int:
    # Python flushes stdout once more at exit, and would report the broken pipe there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE
