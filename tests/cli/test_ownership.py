"""The commands that adopt, hand over and release VMs, and that show quotas."""

from __future__ import annotations

import json

from tests.support.accounts import PASSWORD
from tests.support.command_line import Run, Server, one_line


def test_vm_is_adopted_shown_in_the_quota_and_released(run: Run, server: Server) -> None:
    assert run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n").returncode == 0
    assert run("vm", "adopt", "test", "--tenant", "default").returncode == 0
    vm = json.loads(run("vm", "show", "test", "-o", "json").stdout)
    assert (vm["tenant"], vm["owner"], vm.get("unmanaged", False)) == ("default", "ann", False)
    quota = run("quota").stdout.splitlines()
    assert quota[0].split() == ["OF", "DEFAULT", "USED", "QUOTA"]
    assert quota[1].split() == ["VMs", "1", "none"]
    again = run("vm", "adopt", "test", "--tenant", "default")
    assert (again.returncode, "test is managed already" in one_line(again)) == (1, True)
    nobody = run("vm", "hand-over", "test", "--to", "nobody")
    assert (nobody.returncode, "nobody is not a member of the tenant default" in one_line(nobody)) == (1, True)
    assert run("vm", "hand-over", "test").returncode == 2
    unsure = run("vm", "release", "test", typed="wrong\n")
    assert unsure.returncode != 0
    assert run("vm", "release", "test", "--yes").returncode == 0
    assert json.loads(run("vm", "show", "test", "-o", "json").stdout)["unmanaged"] is True
    assert json.loads(run("quota", "-o", "json").stdout)["vms"] == {"used": 0, "limit": None}
    assert run("quota", "no-such-tenant").returncode == 1


def test_everything_of_a_person_is_handed_over_and_a_deletion_says_what_is_left(run: Run, server: Server) -> None:
    assert run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n").returncode == 0
    for name in ("gil", "hal"):
        assert run("user", "create", name, "--role", "operator", typed=PASSWORD + "\n").returncode == 0
    assert run("vm", "adopt", "test", "--tenant", "default", "--to", "gil").returncode == 0
    unsure = run("user", "delete", "gil", typed="gil\n")
    assert "`novacron user hand-over gil --to USER`" in unsure.stderr
    assert "what it owns (1 VM) becomes that of a former user" in unsure.stderr
    done = run("user", "hand-over", "gil", "--to", "hal")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "test"), done.stderr
    assert json.loads(run("vm", "show", "test", "-o", "json").stdout)["owner"] == "hal"
    nothing = run("user", "hand-over", "gil", "--to", "hal")
    assert (nothing.returncode, "gil owns no VM and no volume" in one_line(nothing)) == (1, True)
    nobody = run("user", "hand-over", "hal", "--to", "nobody")
    assert (nobody.returncode, "nobody is not a member of the tenant default" in one_line(nobody)) == (1, True)
    for name in ("gil", "hal"):
        assert run("user", "delete", name, "--yes").returncode == 0
    assert json.loads(run("vm", "show", "test", "-o", "json").stdout)["owner"] == "former user hal"
    assert run("vm", "release", "test", "--yes").returncode == 0
