"""`novacron user`, `tenant`, `passwd` and `join` on a real server: effects, output and exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD
from tests.support.command_line import Run, Server, one_line
from tests.support.forking_novacron import ForkingNovacron
from tests.support.processes import NOVACRON
from tests.support.terminal import Terminal

NEW = "seven calm rivers bend"
CODE = re.compile(r"(?:[0-9A-Z]{5}-){4}[0-9A-Z]{5}")


@pytest.fixture
def tenants(signed_in: Run) -> Iterator[Run]:
    """The tenants red and blue, with the owners rita and bo. All people are removed afterwards; the tenants stay, because
    the id of a deleted one is not given out again."""
    known = {each["id"] for each in json.loads(signed_in("tenant", "ls", "-o", "json").stdout)}
    for tenant, owner in (("red", "rita"), ("blue", "bo")):
        assert tenant in known or signed_in("tenant", "create", tenant).returncode == 0
        done = signed_in("user", "create", owner, "--tenant", tenant, "--role", "owner", typed=PASSWORD + "\n")
        assert (done.returncode, done.stdout) == (0, f"{owner}: created as owner of {tenant}\n"), done.stderr
    others = {person["username"] for person in json.loads(signed_in("user", "ls", "-o", "json").stdout)}
    others -= {"rita", "bo"}  # accounts of other tests on this server stay
    yield signed_in
    for person in json.loads(signed_in("user", "ls", "-o", "json").stdout):
        if person["username"] not in others:
            assert signed_in("user", "delete", person["username"], "--yes").returncode == 0


class Someone:
    """Another person at another machine: with a home of his own."""

    def __init__(self, warm: ForkingNovacron, environment: dict[str, str], home: Path, server: Server) -> None:
        home.mkdir()
        self._warm, self._environment, self.url = warm, {**environment, "HOME": str(home)}, server.url

    def run(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        done = self._warm.run(words, self._environment, typed, timeout_s=60)
        return done.returncode, done.stdout, done.stderr

    def login(self, name: str, password: str = PASSWORD) -> int:
        return self.run("login", "--server", self.url, "--user", name, typed=password + "\n")[0]


@pytest.fixture
def someone(warm: ForkingNovacron, environment: dict[str, str], tmp_path: Path, server: Server) -> Someone:
    return Someone(warm, environment, tmp_path / "other", server)


def test_people_are_listed_shown_and_filtered(tenants: Run) -> None:
    table = tenants("user", "ls").stdout.splitlines()
    assert table[0].split() == ["NAME", "ROLE", "TENANTS", "STATE", "SEEN", "EMAIL", "ID"]
    names = [line.split()[0] for line in table[1:]]
    assert names == sorted(names)
    assert {"ann", "bo", "rita"} <= set(names)
    found = json.loads(tenants("user", "ls", "tenant:red", "-o", "json").stdout)
    assert [(person["username"], person["role"]) for person in found] == [("rita", "owner")]
    shown = tenants("user", "show", "rita").stdout
    assert re.search(r"^tenant red +owner$", shown, re.MULTILINE), shown
    assert 'username: "rita"' in tenants("user", "show", found[0]["id"], "-o", "yaml").stdout
    assert "no user named 'eve'" in one_line(tenants("user", "show", "eve"))
    assert tenants("user", "ls", "colour:red").returncode == 1


def test_roles_are_given_and_taken(tenants: Run) -> None:
    assert tenants("user", "role", "rita", "viewer", "--tenant", "blue").stdout == "rita: viewer of blue\n"
    assert tenants("user", "role", "rita", "none", "--tenant", "blue").stdout == "rita: removed from blue\n"
    assert tenants("user", "role", "rita", "administrator").stdout == "rita: is administrator\n"
    assert "still administrator" in tenants("user", "role", "rita", "operator", "--tenant", "red").stdout
    assert tenants("user", "role", "rita", "not-administrator").stdout == "rita: is no longer administrator\n"
    assert "last administrator" in one_line(tenants("user", "role", "ann", "not-administrator"))
    for words in (("rita", "emperor"), ("rita", "administrator", "--tenant", "red")):
        assert tenants("user", "role", *words).returncode == 2
    assert tenants("user", "create", "x", "--role", "administrator", typed="x\n").returncode == 2
    assert tenants("user", "create", "X", typed=PASSWORD + "\n").returncode == 2
    assert tenants("user", "create", "x", typed="").returncode == 2
    assert tenants("user", "create", "x", typed="short\n").returncode == 1


def test_disabled_user_cannot_sign_in(tenants: Run, someone: Someone) -> None:
    assert tenants("user", "disable", "rita", "bo").stdout == "rita: disabled\nbo: disabled\n"
    assert someone.login("rita") == 4
    assert tenants("user", "enable", "rita").returncode == 0
    assert someone.login("rita") == 0
    assert "last administrator" in one_line(tenants("user", "disable", "ann"))
    assert tenants("user", "delete", "rita").returncode == 2  # no terminal to ask on


def test_invitation_is_taken_up_by_a_new_and_by_an_old_account(tenants: Run, someone: Someone) -> None:
    done = tenants("user", "invite", "--tenant", "red", "--role", "operator", "--email", "eve@x.y")
    (code,) = CODE.findall(done.stdout)
    joined = someone.run("join", "--server", someone.url, "--user", "eve", typed=f"{code}\n{PASSWORD}\n")
    assert joined == (0, "eve: created as operator of red. Sign in with `novacron login`\n", "")
    again = someone.run("join", "--server", someone.url, "--user", "mal", typed=f"{code}\n{PASSWORD}\n")
    assert again[0] == 1 and "wrong, used up or expired" in again[2]
    assert someone.login("eve") == 0
    made = json.loads(tenants("user", "invite", "--tenant", "blue", "-o", "json").stdout)
    assert someone.run("join", typed=made["code"].lower() + "\n")[:2] == (
        0,
        "You are viewer of blue now. To work there: novacron tenant switch blue\n",
    )
    listed = tenants("user", "invitations", "used").stdout
    assert "eve@x.y" in listed and listed.count("used") >= 2
    third = json.loads(tenants("user", "invite", "--tenant", "red", "-o", "json").stdout)
    assert tenants("user", "uninvite", third["invitation"]["id"]).returncode == 0
    assert someone.run("join", typed=third["code"] + "\n")[0] == 1
    assert tenants("user", "uninvite", third["invitation"]["id"]).returncode == 1


def test_session_goes_on_in_another_tenant(tenants: Run, someone: Someone, server: Server) -> None:
    assert tenants("user", "role", "rita", "viewer", "--tenant", "blue").returncode == 0
    assert someone.login("rita") == 0
    assert someone.run("tenant", "switch", "blue")[:2] == (0, "The session goes on in blue, as viewer\n")
    found = json.loads(someone.run("tenant", "ls", "-o", "json")[1])
    assert found == [
        {"id": "blue", "role": "viewer", "current": True},
        {"id": "red", "role": "owner", "current": False},
    ]
    assert someone.run("user", "ls")[0] == 1  # a viewer there
    for tenant in ("default", "nowhere", "*"):
        code, _, said = someone.run("tenant", "switch", tenant)
        assert code == (2 if tenant == "*" else 1), said
    token = {"NOVACRON_SERVER": server.url, "NOVACRON_TOKEN": server.token}
    assert "sign in with" in one_line(tenants("tenant", "switch", "red", **token))
    assert tenants("tenant", "switch", "red").returncode == 0
    assert tenants("tenant", "switch", "default").returncode == 0


def test_tenants_and_their_quotas(tenants: Run, someone: Someone) -> None:
    words = ("--name", "The Reds", "--max-vms", "10", "--max-memory", "64G", "--max-disk", "hot=1T", "--second-factor")
    shown = tenants("tenant", "edit", "red", *words).stdout
    assert "The Reds" in shown and "at most 10" in shown and "required" in shown
    assert (
        tenants("tenant", "edit", "red", "--max-vms", "none", "--max-disk", "cold=2T", "--no-second-factor").returncode
        == 0
    )
    now = json.loads(tenants("tenant", "show", "red", "-o", "json").stdout)
    assert (now["max_vms"], now["max_memory_bytes"]) == (None, 64 * 2**30)
    assert now["max_disk_bytes"] == {"hot": 2**40, "cold": 2**41}
    for wrong in (("--max-vms", "many"), ("--max-disk", "tepid=1G"), ("--max-memory", "much"), ()):
        assert tenants("tenant", "edit", "red", *wrong).returncode == 2, wrong
    assert "1 member" in one_line(tenants("tenant", "delete", "red", "--yes"))
    assert tenants("tenant", "create", "red").returncode == 1
    assert tenants("tenant", "create", "*").returncode == 2
    assert someone.login("rita") == 0
    assert "tenant not found" in someone.run("tenant", "show", "blue")[2]
    assert someone.run("tenant", "show")[1].startswith("tenant")


def test_password_is_changed_and_reset(tenants: Run, someone: Someone) -> None:
    assert someone.login("rita") == 0
    assert someone.run("passwd", typed=f"wrong\n{NEW}\n")[0] == 1
    assert someone.run("passwd", typed=f"{PASSWORD}\n")[0] == 2
    code, said, _ = someone.run("passwd", typed=f"{PASSWORD}\n{NEW}\n")
    assert (code, "sign in again" in said) == (0, True)
    assert someone.run("user", "ls")[0] == 4
    assert (someone.login("rita"), someone.login("rita", NEW)) == (4, 0)
    (secret,) = CODE.findall(tenants("user", "reset-password", "rita").stdout)
    reset = ("passwd", "--reset", "--user", "rita", "--server", someone.url)
    assert someone.run(*reset, typed=f"AAAAA-{secret[6:]}\n{PASSWORD}\n")[0] == 1
    assert someone.run(*reset, typed=f"{secret}\n{PASSWORD}\n")[0] == 0
    assert someone.run("user", "ls")[0] == 4
    assert someone.login("rita") == 0
    for words in (("passwd", "--reset"), ("passwd", "--user", "rita")):
        assert someone.run(*words)[0] == 2


def test_no_secret_is_a_flag(run: Run) -> None:
    for words in (("passwd",), ("join",), ("user", "create"), ("user", "reset-password")):
        shown = run(*words, "--help").stdout
        assert not re.search(r"--(password|code|secret|new|old)\b", shown), words


def test_new_password_is_typed_twice(tenants: Run, environment: dict[str, str], server: Server) -> None:
    with Terminal([NOVACRON, "user", "create", "eve"], environment=environment) as terminal:
        terminal.see("Password for eve: ")
        terminal.type(PASSWORD)
        terminal.press("enter")
        terminal.see("The same again: ")
        terminal.type(NEW)
        terminal.press("enter")
        terminal.see("differ")
    assert tenants("user", "show", "eve").returncode == 1
