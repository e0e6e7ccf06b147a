"""The address to listen on and the certificate are checked before the server opens anything."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from novacron_core import errors
from novacron_server.runtime.listening import check_certificate, listen, parse_host
from tests.support.certificates import Certificate, self_signed


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::", "::"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("localhost", "localhost"),
    ],
)
def test_address_is_accepted_in_its_usual_forms(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unix:/run/x", "does not listen on Unix sockets"),
        ("/run/x", "does not listen on Unix sockets"),
        ("256.1.1.1", "'256.1.1.1' is not an IP address or a host name"),
        ("1.2.3", "is not an IP address"),
        ("::g", "is not an IP address"),
        ("[::1", "is not an IP address"),
        ("[127.0.0.1]", "is not an IP address"),
        ("", "is not an IP address"),
        ("a b", "is not an IP address"),
        ("*", "give 0.0.0.0"),
        ("http://127.0.0.1", "without a scheme"),
        ("127.0.0.1:8090", "the port with --port"),
        ("[::1]:8090", "the port with --port"),
        ("no-such-host.invalid", "cannot be resolved"),
    ],
)
def test_other_texts_are_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        parse_host(text)
    assert refused.value.detail.startswith("--host: ")
    assert said in refused.value.detail


def test_port_in_use_and_address_of_another_machine_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.Conflict, match=f"port {port} of 127.0.0.1 is in use"):
            listen("127.0.0.1", port)
    with pytest.raises(errors.Conflict, match=r"192\.0\.2\.1 is not an address of this machine"):
        listen("192.0.2.1", 0)


def test_certificate_and_its_key_are_accepted(tmp_path: Path) -> None:
    made = self_signed(tmp_path, "one")
    check_certificate(made.cert, made.key)


def encrypted(made: Certificate) -> Path:
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return made.key


def test_file_that_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    one, two, locked = (self_signed(tmp_path, name) for name in ("one", "two", "locked"))
    empty = tmp_path / "empty"
    empty.touch()
    for cert, key, said in (
        (tmp_path / "no.pem", one.key, f"--tls-cert: cannot read {tmp_path / 'no.pem'}: No such file"),
        (one.cert, tmp_path / "no.key", f"--tls-key: cannot read {tmp_path / 'no.key'}: No such file"),
        (tmp_path, one.key, f"--tls-cert: cannot read {tmp_path}: Is a directory"),
        (empty, one.key, f"--tls-cert: {empty} has no certificate"),
        (one.key, one.key, f"--tls-cert: {one.key} has no certificate"),
        (one.cert, empty, f"--tls-key: {empty} has no private key"),
        (one.cert, two.key, f"--tls-key: {two.key} does not belong to the certificate in {one.cert}"),
        (locked.cert, encrypted(locked), f"--tls-key: {locked.key} is encrypted"),
    ):
        with pytest.raises(errors.InvalidArgument) as refused:
            check_certificate(cert, key)
        assert refused.value.detail.startswith(said)


@pytest.mark.parametrize("flags", [["--host", "256.1.1.1"], ["--tls-cert", "no.pem", "--tls-key", "no.key"]])
def test_refused_setting_opens_nothing(tmp_path: Path, flags: list[str]) -> None:
    data_dir = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-m", "novacron_server", "--data-dir", str(data_dir), *flags],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"novacron serve: {flags[0]}: ")
    assert not data_dir.exists()
