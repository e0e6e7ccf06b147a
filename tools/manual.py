#!/usr/bin/env python3
"""Writes the manual page `docs/novacron.1` from the commands and their help. `make manual` runs it; a test compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from novacron_core import __version__
from novacron_tui.cli.serve_flags import SERVE_FLAGS
from novacron_tui.startup.command_line import app

PAGE = Path(__file__).parents[1] / "docs" / "novacron.1"
_NOT_OURS = frozenset({"--install-completion", "--show-completion", "--help"})
_INTRODUCTION = """\
NovaCron manages virtual machines on libvirt hosts.
Without a command, \\fBnovacron\\fR opens the console: on the bundled server of this machine, which it starts when
needed, or on the server that \\fB\\-\\-server\\fR or \\fB\\-\\-profile\\fR names.
The commands do the same for scripts.
"""
_END = """\
.SH EXIT STATUS
.TP
.B 0
Done, or there was nothing to do.
.TP
.B 1
Refused or failed.
.TP
.B 2
The command line or a variable cannot be used.
.TP
.B 3
The server cannot be reached, or is not trusted.
.TP
.B 4
Not signed in.
.TP
.B 130
Interrupted with Ctrl+C.
.TP
.B 141
The reader of the output closed the pipe.
.SH ENVIRONMENT
.TP
.B NOVACRON_CERTIFICATE
The SHA\\-256 fingerprint of the server's certificate, for scripts without a saved profile.
.TP
.B HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY
Proxies, as for \\fBcurl\\fR(1); also in lower case. This machine's own addresses are never reached through a proxy.
SOCKS proxies need the extra \\fBnovacron[socks]\\fR.
.TP
.B NO_COLOR
Print no colours.
.PP
The variables of flags are named with the flags.
.SH FILES
.TP
.I ~/.config/novacron/profiles.toml
The known servers.
.TP
.I ~/.local/state/novacron/sessions/
Saved sessions, where no keyring is unlocked.
"""


def page() -> str:
    """The text of the manual page."""
    root = typer.main.get_command(app)
    lines = [
        f'.TH NOVACRON 1 "" "novacron {__version__}" "NovaCron manual"',
        '.\\" Written by tools/manual.py.',
        ".SH NAME",
        "novacron \\- the terminal control room for virtual machines",
        ".SH SYNOPSIS",
        ".B novacron",
        "[\\fIOPTION\\fR]... [\\fICOMMAND\\fR [\\fIARGUMENT\\fR]...]",
        ".SH DESCRIPTION",
        _INTRODUCTION.rstrip(),
        ".SH OPTIONS",
        *_options(root),
        ".SH COMMANDS",
        *_commands(root, "novacron"),
    ]
    return "\n".join(lines) + "\n" + _END


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        whole = f"{path} {name}"
        if hasattr(command, "commands"):
            yield from _commands(command, whole)
            continue
        yield f".SS {_escape(whole)} {_arguments(command)}".rstrip()
        yield _escape(command.help.strip())
        yield from _options(command)
        if name == "serve":
            for flag, text in SERVE_FLAGS.items():
                yield from (".TP", f".B {_escape(flag)}", _escape(f"{text} [{_variable(flag)}]"))


def _arguments(command: Any) -> str:
    names = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    return " ".join(f"\\fI{_escape(parameter.metavar or parameter.name.upper())}\\fR" for parameter in names)


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name != "option" or parameter.hidden or _NOT_OURS & set(parameter.opts):
            continue
        flags = ", ".join(f"\\fB{_escape(flag)}\\fR" for flag in sorted(parameter.opts, key=len))
        value = "" if parameter.is_flag else f" \\fI{_escape(_value_name(parameter))}\\fR"
        variable = f" [{parameter.envvar}]" if parameter.envvar else ""
        yield from (".TP", f"{flags}{value}", _escape(f"{parameter.help}{variable}"))


def _value_name(parameter: Any) -> str:
    return str(parameter.metavar or max(parameter.opts, key=len).strip("-").upper())


def _variable(flag: str) -> str:
    return f"NOVACRON_{flag.strip('-').replace('-', '_').upper()}"


def _escape(text: str) -> str:
    """Text as roff: backslashes and hyphens are escaped, and no line begins with a control character."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE}\n")
