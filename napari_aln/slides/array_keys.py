"""What indexes an array-like of three axes, as numpy takes it."""

from __future__ import annotations

from operator import index
from typing import Any


def full_key(key: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - as numpy takes it
    """Return one index for each axis.

    Raises
    ------
    IndexError
        There are more than three, or two ellipses.
    """
    keys = key if isinstance(key, tuple) else (key,)
    dots = [at for at, k in enumerate(keys) if k is Ellipsis] or [len(keys)]
    before, after = keys[: dots[0]], keys[dots[0] + 1 :]
    between = 3 - len(before) - len(after)
    if len(dots) > 1 or between < 0:
        raise IndexError(f"A level has 3 axes; {key} does not fit.")
    all_keys: list[Any] = [*before, *[slice(None)] * between, *after]
    return all_keys[0], all_keys[1], all_keys[2]


def ascending(key: Any, size: int) -> tuple[range, bool]:  # noqa: ANN401 - as numpy takes it
    """Return the ascending range an index means, and whether its order was reversed.

    Raises
    ------
    IndexError
        The axis has no such place, or it is another kind of index.
    """
    if isinstance(key, bool):  # to numpy that is a mask
        raise IndexError(f"A level takes whole numbers and slices, not {key!r}.")
    if isinstance(key, slice):
        wanted = range(*key.indices(size))
        return (wanted[::-1], True) if wanted.step < 0 else (wanted, False)
    try:
        at = index(key)
    except TypeError:
        raise IndexError(f"A level takes whole numbers and slices, not {key!r}.") from None
    if not -size <= at < size:
        raise IndexError(f"{at} lies outside an axis of {size}.")
    return range(at % size, at % size + 1), False
