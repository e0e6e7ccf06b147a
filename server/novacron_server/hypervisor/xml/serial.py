"""The first serial port of a domain and its log: reads them, and adds them. Everything else stays unchanged."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from novacron_server.hypervisor.facts import SerialFacts
from novacron_server.hypervisor.xml.disk_locations import attribute
from novacron_server.hypervisor.xml.document import child, parse_source, write_source


def read_serial(root: ET.Element) -> SerialFacts | None:
    """The first serial port, None if there is none."""
    port = root.find("devices/serial")
    return None if port is None else SerialFacts(type=port.get("type", ""), log=attribute(port, "log", "file"))


def add_log(port: ET.Element, path: str) -> None:
    """Append: what the guest said before is kept until virtlogd rotates it away."""
    child(port, "log", file=path, append="on")


def with_console(text: str, path: str) -> str:
    """The definition with a serial port, a console on it, and the log at `path`, each added if there is none.

    `path` is empty for no log. A port that exists keeps its type, and a log that exists its file.
    """
    root = parse_source(text)
    devices = root.find("devices")
    if devices is None:
        devices = ET.SubElement(root, "devices")
    port = devices.find("serial")
    if port is None:
        port = child(devices, "serial", type="pty")  # libvirt adds the target that suits the machine
    if devices.find("console") is None:
        child(child(devices, "console", type="pty"), "target", type="serial", port="0")
    if path and port.find("log") is None:
        add_log(port, path)
        # libvirt shows the first port a second time, as a console, and takes both for one device only if they agree.
        for console in devices.findall("console"):
            if attribute(console, "target", "type") in ("", "serial") and console.find("log") is None:
                add_log(console, path)
                break
    return write_source(root)
