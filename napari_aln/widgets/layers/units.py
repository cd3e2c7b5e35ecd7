"""What napari builds once, for its first picture, built before the first slide comes: units above all.

pint builds its registry when a unit is first asked for. That takes a third of a second, and where two threads
ask at once, one of them gets a registry that knows no unit yet. So a thread builds one which nobody else
knows, and the window's thread puts it in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pint
from napari.layers import Image
from pint.registry import LazyRegistry

from napari_aln.geometry import Mpp
from napari_aln.widgets.layers.placement import Frame


def build_units() -> Any:  # noqa: ANN401 - a pint.UnitRegistry, whose type needs types of its own
    """Return a registry as pint would build it; on any thread."""
    return pint.UnitRegistry(on_redefinition="raise")


def use_units(units: Any) -> None:  # noqa: ANN401 - see `build_units`
    """Let napari use it, unless a unit was asked for before; on the window's thread."""
    shared: Any = pint.application_registry
    if isinstance(shared.get(), LazyRegistry):
        shared.set(units)


def build_first_picture() -> None:
    """Make a picture that nobody sees; on the window's thread, after `use_units` if that is called at all."""
    Image(np.zeros((4, 4, 3), np.uint8), rgb=True, **Frame(Mpp(1.0, 1.0)).of_picture((1.0, 1.0)))
