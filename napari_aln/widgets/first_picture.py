"""What napari builds once, for its first picture, built before the first slide comes: units above all.

pint builds its registry when a unit is first asked for. That takes a quarter of a second, and where two
threads ask at once, one of them gets a registry that knows no unit yet. So a thread builds one which nobody
else knows, and the window's thread puts it in place. pint keeps what it has read in the user's cache folder:
from the second start on it takes a fifth of that time.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pint
from napari.layers import Image
from pint.registry import LazyRegistry
from platformdirs import user_cache_path


def build_units() -> Any:  # noqa: ANN401 - a pint.UnitRegistry, whose type needs types of its own
    """Return a registry as pint would build it; on any thread."""
    # Never a folder that a setting names: pint unpickles what it kept, and others may write there.
    kept = user_cache_path("napari-aln", appauthor=False) / "units"
    try:
        return pint.UnitRegistry(on_redefinition="raise", cache_folder=kept)
    except Exception:  # noqa: BLE001 - cut short by a start beside this one, not writable: what pickle raises has no end
        shutil.rmtree(kept, ignore_errors=True)
        return pint.UnitRegistry(on_redefinition="raise")


def use_units(units: Any) -> None:  # noqa: ANN401 - see `build_units`
    """Let napari use it, unless a unit was asked for before; on the window's thread."""
    shared: Any = pint.application_registry
    if needs_units():
        shared.set(units)


def needs_units() -> bool:
    """Whether no unit was asked for yet."""
    shared: Any = pint.application_registry
    return isinstance(shared.get(), LazyRegistry)


def ready_units() -> None:
    """Have units that were built here, where none was asked for before; on the window's thread."""
    if needs_units():
        use_units(build_units())


def build_first_picture() -> None:
    """Make a picture that nobody sees, with units; on the window's thread."""
    ready_units()
    Image(np.zeros((4, 4, 3), np.uint8), rgb=True, units=("µm", "µm"))
