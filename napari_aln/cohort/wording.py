"""How many there are and who, as a sentence says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED = 8


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number and what it counts: 1 patient, 2 patients; `several` where no s is put behind `one`."""
    return f"{number} {one}" if number == 1 else f"{number} {several or one + 's'}"


def named(ids: Iterable[str]) -> str:
    """Return ids as a sentence names them: the first few, and how many more."""
    known = list(ids)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more
