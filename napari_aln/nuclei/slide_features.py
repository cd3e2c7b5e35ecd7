"""The nucleus features of Xu et al. on one slide: values by patch, and one that stands for the slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_aln.nuclei.aggregates import members_of_patches, patch_statistics
from napari_aln.nuclei.morphometry import neighbour_distances_um
from napari_aln.nuclei.table import L0_XY

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchTable

DENSITY, ORIENTATION = "density_per_mm2", "orientation_coherence"
MIN_NUCLEI = 10
"""Of fewer nuclei in a patch the coherence of their orientation says little."""
NEIGHBOUR = 3
"""The density around a nucleus is read from the distance to this neighbour."""


class SlideFeature(NamedTuple):
    """A feature as tables and figures name it."""

    name: str
    title: str
    unit: str  # empty: none


PAPER_FEATURES = (
    SlideFeature(DENSITY, "Density", "per mm²"),
    SlideFeature(ORIENTATION, "Orientation (coherence)", ""),
    SlideFeature("circumference_um", "Circumference", "µm"),
    SlideFeature("circularity", "Circularity", ""),
    SlideFeature("area_um2", "Area", "µm²"),
    SlideFeature("major_axis_um", "Major axis", "µm"),
    SlideFeature("minor_axis_um", "Minor axis", "µm"),
    SlideFeature("rectangularity", "Rectangularity", ""),
)
"""The eight of Xu et al., in the order of their text; each is one instance of a slide's bag."""

FURTHER_FEATURES = (
    SlideFeature("solidity", "Solidity", ""),
    SlideFeature("eccentricity", "Eccentricity", ""),
    SlideFeature("haematoxylin_mean", "Haematoxylin, mean", "OD"),
    SlideFeature("haematoxylin_texture", "Haematoxylin, texture", "OD"),
    SlideFeature("nearest_um", "Nearest neighbour", "µm"),
)
"""Compared between the groups too, but no instances."""

SLIDE_FEATURES = (*PAPER_FEATURES, *FURTHER_FEATURES)

ORIENTATION_NOTE = (
    "Orientation: an axis has no mean that could be compared between slides, so it is how far the nuclei of "
    "a patch point the same way (polarity, as Xu et al. discuss it): the resultant length of the doubled "
    "angles, freed of what chance gives, 0 to 1."
)


@dataclass(frozen=True)
class Values:
    """The values of one feature on a slide.

    Attributes
    ----------
    value
        (m,) of nuclei. All are known.
    patch
        (m,) index of the patch each lies in.
    """

    value: NDArray[np.float64]
    patch: NDArray[np.intp]


@dataclass(frozen=True)
class SlideFeatures:
    """What a slide's patches hold.

    Attributes
    ----------
    n_patches, n_nuclei
        How many were looked at.
    values
        By name of feature.
    slide_value
        The one value that stands for the slide, by name; NaN: not known.
    """

    n_patches: int
    n_nuclei: int
    values: dict[str, Values]
    slide_value: dict[str, float]


def slide_features(
    table: pd.DataFrame,
    patches: PatchTable,
    mpp: Mpp,
    *,
    tissue_share: NDArray[np.float64] | None = None,
) -> SlideFeatures:
    """Gather the features of a slide's nuclei by patch.

    Parameters
    ----------
    table
        From `measure`, with level-0 centroids (`placed`); nuclei in none of the patches take no part, nor do
        those that the slide's border may cut.
    patches
        That were looked at.
    mpp
        µm/px of level 0.
    tissue_share
        (n,) share of each patch that is tissue, to which densities then refer.

    Returns
    -------
    SlideFeatures
        One value a nucleus, and of the slide their median, but for:

        ``density_per_mm2``
            Of a nucleus ``(k - 1) / (pi r_k^2)``, r_k the distance to its k-th neighbour, k = 3 (unbiased
            where nuclei lie at random); of the slide all nuclei over the area of all patches.
        ``orientation_coherence``
            Of a nucleus the cosine of the doubled angle to the mean axis of the others in its patch: 1 along
            it, -1 across. Of the slide the mean over patches of ``orientation_coherence_unbiased`` (see
            `statistics`). Both where at least 10 nuclei of a patch have a direction. An axis by itself has no
            mean that could be compared between slides; how far neighbours agree can.
    """
    by_patch = patch_statistics(table, patches, mpp, tissue_share=tissue_share)
    nucleus, patch = members_of_patches(table, patches)
    whole = ~table["on_border"].to_numpy(bool)[nucleus]
    values = {
        feature.name: _known(table[feature.name].to_numpy(float)[nucleus[whole]], patch[whole])
        for feature in SLIDE_FEATURES
        if feature.name in table.columns
    }
    xy_px = table[list(L0_XY)].to_numpy(float)[nucleus]
    values[DENSITY] = _known(_local_density_per_mm2(xy_px, mpp)[whole], patch[whole])
    angle = table["orientation_rad"].to_numpy(float)[nucleus[whole]]
    values[ORIENTATION] = _known(_alignment(angle, patch[whole], len(patches)), patch[whole])
    slide_value = {name: _middle(own.value) for name, own in values.items()}
    coherence = by_patch["orientation_coherence_unbiased"].to_numpy(float)
    coherence = coherence[np.unique(values[ORIENTATION].patch)]
    slide_value[ORIENTATION] = float(coherence.mean()) if len(coherence) else np.nan
    area_mm2 = float(by_patch["area_mm2"].sum())
    slide_value[DENSITY] = float(by_patch["n_nuclei"].sum()) / area_mm2 if area_mm2 else np.nan
    return SlideFeatures(len(patches), len(np.unique(nucleus)), values, slide_value)


def _local_density_per_mm2(xy_px: NDArray[np.float64], mpp: Mpp) -> NDArray[np.float64]:
    """Return (n,) densities by the distance to the k-th neighbour; NaN where there are too few nuclei."""
    distance_mm = neighbour_distances_um(xy_px, mpp, NEIGHBOUR)[:, -1] / 1000
    density: NDArray[np.float64] = (NEIGHBOUR - 1) / (np.pi * np.maximum(distance_mm, 1e-6) ** 2)
    return density


def _alignment(angle: NDArray[np.float64], patch: NDArray[np.intp], n_patches: int) -> NDArray[np.float64]:
    """Return (n,) cosines of the doubled angle to the mean axis of the others in the patch; NaN: unknown."""
    turn = np.exp(2j * angle)
    known = np.isfinite(angle)
    count = np.bincount(patch[known], minlength=n_patches)
    real, imaginary = (
        np.bincount(patch[known], weights=part[known], minlength=n_patches) for part in (turn.real, turn.imag)
    )
    others = (real + 1j * imaginary)[patch] - turn
    cosine: NDArray[np.float64] = (turn * others.conj()).real / np.maximum(np.abs(others), 1e-12)
    cosine[count[patch] < MIN_NUCLEI] = np.nan
    return cosine


def _known(value: NDArray[np.float64], patch: NDArray[np.intp]) -> Values:
    finite = np.isfinite(value)
    return Values(value[finite], patch[finite])


def _middle(value: NDArray[np.float64]) -> float:
    return float(np.median(value)) if len(value) else float("nan")
