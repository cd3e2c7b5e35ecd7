"""JSON that others may have written: parsed without trust in its depth or its version."""

from __future__ import annotations

import json
from typing import Any


def parse_json(content: bytes | str) -> Any:  # noqa: ANN401 - whatever stands there
    """Return parsed JSON.

    Raises
    ------
    ValueError
        It is none, or nested without end.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_newer(document: object, known: int, name: str = "schema_version") -> bool:
    """Whether a document says that it is of a later version than the one known."""
    version = document.get(name) if isinstance(document, dict) else None
    return isinstance(version, int) and version > known
