"""Access tokens: every forged, altered or expired one is refused with the same message."""

from __future__ import annotations

import base64
import json
import stat
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import typer

from novacron_core.errors import Internal, Unauthenticated
from novacron_core.values.roles import Role
from novacron_server.access import keys as keys_module
from novacron_server.access import tokens
from novacron_server.access.keys import Keys
from novacron_server.access.rotate_keys import rotate_keys

USER, SESSION = (str(uuid.UUID(int=number)) for number in (1, 2))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "secrets.json")


def good(keys: Keys, **more: Any) -> str:
    until = datetime.now(UTC) + timedelta(minutes=5)
    values: dict[str, Any] = {
        "user_id": USER,
        "session_id": SESSION,
        "role": Role.VIEWER,
        "tenant": "t",
        "epoch": 0,
        "until": until,
    }
    return tokens.sign(keys, **(values | more))


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def forged(keys: Keys, change: dict[str, Any], drop: str = "", header: dict[str, Any] | None = None) -> str:
    """A token that is signed with the right key but has other claims."""
    claims = {name: value for name, value in (claims_of(good(keys)) | change).items() if name != drop}
    return jwt.encode(claims, keys.current.secret, "HS256", headers={"kid": keys.current.kid} | (header or {}))


def refused(keys: Keys, token: str) -> bool:
    with pytest.raises(Unauthenticated) as error:
        tokens.verify(keys, token)
    assert error.value.detail == "The token is not valid. Sign in again."
    return True


def test_valid_token_identifies_its_user(keys: Keys) -> None:
    claims = tokens.verify(keys, good(keys, role=Role.OPERATOR, epoch=3))
    assert (claims.user_id, claims.sid, claims.role, claims.tenant, claims.epoch) == (USER, SESSION, "operator", "t", 3)
    assert set(claims_of(good(keys))) == set(tokens.REQUIRED)
    assert tokens.verify(keys, forged(keys, {})).sid == SESSION  # so the tests below fail only because of their change


def test_algorithm_none_is_refused(keys: Keys) -> None:
    claims = claims_of(good(keys))
    assert refused(keys, jwt.encode(claims, "", "none", headers={"kid": keys.current.kid}))
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": keys.current.kid}).encode()).rstrip(b"=")
    body = good(keys).split(".")[1]
    assert refused(keys, f"{head.decode()}.{body}.")


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_another_algorithm_or_key_is_refused(keys: Keys) -> None:
    claims = claims_of(good(keys))
    kid = {"kid": keys.current.kid}
    assert refused(keys, jwt.encode(claims, keys.current.secret, "HS512", headers=kid))
    assert refused(keys, jwt.encode(claims, "k" * 43, "HS256", headers=kid))
    for header in ({"kid": "unknown"}, {"kid": "../../secrets"}, {}):
        assert refused(keys, jwt.encode(claims, keys.current.secret, "HS256", headers=header))


@pytest.mark.parametrize("claim", tokens.REQUIRED)
def test_missing_claim_is_refused(keys: Keys, claim: str) -> None:
    assert refused(keys, forged(keys, {}, drop=claim))


NOW = datetime.now(UTC).timestamp()


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "other"},
        {"aud": []},
        {"iss": "other"},
        {"typ": "refresh"},
        {"typ": None},
        {"exp": int(NOW) - 60},
        {"exp": "soon"},
        {"nbf": int(NOW) + 3600},
        {"iat": int(NOW) + 3600},
        {"role": "root"},
        {"role": None},
        {"epoch": "0"},
        {"sid": 7},
        {"sid": "not a UUID"},
        {"sid": f"{SESSION}\0"},
        {"sid": f"urn:uuid:{SESSION}"},
        {"user_id": "u", "sub": "u"},
        {"exp": 2**63},
        {"exp": 2**53},
        {"exp": float("inf")},
        {"sub": "somebody else"},
    ],
)
def test_wrong_claim_is_refused(keys: Keys, change: dict[str, Any]) -> None:
    assert refused(keys, forged(keys, change))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "x" * 100_000, "é.é.é", "e30.e30.e30", "\0"])
def test_malformed_token_is_refused(keys: Keys, text: str) -> None:
    assert refused(keys, text)


def test_altered_token_is_refused(keys: Keys) -> None:
    head, body, signature = good(keys).split(".")
    assert refused(keys, f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}")
    bent = base64.urlsafe_b64encode(json.dumps(claims_of(good(keys)) | {"role": "administrator"}).encode())
    assert refused(keys, f"{head}.{bent.decode().rstrip('=')}.{signature}")


def test_previous_key_stays_valid_after_a_rotation(keys: Keys, tmp_path: Path) -> None:
    old = good(keys)
    keys.rotate()
    assert tokens.verify(keys, old).sid == SESSION and tokens.verify(keys, good(keys)).sid == SESSION
    assert tokens.verify(Keys(tmp_path / "secrets.json"), old).sid == SESSION
    keys.rotate()
    assert refused(keys, old)


def test_running_server_takes_up_keys_that_a_command_rotated(keys: Keys, tmp_path: Path) -> None:
    old = good(keys)
    command = Keys(tmp_path / "secrets.json", by_age=False)
    command.rotate()
    keys.reload_if_rotated()
    assert keys.current == command.current
    assert tokens.verify(keys, old).sid == SESSION and tokens.verify(command, good(keys)).sid == SESSION
    (tmp_path / "secrets.json").unlink()
    keys.reload_if_rotated()
    assert tokens.verify(keys, old).sid == SESSION


def test_rotation_loses_no_key_that_another_process_wrote(keys: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "secrets.json", by_age=False)
    other.rotate()
    theirs = good(other)
    keys.rotate()
    assert tokens.verify(keys, theirs).sid == SESSION


def test_old_key_is_rotated_once_by_the_command(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = good(keys)
    monkeypatch.setattr(keys_module, "MAX_AGE", timedelta(0))
    rotate_keys(tmp_path)
    keys.reload_if_rotated()
    assert tokens.verify(keys, old).sid == SESSION
    assert keys.current.kid in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        rotate_keys(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_keys_are_private_stored_and_rotated_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secrets.json"
    first = Keys(file).current
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and len(first.secret) >= 43
    file.chmod(0o644)
    assert Keys(file).current == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setattr(keys_module, "MAX_AGE", timedelta(0))
    renewed = Keys(file)
    assert renewed.current != first and renewed.secret(first.kid) == first.secret


def test_damaged_key_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(Internal, match="damaged"):
        Keys(tmp_path / "secrets.json")
