"""NovaCron's tag in a domain's `<metadata>`: it records that NovaCron created the VM, and in which operation."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from novacron_server.hypervisor.facts import OwnershipTag
from novacron_server.hypervisor.xml.document import legal, write

NAMESPACE = "urn:novacron:vm:1"
PREFIX = "novacron"
ET.register_namespace(PREFIX, NAMESPACE)


def tag_element(tag: OwnershipTag) -> ET.Element:
    """The element to put under `<metadata>`."""
    values = {
        "instance": tag.instance,
        "tenant": tag.tenant,
        "operation": tag.operation,
        "generation": str(tag.generation),
    }
    return ET.Element(f"{{{NAMESPACE}}}vm", {name: legal(value, name) for name, value in values.items()})


def tag_text(tag: OwnershipTag) -> str:
    """The element without NovaCron's prefix, for `virDomainSetMetadata` (libvirt adds the namespace)."""
    element = tag_element(tag)
    element.tag = "vm"
    return write(element).strip()


def read_tag(domain: ET.Element) -> OwnershipTag | None:
    """The tag of a domain, or None. Anyone can write metadata, so invalid data counts as no tag and never fails."""
    element = domain.find(f"metadata/{{{NAMESPACE}}}vm")
    if element is None or not element.get("instance"):
        return None
    return OwnershipTag(
        instance=element.get("instance", "")[:200],
        tenant=element.get("tenant", "")[:200],
        operation=element.get("operation", "")[:200],
        generation=_count(element.get("generation", "")),
    )


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
