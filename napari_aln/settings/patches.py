"""Which cells of the grid become patches."""

from __future__ import annotations

from typing import Literal

from napari_aln.settings.described import Settings, setting


class PatchSettings(Settings):
    """Which cells of the grid become patches."""

    min_tissue_share: float = setting(
        0.25, "Smallest tissue share", "A whole-slide patch holds at least this share.", ge=0.0, le=1.0
    )
    min_entropy_bits: float = setting(
        5.0,
        "Smallest entropy",
        "A whole-slide patch whose 8-bit grey values have less Shannon entropy is dropped as empty of cells.",
        "bits",
        ge=0.0,
        le=8.0,
    )
    min_roi_share: float = setting(
        0.7, "Smallest share inside the ROI", "An ROI patch lies inside by this share.", gt=0.0, le=1.0
    )
    roi_patching: Literal["grid", "reference"] = setting(
        "grid",
        "ROI patching",
        "grid: the slide's one grid, pixels as they are. reference: regions cut out, outside painted white.",
    )
