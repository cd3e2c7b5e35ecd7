"""The versions of what numbers and pictures depend on, as every record states them."""

from __future__ import annotations

import contextlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "napari-aln",
    "imagecodecs",
    "numba",
    "numpy",
    "openslide-bin",
    "openslide-python",
    "openvino",
    "pillow",
    "scipy",
    "shapely",
    "tifffile",
    "torch",
    "torchvision",
)


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of what numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
