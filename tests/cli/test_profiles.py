"""The profiles file: round trips, invalid files, the current profile, and the choice of the server."""

from __future__ import annotations

import stat
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_core import errors
from novacron_tui.cli.runtime.connect import resolve_named_server, resolve_server
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.servers import profiles as module
from novacron_tui.servers.profiles import Profile, Profiles
from novacron_tui.servers.server_choice import ServerChoice
from tests.support.processes import PretendedServer

URL = "https://kvm.example:8090"


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return Profiles(tmp_path / "config")


def test_saved_profile_is_read_back_and_private(profiles: Profiles) -> None:
    prod = Profile("prod.east", URL, user="ann", production=True, certificate="AB:CD")
    profiles.remember(prod, current=True)
    profiles.remember(Profile("lab", "http://127.0.0.1:8090"))
    assert profiles.all() == {"prod.east": prod, "lab": Profile("lab", "http://127.0.0.1:8090")}
    assert profiles.current() == prod
    assert profiles.at(URL + "/") == prod
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("saved", "asked"),
    [
        ("http://127.0.0.1:8090", "http://localhost:8090"),
        ("http://localhost:8090", "http://127.0.0.1:8090/"),
        ("http://127.0.0.1:8090", "http://[::1]:8090"),
        ("http://127.0.0.1", "http://LOCALHOST:80"),
    ],
)
def test_names_of_the_loopback_interface_are_one_server(profiles: Profiles, saved: str, asked: str) -> None:
    lab = Profile("lab", saved)
    profiles.remember(lab)
    profiles.remember(Profile("other", URL))
    assert profiles.at(asked) == lab
    target = resolve_named_server(ServerChoice(server=asked, profile="lab"), profiles)
    assert target is not None
    assert target.profile == lab


@pytest.mark.parametrize(
    "asked", ["http://localhost:8091", "https://localhost:8090", "http://127.0.0.2:8090", "http://localhost:8090/b"]
)
def test_another_port_scheme_or_path_is_another_server(profiles: Profiles, asked: str) -> None:
    profiles.remember(Profile("lab", "http://127.0.0.1:8090"))
    assert profiles.at(asked) is None


def test_the_profile_of_exactly_this_url_comes_first(profiles: Profiles) -> None:
    profiles.remember(Profile("a", "http://127.0.0.1:8090"))
    profiles.remember(Profile("b", "http://localhost:8090"))
    found = profiles.at("http://localhost:8090")
    assert found is not None
    assert found.name == "b"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_saved_and_read_back(text: str) -> None:
    document = {"current": text, "a": {"url": text, "production": True}}
    assert tomllib.loads(module._toml(document)) == document


def test_concurrent_writes_are_all_saved(profiles: Profiles) -> None:
    writers = [threading.Thread(target=profiles.remember, args=(Profile(f"p{n}", URL),)) for n in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(profiles.all()) == {f"p{n}" for n in range(16)}


@pytest.mark.parametrize(
    "text",
    [
        "not toml at all [",
        '[prod]\nuser = "ann"\n',
        '[prod]\nurl = "ftp://x"\n',
        '["../x"]\nurl = "http://x"\n',
        "[prod]\nurl = 5\n",
    ],
)
def test_invalid_file_is_refused_with_its_path(profiles: Profiles, text: str) -> None:
    profiles.folder.mkdir()
    profiles.path.write_text(text)
    with pytest.raises(errors.InvalidArgument, match=r"profiles\.toml"):
        profiles.all()


def test_new_profile_is_named_after_its_host_and_unique(profiles: Profiles) -> None:
    assert profiles.fresh("https://KVM.example").name == "kvm.example"
    profiles.remember(Profile("kvm.example", "https://kvm.example"))
    assert profiles.fresh("https://kvm.example:1").name == "kvm.example-2"
    for odd in ("http://[::1]:8090", "http://current", "http://local", "http://" + "a" * 200):
        assert module.why_not_name(profiles.fresh(odd).name) is None


def test_flag_overrides_a_variable_and_contradictions_are_refused(profiles: Profiles) -> None:
    profiles.remember(Profile("prod", URL))
    by_variable = ServerChoice(server="http://other", profile="prod", server_meant=False)
    found = resolve_named_server(by_variable, profiles)
    assert found is not None
    assert found.profile.url == URL
    with pytest.raises(UsageError, match="prod is for"):
        resolve_named_server(ServerChoice(server="http://other", profile="prod"), profiles)
    with pytest.raises(errors.NotFound, match="prod"):
        resolve_named_server(ServerChoice(profile="nobody"), profiles)
    new = resolve_named_server(ServerChoice(server="http://other", profile="lab"), profiles)
    assert new is not None
    assert (new.profile.name, new.known) == ("lab", False)


def test_default_is_the_current_profile_then_the_local_server(profiles: Profiles, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no server chosen"):
        resolve_server(ServerChoice(data_dir=tmp_path), profiles)
    running = PretendedServer(tmp_path)
    local = resolve_server(ServerChoice(data_dir=tmp_path), profiles)
    assert (local.profile.name, local.profile.url) == ("local", running.url)
    assert local.kept.server == f"local:{tmp_path}", "the port changes, but the session is kept"
    profiles.remember(Profile("prod", URL))
    assert resolve_server(ServerChoice(data_dir=tmp_path), profiles).profile.name == "prod"
    running.close()
