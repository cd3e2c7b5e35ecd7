"""What the truth of a synthetic slide says of a patch: numbers an encoder can be pre-trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from napari_aln.errors import CohortError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow

COUNTED = ("tumour", "lymphocyte", "fibroblast", "luminal")
TARGETS = (
    *(f"{kind} density" for kind in COUNTED),
    "tumour nucleus area",
    "tumour nucleus circularity",
    "tumour nucleus aspect",
    "tumour nucleus spacing",
    "tumour nucleus alignment",
)
"""Names of the targets, in order: densities as ln(1 + n / mm² / 100), then means over the tumour nuclei."""

MIN_NUCLEI = 6
"""Means over fewer tumour nuclei say too little and are left unknown."""


def nuclei_path(row: CohortRow) -> Path | None:
    """Return where `synthesize` wrote a slide's nuclei: beside its outlines. None: no such file."""
    if row.roi is None:
        return None
    path = row.roi.with_name(f"{row.patient_id}-nuclei.parquet")
    return path if path.is_file() else None


def read_nuclei(path: Path) -> pd.DataFrame:
    """Read a slide's nuclei.

    Raises
    ------
    CohortError
        The file is damaged or lacks a column.
    """
    columns = [
        "x",
        "y",
        "kind",
        "area_um2",
        "circularity",
        "major_axis_um",
        "minor_axis_um",
        "angle_rad",
    ]
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors derive from these
        raise CohortError(
            f"{path} is no table of nuclei as `cohort synthesize` writes it: {error}.",
            "Draw the cohort again.",
        ) from error


def patch_targets(
    nuclei: pd.DataFrame, l0_xy: NDArray[np.float64], side_l0: float, mpp_um: float
) -> NDArray[np.float32]:
    """Measure patches and their quarters.

    Parameters
    ----------
    nuclei
        From `read_nuclei`.
    l0_xy
        (n, 2) upper left corners of the patches, level-0 px.
    side_l0
        Their side in level-0 px.
    mpp_um
        µm/px of level 0.

    Returns
    -------
    float32 (n, 5, len(TARGETS))
        Of the upper left, upper right, lower left, lower right quarter and the whole; NaN: too few tumour
        nuclei. Alignment is the resultant length R of the doubled angles, with its bias for few nuclei taken
        off: ``sqrt((n R^2 - 1) / (n - 1))``.
    """
    xy = nuclei[["x", "y"]].to_numpy(np.float64)
    kind = nuclei["kind"].astype(str).to_numpy()
    tumour = kind == "tumour"
    values = np.full((len(nuclei), 4), np.nan)
    values[:, 0] = nuclei["area_um2"]
    values[:, 1] = nuclei["circularity"]
    values[:, 2] = nuclei["major_axis_um"] / nuclei["minor_axis_um"]
    if tumour.sum() > 1:
        values[tumour, 3] = KDTree(xy[tumour]).query(xy[tumour], k=2)[0][:, 1] * mpp_um
    turn = np.exp(2j * nuclei["angle_rad"].to_numpy(np.float64))
    half = side_l0 / 2
    targets = np.full((len(l0_xy), 5, len(TARGETS)), np.nan, np.float32)
    for i, (x0, y0) in enumerate(l0_xy):
        near = np.flatnonzero((np.abs(xy - (x0 + half, y0 + half)) <= half).all(axis=1))
        right, below = xy[near, 0] >= x0 + half, xy[near, 1] >= y0 + half
        for view in range(5):
            inside = near if view == 4 else near[(below == view // 2) & (right == view % 2)]
            mm2 = ((side_l0 if view == 4 else half) * mpp_um / 1000.0) ** 2
            for k, counted in enumerate(COUNTED):
                targets[i, view, k] = np.log1p((kind[inside] == counted).sum() / mm2 / 100.0)
            mine = inside[tumour[inside]]
            n = len(mine)
            if n >= MIN_NUCLEI:
                targets[i, view, 4:8] = values[mine].mean(axis=0)
                excess = (n * np.abs(turn[mine].mean()) ** 2 - 1) / (n - 1)
                targets[i, view, 8] = np.sqrt(max(excess, 0.0))
    return targets
