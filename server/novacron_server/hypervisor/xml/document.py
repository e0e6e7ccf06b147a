"""The one way XML is read and written: ElementTree only, no document types, no text that XML cannot carry."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from novacron_core.errors import InvalidArgument

# Everything outside the Char production of XML 1.0 (https://www.w3.org/TR/xml/#charsets), lone surrogates included.
_ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FACTORS = {
    "b": 1,
    "bytes": 1,
    "k": 1024,
    "kib": 1024,
    "kb": 1000,
    "m": 1024**2,
    "mib": 1024**2,
    "mb": 1000**2,
    "g": 1024**3,
    "gib": 1024**3,
    "gb": 1000**3,
    "t": 1024**4,
    "tib": 1024**4,
    "tb": 1000**4,
}


class MalformedXML(ValueError):
    """A document from outside that is no XML, or more than plain XML."""


def parse(text: str) -> ET.Element:
    """The root element of a document.

    A document type is refused outright: entities are how XML is made to eat memory or read files. In text that is
    not markup libvirt writes `<` as `&lt;`, so the word can only be the real thing.

    Raises MalformedXML.
    """
    if "<!DOCTYPE" in text:
        raise MalformedXML("a document type is not accepted")
    try:
        return ET.fromstring(text)  # noqa: S314 - document types, and so entities, are refused above
    except ET.ParseError as error:
        raise MalformedXML(str(error)) from error


def write(root: ET.Element) -> str:
    """The document as text, indented for people and golden files."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def child(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    """A new last child. Every text and attribute is checked here, so nothing reaches XML unchecked."""
    element = ET.SubElement(parent, tag, {name: legal(value, tag) for name, value in attributes.items()})
    if text is not None:
        element.text = legal(text, tag)
    return element


def legal(text: str, what: str) -> str:
    """The text with line ends as XML carries them.

    Raises InvalidArgument when it has a character that XML cannot carry (controls, lone surrogates).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _ILLEGAL.search(text):
        raise InvalidArgument(f"the {what} has a control character, which is not allowed")
    return text


def size_bytes(element: ET.Element | None, default_unit: str) -> int:
    """A scaled size of libvirt (https://libvirt.org/format.html) in bytes; 0 for none or nonsense."""
    if element is None:
        return 0
    try:
        return int(element.text or "") * _FACTORS[element.get("unit", default_unit).lower()]
    except (ValueError, KeyError):
        return 0
