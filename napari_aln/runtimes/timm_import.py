"""The one place that imports timm, which is optional: encoders by ``timm:NAME``, no network."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

INSTALL = "pip install 'napari-aln[timm]'"


def import_timm(wanted: str) -> ModuleType:
    """Return the module timm.

    Parameters
    ----------
    wanted
        The encoder it is needed for, named in the error.

    Raises
    ------
    UsageError
        It is not installed, or cannot be loaded.
    """
    importlib.import_module("napari_aln.runtimes.torchvision_import")  # timm imports torchvision itself
    try:
        return importlib.import_module("timm")
    except (ImportError, OSError) as error:
        raise UsageError(
            f"The encoder {wanted} is one of timm, and timm cannot be loaded: {error}.", f"Try: {INSTALL}"
        ) from error
