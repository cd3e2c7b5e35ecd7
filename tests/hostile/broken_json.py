"""Members of JSON that are not what they should be, and what stands for an input."""

import copy
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

ODD_VALUES = (
    None,
    True,
    -1,
    0,
    1,
    1e308,
    10**400,
    "",
    "x",
    "../../escape.txt",
    "nan",
    "\ud800",
    "a\0b",
    "=1+1",
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    "9" * 5000,
    float("nan"),
    float("inf"),
    float("-inf"),
    -(2**63),
    2**64,
    "1e400",
    ["x"] * 3,
)
"""What a member of JSON may be instead of what it should."""

DEEP = 100_000


class Hostile(NamedTuple):
    """An input: which door it goes through, and what to write where, below a folder of its own."""

    name: str
    door: str
    files: dict[str, bytes]
    opened: str  # the file that is opened; "" is the folder


def odd_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Return JSON with one to three members replaced, removed or repeated elsewhere."""
    document = json.loads(content)
    for _ in range(rng.integers(1, 4)):
        places = list(_places(document))
        if not places:
            break
        holder, key = places[rng.integers(len(places))]
        kind = rng.integers(10)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, name = places[rng.integers(len(places))]
            holder[key] = json.loads(json.dumps(other[name]))
        elif kind == 2 and isinstance(holder, dict):
            holder["surprise"] = 1
        else:
            holder[key] = copy.deepcopy(ODD_VALUES[rng.integers(len(ODD_VALUES))])
    return json.dumps(document).encode()


def _places(node) -> Iterator[tuple[dict | list, str | int]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items)[:50]:
        yield node, key
        yield from _places(value)
