"""Nuclei of a picture as labels, by a method chosen by name; `tiling` does the same for a slide."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from napari_aln.errors import MppError, UsageError
from napari_aln.geometry import MPP_LIMITS_UM, plausible_mpp
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.nuclei.bundle import open_nucleus_bundle
from napari_aln.nuclei.classical import Classical
from napari_aln.nuclei.scale import estimate_mpp
from napari_aln.shipped import sample_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_aln.runtimes.choice import Choice


class Segmenter(Protocol):
    """A method; the same pixels give the same nuclei, wherever in a picture they lie."""

    @property
    def halo_um(self) -> float:
        """How far around a nucleus pixels may bear on it."""

    @property
    def runs_on(self) -> Choice | None:
        """What its network runs on; None: it has none."""

    def grain_px(self, mpp: float) -> int:
        """Return the px that corners of tiles must be multiples of to give the same nuclei."""

    def adapted(self, samples: Sequence[NDArray[np.uint8]]) -> Self:
        """Return the method adapted to the slide that these (H, W, 3) pictures are of."""

    def labels(self, rgb: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        """Return (H, W) labels of an (H, W, 3) picture, 0 = background."""


MODEL_NAME = "nuclei.alnmodel"
"""The nucleus model that comes with the program."""


@functools.cache
def _shipped() -> Segmenter:
    return open_nucleus_bundle(sample_path(MODEL_NAME)).method()


METHODS: dict[str, Callable[[], Segmenter]] = {"classical": Classical, "learned": _shipped}
"""Methods by name. Each is made as it is asked for."""

BREAST_F1 = {"classical": 0.767, "learned": 0.762}
"""Of the methods that ship, on annotated breast; see `sample_data/README.md`."""

DEFAULT_METHOD = max(BREAST_F1, key=lambda name: BREAST_F1[name])


def segmenter(method: str) -> Segmenter:
    """Return a method by its name in `METHODS`, or by the path of a model that `nuclei train` wrote.

    Raises
    ------
    UsageError
        There is none of this name.
    BundleError
        The model cannot be used.
    """
    if method.endswith(BUNDLE_SUFFIX):
        return open_nucleus_bundle(Path(method)).method()
    if method not in METHODS:
        raise UsageError(
            f"No method {method!r} to segment nuclei.",
            f"Choose from: {', '.join(METHODS)}, or a model's {BUNDLE_SUFFIX} file.",
        )
    return METHODS[method]()


def stated(method: str) -> tuple[str, str]:
    """Return what is said of a method: its name, and the SHA-256 of its model's weights, if it has one.

    Raises
    ------
    BundleError
        The model cannot be used.
    """
    if method == "learned" or method.endswith(BUNDLE_SUFFIX):
        path = Path(method) if method.endswith(BUNDLE_SUFFIX) else sample_path(MODEL_NAME)
        card = open_nucleus_bundle(path).card
        return f"learned: {card.name}", card.weights_sha256
    return method, ""


def segment(rgb: NDArray[np.uint8], mpp: float | None, method: str = DEFAULT_METHOD) -> NDArray[np.int32]:
    """Label the nuclei of a picture.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8, H&E.
    mpp
        Its µm/px; None: estimated from the sizes of the nuclei themselves.
    method
        Name in `METHODS`, or path of a model.

    Returns
    -------
    int32, (H, W)
        1..n, each label one connected piece; 0 is background. All 0 where there is no nucleus.

    Raises
    ------
    UsageError, BundleError
        No such method, or not an RGB picture.
    MppError
        µm/px outside 0.05-20.
    """
    chosen = segmenter(method)
    rgb = np.asarray(rgb)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise UsageError(
            f"A picture of {rgb.dtype} and shape {rgb.shape} cannot be segmented.",
            "Give (H, W, 3) uint8 RGB.",
        )
    if not rgb.size:
        return np.zeros(rgb.shape[:2], np.int32)
    chosen = chosen.adapted([rgb])
    if mpp is None:
        mpp = estimate_mpp(rgb, chosen.stain if isinstance(chosen, Classical) else None)
    return chosen.labels(rgb, checked_mpp(mpp))


def checked_mpp(mpp: float) -> float:
    """Return µm/px as given, or raise `MppError` where it is impossible."""
    if plausible_mpp(mpp, mpp) is None:
        low, high = MPP_LIMITS_UM
        raise MppError(f"{mpp} µm/px is impossible.", f"Give a value between {low} and {high}.")
    return float(mpp)
