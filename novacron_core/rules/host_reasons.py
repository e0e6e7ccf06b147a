"""Why a host does not respond, for members: libvirt's sentence names where the host is and as whom it is entered."""

from __future__ import annotations

import re

_OWN = re.compile(
    r"|connecting|closed|no response|not connected yet|\d+ earlier calls still hang|calls to libvirt hang"
    r"|libvirt stopped responding|lost connection to libvirt|connection error|the connection was closed"
    r"|the host did not respond in time|lost the connection to the host"
)
"""What the server says itself."""
_KINDS = (
    (r"permission denied|authentication|not authorized|password|publickey|access denied", "it refuses the sign-in"),
    (r"host key|certificate|\btls\b|handshake", "its identity cannot be verified"),
    (r"could not resolve|name or service|name resolution|unknown host", "its name cannot be resolved"),
    (r"no route|unreachable", "the network does not reach it"),
    (r"refused|no such file|not running", "its libvirt accepts no connection"),
    (r"timed? ?out|keepalive|no response", "it does not answer"),
)


def public_reason(detail: str) -> str:
    """The kind of a failure: nothing of `detail` but what the server says itself."""
    if _OWN.fullmatch(detail):
        return detail
    lowered = detail.lower()
    return next((told for kind, told in _KINDS if re.search(kind, lowered)), "the connection was lost")
