"""Refuses texts of the command line and its variables that no request can carry. No sentence here quotes a secret."""

from __future__ import annotations

from collections.abc import Iterable

from novacron_core.values.tokens import why_not_token
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.servers.server_choice import ServerChoice


def checked(choice: ServerChoice) -> ServerChoice:
    """The chosen server. Raises UsageError for a token that no header can carry, or a name that is no text."""
    if choice.token and (refused := why_not_token(choice.token)):
        raise UsageError(f"NOVACRON_TOKEN or --token: {refused}")
    refuse_undecodable("NOVACRON_SERVER or --server", [choice.server])
    refuse_undecodable("NOVACRON_PROFILE or --profile", [choice.profile])
    return choice


def refuse_undecodable(name: str, texts: Iterable[str]) -> None:
    """Raises UsageError when a text came from bytes that are not UTF-8. File names may have such bytes; nothing that
    is sent to a server may."""
    for text in texts:
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise UsageError(f"{name} is not valid UTF-8")
