"""Which texts can be tokens. No sentence here contains the token."""

from __future__ import annotations


def why_not_token(token: str) -> str | None:
    """The sentence that refuses a token, or None. A token stands in an HTTP header: printable ASCII only."""
    if "\n" in token or "\r" in token:
        return "the token contains a line break: copy it again, without the end of the line"
    if not token.isascii() or not token.isprintable():
        return "the token contains a character that no token has: copy it again"
    return None
