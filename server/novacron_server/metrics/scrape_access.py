"""Who may scrape: this machine, or a client with the token from the data directory. Scrapes contain all VM names."""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from novacron_core import errors
from novacron_server.database.private_files import read_or_create_secret

FILE = "metrics-token"
Access = Literal["loopback", "token", "off"]


class ScrapeAccess:
    """`loopback`: this machine without the token, others with it. `token`: only with the token. `off`: disabled.

    Behind a proxy every client may appear to be on this machine, so the token is always required there.
    """

    def __init__(self, data_dir: Path, access: str, *, behind_proxy: bool) -> None:
        self._access = "token" if access == "loopback" and behind_proxy else access
        self._token = read_or_create_secret(data_dir / FILE) if access != "off" else ""

    def check(self, address: str, bearer: str) -> None:
        """Raise NotFound if scraping is off, Unauthenticated if the client may not scrape."""
        if self._access == "off":
            raise errors.NotFound("not found")
        if bearer and secrets.compare_digest(bearer.encode(), self._token.encode()):
            return
        if self._access == "loopback" and not bearer and _is_loopback(address):
            return
        raise errors.Unauthenticated(f"send the token from the file {FILE} in the server's data directory")


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
