"""Parses and writes all XML: ElementTree only, no document types, no characters that XML does not allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET
from xml.parsers import expat

from novacron_core.errors import InvalidArgument

# Everything outside the Char production of XML 1.0 (https://www.w3.org/TR/xml/#charsets), lone surrogates included.
_ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DOCTYPE = "<!DOCTYPE"
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
    """An external document that is not well-formed XML, or contains a document type."""


def parse(text: str) -> ET.Element:
    """The root element of a document. Names with a declared prefix are expanded, `{namespace}name`; libvirt also
    accepts prefixes that nobody declares, and returns them.

    A document type is always refused: entities could make the parser exhaust memory or read files.

    Raises MalformedXML.
    """
    if _DOCTYPE not in text:  # else perhaps in a comment, a CDATA section or an instruction, which are no markup
        try:
            return ET.fromstring(text)  # noqa: S314 - document types, and so entities, are refused above
        except ET.ParseError:
            pass
    root = _read(text, expat.ParserCreate(), ET.TreeBuilder())
    _expand_names(root)
    return root


def parse_source(text: str) -> ET.Element:
    """The root element for an edit that keeps everything else as it is written: prefixes, comments, white space.

    Prefixes and namespace declarations stay what they are in the text, plain parts of names and plain attributes, where
    `parse` would expand them and `write` would invent others. Write it with `write_source`. Raises MalformedXML.
    """
    builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
    parser = expat.ParserCreate()
    parser.CommentHandler, parser.ProcessingInstructionHandler = builder.comment, builder.pi
    return _read(text, parser, builder)


def _read(text: str, parser: expat.XMLParserType, builder: ET.TreeBuilder) -> ET.Element:
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, _refuse_doctype
    try:
        parser.Parse(text, True)
        return builder.close()
    except expat.ExpatError as error:
        raise MalformedXML(str(error)) from error


def _refuse_doctype(*_: object) -> None:
    raise MalformedXML("a document type is not allowed")


def _expand_names(root: ET.Element) -> None:
    """Expand the declared prefixes of a document that was read without namespaces."""
    pending: list[tuple[ET.Element, dict[str, str]]] = [(root, {})]
    while pending:
        element, outer = pending.pop()
        declared = {name: value for name, value in element.attrib.items() if name.partition(":")[0] == "xmlns"}
        spaces = outer | {name.partition(":")[2]: value for name, value in declared.items()}
        attributes = {
            _expanded(name, spaces) if ":" in name else name: value
            for name, value in element.attrib.items()
            if name not in declared
        }
        element.tag = _expanded(element.tag, spaces)
        element.attrib.clear()
        element.attrib.update(attributes)
        pending.extend((inner, spaces) for inner in element)


def _expanded(name: str, spaces: Mapping[str, str]) -> str:
    prefix, _, local = name.rpartition(":")
    space = spaces.get(prefix)
    return f"{{{space}}}{local}" if space else name


def write_source(root: ET.Element) -> str:
    """The text of a document read by `parse_source`, or of a part of it."""
    return ET.tostring(root, encoding="unicode")


def write(root: ET.Element) -> str:
    """The document as text, indented for readability and for golden files."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def child(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    """Append a child element. Every text and attribute is validated here, so nothing reaches XML unchecked."""
    element = ET.SubElement(parent, tag, {name: legal(value, tag) for name, value in attributes.items()})
    if text is not None:
        element.text = legal(text, tag)
    return element


def legal(text: str, what: str) -> str:
    """The text with normalized line ends.

    Raises InvalidArgument if it contains a character that XML does not allow (control characters, lone surrogates).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _ILLEGAL.search(text):
        raise InvalidArgument(f"the {what} must not contain control characters")
    return text


def size_bytes(element: ET.Element | None, default_unit: str) -> int:
    """A scaled size of libvirt (https://libvirt.org/format.html) in bytes; 0 if missing or invalid."""
    if element is None:
        return 0
    try:
        return int(element.text or "") * _FACTORS[element.get("unit", default_unit).lower()]
    except (ValueError, KeyError):
        return 0
