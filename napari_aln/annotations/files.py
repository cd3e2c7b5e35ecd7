"""Annotation files as bytes: read and replaced whole, and their XML parsed without trust."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, indent, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from napari_aln.errors import AnnotationError

if TYPE_CHECKING:
    from pathlib import Path

MAX_DEPTH = 32
"""Annotation files nest six elements; one that nests many more is made to exhaust its reader."""

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def content_of(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    AnnotationError
        It cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the path and your rights to it."
        ) from error
    if not content.strip():
        raise AnnotationError(f"{path} is empty.", "Export the annotations again.")
    return content


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: whole, or as it was before.

    Raises
    ------
    AnnotationError
        It cannot be written.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise AnnotationError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose a folder that is writable."
        ) from error


class _Shallow(TreeBuilder):
    """Builds the tree of elements, and refuses one too deep."""

    depth = 0

    def start(self, tag: str, attrs: dict[Any, Any]) -> Element:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RecursionError
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self.depth -= 1
        return super().end(tag)


def xml_root(content: bytes, path: Path) -> Element:
    """Parse XML without entities, document types or anything from outside.

    Raises
    ------
    AnnotationError
        It is malformed, nested too deeply, or defines what annotation files never need.
    """
    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True)
    try:
        parser.feed(content)
        root: Element = parser.close()
    except DefusedXmlException:
        raise AnnotationError(
            f"{path} defines XML entities or a document type, which annotation files never need.",
            "Do not trust this file; export the annotations again.",
        ) from None
    except RecursionError:
        raise AnnotationError(
            f"{path} is nested too deeply to be an annotation.", "Export the annotations again."
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise AnnotationError(
            f"{path} is not well-formed XML ({error}).", "Export the annotations again."
        ) from None
    return root


def xml_bytes(root: Element) -> bytes:
    """Return a tree as UTF-8 XML with a declaration, one element a line."""
    indent(root, "\t")
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def xml_text(text: str) -> str:
    """Return text without the characters that XML cannot hold, each replaced by U+FFFD."""
    return _NOT_IN_XML.sub("\ufffd", text)
