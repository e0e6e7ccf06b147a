"""How a certificate that is not accepted is described: by whom it is signed, and what is wrong with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api.health import INFO
from novacron_core.client import Client, Credentials, certificates, stream
from tests.support.certificates import Authority, Certificate, self_signed
from tests.support.proxies import canned

VOUCHED = "an authority that this system trusts"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    return authority


async def sentences(made: Certificate, pinned: str = "") -> tuple[str, str]:
    """(URL, the sentence that refuses the certificate): of a call, and the same of the stream."""
    async with canned(b"", made.server_context()) as port:
        url = f"https://127.0.0.1:{port}"
        async with Client(url, Credentials("token"), certificate=pinned) as client:
            with pytest.raises(errors.UntrustedServer) as of_call:
                await client.call(INFO)
            with pytest.raises(errors.UntrustedServer) as of_stream:
                async with asyncio.timeout(20):
                    await anext(stream(client))
        assert of_call.value.detail == of_stream.value.detail
        return url, of_call.value.detail


async def look(made: Certificate) -> certificates.ShownCertificate:
    async with canned(b"", made.server_context()) as port:
        return await certificates.fetch_certificate(f"https://127.0.0.1:{port}")


async def test_trusted_certificate_has_no_flaw(trusted: Authority) -> None:
    made = trusted.issue("one", ["127.0.0.1"])
    assert await look(made) == certificates.ShownCertificate(made.fingerprint, "", vouched=True)


@pytest.mark.parametrize(
    ("hosts", "days", "said"),
    [
        (["127.0.0.1"], -1, "signed it, but it has expired: renew it on the server"),
        (["127.0.0.2"], 2, "signed it, but it was issued for another address than 127.0.0.1"),
    ],
)
async def test_flaw_of_a_certificate_of_a_trusted_authority(
    trusted: Authority, hosts: list[str], days: int, said: str
) -> None:
    made = trusted.issue("one", hosts, days=days)
    url, sentence = await sentences(made)
    assert f"{VOUCHED} {said}" in sentence
    assert f"run: novacron login --server {url}" in sentence
    seen = await look(made)
    assert (seen.vouched, seen.standing) == (True, f"{VOUCHED} {said}")


@pytest.mark.parametrize(
    ("days", "said"),
    [(2, "self-signed certificate"), (-1, "self-signed certificate; it has expired: renew it on the server")],
)
async def test_self_signed_certificate_is_named_and_an_expired_one_too(tmp_path: Path, days: int, said: str) -> None:
    seen = await look(self_signed(tmp_path, "one", days=days))
    assert (seen.vouched, seen.standing) == (False, said)


async def test_certificate_of_another_authority_is_not_vouched_for(tmp_path: Path, trusted: Authority) -> None:
    seen = await look(Authority(tmp_path, "stranger").issue("one", ["127.0.0.1"]))
    assert (seen.vouched, seen.standing) == (False, "unable to get local issuer certificate")


@pytest.mark.parametrize(
    ("by", "days", "said"),
    [
        ("authority", 2, f"({VOUCHED} vouches for it)"),
        ("authority", -1, f"({VOUCHED} signed it, but it has expired"),
        ("itself", 2, "(self-signed certificate)"),
        ("itself", -1, "(self-signed certificate; it has expired"),
    ],
)
async def test_changed_certificate_is_described_with_the_line_that_accepts_it(
    tmp_path: Path, trusted: Authority, by: str, days: int, said: str
) -> None:
    old = self_signed(tmp_path, "old")
    new = (
        trusted.issue("new", ["127.0.0.1"], days=days) if by == "authority" else self_signed(tmp_path, "new", days=days)
    )
    url, sentence = await sentences(new, old.fingerprint)
    assert sentence.startswith(
        f"the certificate of {url} has changed: expected {old.fingerprint}, got {new.fingerprint} "
    )
    assert said in sentence
    assert sentence.endswith(f"run: novacron login --server {url} --certificate {new.fingerprint}")


@pytest.mark.parametrize("text", ["", "AB", "token", "é" * 64, "AB:" * 31 + "A"])
def test_other_texts_are_no_fingerprints(text: str) -> None:
    assert not certificates.is_fingerprint(text)


@pytest.mark.parametrize("text", ["ab" * 32, "AB:" * 31 + "AB", "SHA256:" + "AB" * 32, " SHA256=" + "AB" * 32 + "\n"])
def test_fingerprint_is_known_in_every_spelling(text: str) -> None:
    assert certificates.is_fingerprint(text)
    assert certificates.same_fingerprint(text, "AB" * 32)
