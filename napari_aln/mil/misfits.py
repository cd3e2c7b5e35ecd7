"""How weights differ from what an architecture wants, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe_misfits(
    wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], at_most: int = 3
) -> str:
    """Say in words how two sets of tensor shapes differ, or nothing where they do not."""
    misfits = [
        *(f"{key} is missing" for key in wanted if key not in found),
        *(f"{key} is not part of it" for key in found if key not in wanted),
        *(
            f"{key} is {list(found[key])}, not {list(shape)}"
            for key, shape in wanted.items()
            if key in found and found[key] != shape
        ),
    ]
    more = len(misfits) - at_most
    return "; ".join(misfits[:at_most]) + (f"; and {more} more" if more > 0 else "")
