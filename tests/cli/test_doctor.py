"""`novacron doctor` on this machine, and on machines that lack something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from novacron_tui.cli import doctor_checks
from novacron_tui.cli.doctor import can_serve, doctor
from novacron_tui.cli.doctor_checks import Machine
from novacron_tui.cli.runtime.output import Output
from tests.support.command_line import Run
from tests.support.processes import NOVACRON
from tests.support.terminal import Terminal

FLAGS = "processor : 0\nflags\t\t: fpu vme vmx sse\n"


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A laptop with only the console."""
    tmp_path.chmod(0o755)
    return Machine(
        root=tmp_path, data_dir=tmp_path / "data", is_root=False, which=lambda _: None, has_module=lambda _: False
    )


def test_this_machine_passes(run: Run, home: Path) -> None:
    done = run("--data-dir", "/var/tmp/novacron-doctor", "doctor", "-o", "json")
    found = json.loads(done.stdout)
    by_name = {finding["name"]: finding for finding in found["findings"]}
    for name in ("Python", "server", "libvirt for Python", "QEMU", "qemu-img", "PostgreSQL", "data directory"):
        assert by_name[name]["ok"], by_name[name]
    assert done.returncode == (0 if found["can_serve"] else 1)
    assert not Path("/var/tmp/novacron-doctor").exists(), "doctor must not create anything"


def test_every_failed_check_says_how_to_fix_it(bare: Machine) -> None:
    found = doctor_checks.examine(bare)
    bad = {finding.name for finding in found if not finding.ok}
    assert {"server", "libvirt for Python", "libvirt daemon", "QEMU", "qemu-img", "KVM", "PostgreSQL"} <= bad
    assert all(finding.mend for finding in found if not finding.ok)
    assert not can_serve(found)
    (debugfs,) = (finding for finding in found if finding.name == "debugfs")
    assert (debugfs.needed, "no login" in debugfs.detail) == (False, True)


def test_directory_that_cannot_be_looked_at_ends_no_check(bare: Machine) -> None:
    found = doctor_checks.data_dir(Machine(root=bare.root, data_dir=bare.root / ("x" * 300) / "data", is_root=False))
    assert (found.name, "x" * 300 in found.detail) == ("data directory", True)


def test_program_that_prints_no_text_is_asked_all_the_same() -> None:
    assert doctor_checks._output("printf", r"\377 15.1\n") == "\ufffd 15.1"


def test_console_alone_misses_nothing_of_a_server(bare: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(Output.TABLE, bare) == 0
    said = capsys.readouterr().out
    assert not [word for word in ("libvirt", "virtlogd", "QEMU", "KVM", "apt-get", "modprobe") if word in said], said
    assert "pip install 'novacron[server]'" in said
    assert "Only the console is installed here" in said
    assert doctor(Output.JSON, bare) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["can_serve"] is False
    assert {finding["name"] for finding in found["findings"]} == {"Python", "terminal", "server"}


def test_kvm_needs_the_cpu_flag_and_not_only_the_device_file(tmp_path: Path, bare: Machine) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").touch()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(FLAGS.replace("vmx", ""))
    assert "neither vmx nor svm" in doctor_checks.kvm(bare).detail
    (tmp_path / "proc/cpuinfo").write_text(FLAGS)
    assert "does not work" in doctor_checks.kvm(bare).detail, "a regular file is not a device"
    (tmp_path / "dev/kvm").unlink()
    assert "does not exist" in doctor_checks.kvm(bare).detail
    assert not doctor_checks.kvm(bare).needed, "emulation is enough"


def test_inaccessible_data_directory_is_reported(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = doctor_checks.data_dir(Machine(data_dir=closed / "data", is_root=True))
    assert not found.ok
    assert "chmod o+x" in found.mend


def test_daemon_that_root_can_start_is_no_problem(bare: Machine) -> None:
    able = Machine(
        root=bare.root,
        data_dir=bare.data_dir,
        is_root=True,
        which=lambda name: f"/sbin/{name}",
        has_module=lambda _: True,
    )
    assert doctor_checks.libvirt_daemon(able, {"qemu:///system": {"error": "refused"}}).ok
    found = doctor_checks.libvirt_daemon(Machine(root=bare.root, is_root=False, which=able.which), {})
    assert not found.ok
    assert found.mend.startswith("sudo ")


def test_hung_libvirt_is_reported_in_time(monkeypatch: pytest.MonkeyPatch, bare: Machine) -> None:
    monkeypatch.setattr(doctor_checks, "_TIMEOUT_S", 0.3)
    monkeypatch.setattr(doctor_checks, "_LIBVIRT_QUERY", "import time; time.sleep(60)")
    answers = doctor_checks._query_libvirt(Machine(is_root=True, has_module=lambda _: True))
    assert answers == {"qemu:///system": {"error": "no answer in time"}}


def test_output_is_coloured_only_on_a_terminal(run: Run, environment: dict[str, str]) -> None:
    assert "\x1b" not in run("doctor").stdout
    with Terminal([NOVACRON, "doctor"], columns=200, rows=50, environment=environment) as terminal:
        terminal.see("terminal .*200x50, truecolor")
        terminal.see("This machine")
    with Terminal([NOVACRON, "doctor"], columns=200, environment={**environment, "NO_COLOR": "1"}) as terminal:
        terminal.see("This machine")
        assert {cell.fg for line in terminal.screen.buffer.values() for cell in line.values()} == {"default"}


def test_doctor_imports_nothing_of_the_server() -> None:
    source = Path(doctor_checks.__file__).read_text()
    assert "import libvirt" not in source.replace(doctor_checks._LIBVIRT_QUERY, "")
