"""Servers with a self-signed certificate: it is shown once and pinned, and a changed one is refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api.health import INFO
from novacron_core.client import Client, certificates, stream
from novacron_core.client.credentials import Credentials
from tests.support.accounts import PASSWORD
from tests.support.command_line import Run
from tests.support.processes import NOVACRON, serve
from tests.support.scratch import scratch
from tests.support.terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make certificates with")


def certificate(folder: Path, name: str) -> tuple[Path, Path, str]:
    """Create a self-signed certificate. Returns (file, key, fingerprint according to openssl)."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*make, *names], check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(cert), "-noout", "-fingerprint", "-sha256"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return cert, key, shown.strip().partition("=")[2]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with scratch() as path:
        yield path


@contextmanager
def secured(data_dir: Path, name: str, port: str = "0") -> Iterator[tuple[str, str]]:
    """The (URL, fingerprint) of a server with a certificate of this name."""
    cert, key, fingerprint = certificate(data_dir, name)
    with serve(data_dir, "--port", port, "--tls-cert", str(cert), "--tls-key", str(key)) as (url, _):
        assert url.startswith("https://")
        yield url, fingerprint


async def register_ann(url: str, fingerprint: str, data_dir: Path) -> None:
    from novacron_core.api import access

    token = (data_dir / "setup-token").read_text().strip()
    async with Client(url, certificate=fingerprint) as client:
        body = access.Register(username="ann", password=PASSWORD, setup_token=token)
        await client.call(access.REGISTER, body=body)


async def test_only_the_pinned_certificate_is_accepted_by_requests_and_the_stream(data_dir: Path) -> None:
    with secured(data_dir, "one") as (url, fingerprint):
        assert (await certificates.fetch_certificate(url)).fingerprint == fingerprint
        async with Client(url, certificate=fingerprint.lower().replace(":", "")) as client:
            assert (await client.call(INFO)).setup_required
        async with Client(url) as client:
            with pytest.raises(errors.UntrustedServer, match="is not trusted"):
                await client.call(INFO)
        other = "AB" * 32
        async with Client(url, Credentials("token"), certificate=other) as client:
            with pytest.raises(errors.UntrustedServer) as refused:
                await client.call(INFO)
            assert other in refused.value.detail
            assert fingerprint in refused.value.detail
            with pytest.raises(errors.UntrustedServer, match="has changed"):
                await anext(stream(client))


async def test_certificate_is_shown_trusted_and_a_changed_one_refused(
    run: Run, environment: dict[str, str], data_dir: Path, home: Path
) -> None:
    with secured(data_dir, "one") as (url, first):
        await register_ann(url, first, data_dir)
        blind = run("login", "--server", url, "--user", "ann", typed=PASSWORD + "\n")
        assert (blind.returncode, first in blind.stderr) == (3, True)
        wrong = run("login", "--server", url, "--user", "ann", "--certificate", "AB" * 32, typed=PASSWORD + "\n")
        assert wrong.returncode == 3
        assert run("vm", "ls", "--server", url, NOVACRON_TOKEN="x").returncode == 3
        assert run("vm", "ls", "--server", url, NOVACRON_TOKEN="x", NOVACRON_CERTIFICATE=first).returncode == 4
        with Terminal([NOVACRON, "--server", url], columns=200, environment=environment) as console:
            console.see("Trust it from now on")
            console.see(first)
            console.type("n\r")
            assert console.wait_end(10) == 3
        with Terminal([NOVACRON, "--server", url], columns=200, environment=environment) as console:
            console.see("Trust it from now on")
            console.type("y\r")
            console.see("Sign in", 20)
            console.type("ann\r")
            console.type(PASSWORD + "\r")
            console.see("LIVE.*ann", 20)
            console.press("q")
            assert console.wait_end(10) == 0
        done = run("login", "--user", "ann", typed=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr
        assert run("vm", "ls").returncode == 0
        assert run("events", "--after", "1", "--count", "1", "-o", "json").returncode == 0
    with secured(data_dir, "two", port=url.rpartition(":")[2]) as (again, second):
        assert again == url
        for words in (["vm", "ls"], ["login", "--user", "ann"]):
            refused = run(*words, typed=PASSWORD + "\n")
            assert (refused.returncode, first in refused.stderr, second in refused.stderr) == (3, True, True)
        with Terminal([NOVACRON, "--server", url], columns=200, environment=environment) as console:
            console.see("has changed", 20)
            console.press("ctrl+q")
            console.wait_end(10)
        meant = run("login", "--user", "ann", "--certificate", second, typed=PASSWORD + "\n")
        assert meant.returncode == 0, meant.stderr
        assert run("vm", "ls").returncode == 0
