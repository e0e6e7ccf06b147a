"""Settings that are unsafe are refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from novacron_core.errors import InvalidArgument
from novacron_server.http.protocol import Connections
from novacron_server.runtime.settings import Settings


@pytest.mark.parametrize("proxy", ["*", "0.0.0.0/0", "::/0", "nonsense !", "10.0.0.1/8", ","])
def test_proxy_that_would_be_anybody_is_refused(tmp_path: Path, proxy: str) -> None:
    with pytest.raises(InvalidArgument, match="--behind-proxy"):
        Settings(tmp_path, host="0.0.0.0", behind_proxy=proxy).check()


def test_only_the_proxy_may_connect(tmp_path: Path) -> None:
    settings = Settings(tmp_path, host="0.0.0.0", behind_proxy="192.0.2.7, 2001:db8::/64")
    settings.check()
    connections = Connections(peers=settings.proxies)
    assert [connections.admits(address) for address in ("192.0.2.7", "2001:db8::9")] == [True, True]
    assert [connections.admits(address) for address in ("192.0.2.8", "127.0.0.1", "", "x")] == [False] * 4
    assert Connections().admits("198.51.100.1")


def test_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch(mode=0o644)
    with pytest.raises(InvalidArgument, match="chmod 600"):
        Settings(tmp_path, tls_cert=key, tls_key=key).check()
    key.chmod(0o600)
    Settings(tmp_path, tls_cert=key, tls_key=key).check()
