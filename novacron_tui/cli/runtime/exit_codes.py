"""How a command ends: its exit code, and one line on stderr when something was wrong. Never a traceback.

0 done, 1 refused or failed, 2 usage, 3 unreachable, 4 not signed in; 130 after Ctrl+C and 141 when the reader of our
output went away, as a shell expects them.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from novacron_tui.terminal.safe_text import clean, one_line

if TYPE_CHECKING:  # bring msgspec and pydantic: not before the console's first paint
    from novacron_core import errors

DONE, FAILED, USAGE, UNREACHABLE, SIGNED_OUT, INTERRUPTED, READER_GONE = 0, 1, 2, 3, 4, 130, 141


class UsageError(Exception):
    """The command was called in a way that means nothing; says how it is meant."""


class ReportedCrash(Exception):
    """A fault of ours that is written down already; says where."""


class ReaderGone(Exception):
    """Nobody reads our output any more."""


def exit_code_of_run(command: Callable[[], object]) -> int:
    """Run it; the exit code."""
    _never_fail_at_a_letter()
    try:
        code = command()
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        return _nobody_reads()
    except KeyboardInterrupt:
        return INTERRUPTED
    except _of_typer("Abort"):
        return INTERRUPTED
    except _of_typer("TyperException") as e:
        _explain(e)
        return USAGE
    except UsageError as e:
        complain(str(e))
        return USAGE
    except OSError as e:
        complain(f"{e.strerror or e}: {e.filename}" if e.filename else str(e))
        return FAILED
    except Exception as e:
        if os.environ.get("NOVACRON_DEBUG"):
            raise
        return _failed(e)
    return code if isinstance(code, int) else DONE


def _of_typer(name: str) -> tuple[type[Exception], ...]:
    """An exception class of typer's; none where typer was not imported and so raised nothing."""
    if "typer" not in sys.modules:
        return ()
    import typer.exceptions

    return (getattr(typer.exceptions, name),)


def _failed(e: Exception) -> int:
    """A refusal, or a fault of ours, in one line: an operator can do nothing with a traceback."""
    from novacron_core import errors

    if isinstance(e, ReportedCrash):
        complain(str(e))
        return FAILED
    if isinstance(e, errors.NovaCronError):
        complain(sentence(e))
        return code_of(e)
    complain(f"a fault of novacron itself: {type(e).__name__}: {e} (NOVACRON_DEBUG=1 shows where)")
    return FAILED


def _never_fail_at_a_letter() -> None:
    """A terminal that cannot show a letter shows a question mark."""
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="replace")


def code_of(e: errors.NovaCronError) -> int:
    """The exit code that an error means."""
    from novacron_core import errors

    if isinstance(e, errors.ServerUnreachable):
        return UNREACHABLE
    return SIGNED_OUT if isinstance(e, errors.Unauthenticated) else FAILED


def sentence(e: errors.NovaCronError) -> str:
    """What an error says, with the fields it names and how long to wait."""
    fields = "; ".join(f"{wrong.field}: {wrong.message}" for wrong in e.fields if wrong.message not in e.detail)
    text = f"{e.detail} ({fields})" if fields else e.detail
    return f"{text}; try again in {e.retry_after_s:.0f} s" if e.retry_after_s else text


def complain(text: str) -> None:
    """One line on stderr."""
    print(f"novacron: {one_line(clean(text)).strip()}", file=sys.stderr, flush=True)


def _explain(e: Any) -> None:
    """What was wrong with the words of a command; a command group without a command shows its help."""
    context = getattr(e, "ctx", None)
    if type(e).__name__ == "NoArgsIsHelpError" or context is None:
        print(e.format_message(), file=sys.stderr)
    else:
        complain(f"{e.format_message().rstrip('.')} (see `{context.command_path} --help`)")


def _nobody_reads() -> int:
    # Python flushes stdout once more at its end, and would complain there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE
