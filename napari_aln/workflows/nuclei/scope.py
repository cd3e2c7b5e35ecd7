"""Where on a slide nuclei are looked for: in its tissue, in regions, in patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import shapely
from scipy import ndimage

from napari_aln.geometry import l0_to_level
from napari_aln.nuclei.measured_area import MeasuredArea
from napari_aln.nuclei.tiling import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchTable, Region
    from napari_aln.workflows.slide.prepare import Overview

EDGE_UM = 16.0
"""Tissue is taken this much wider: its outline on the overview is smoothed and may cut nuclei at the rim."""


@dataclass(frozen=True)
class Scope:
    """What of a slide is measured.

    Parameters
    ----------
    seen
        The slide's overview with its tissue: tiles without tissue are not read.
    mpp
        µm/px of level 0.
    regions
        Valid, in level-0 pixels; only nuclei inside count. None: anywhere in the tissue.
    patches
        Only nuclei inside these count; regions then say no more.
    """

    seen: Overview
    mpp: Mpp
    regions: Sequence[Region] | None = None
    patches: PatchTable | None = None

    @property
    def what(self) -> Literal["tissue", "regions", "patches"]:
        """What decides which nuclei count."""
        if self.patches is not None:
            return "patches"
        return "tissue" if self.regions is None else "regions"

    @cached_property
    def outline(self) -> BaseGeometry | None:
        """The outline of what is measured in level-0 pixels; None: the tissue, wherever it is."""
        if self.patches is not None:
            step_x, step_y = self.patches.grid.step_l0
            x, y = self.patches.l0_xy.T
            return _prepared(shapely.union_all(shapely.box(x, y, x + step_x, y + step_y)))
        if self.regions is not None:
            return _prepared(shapely.union_all([region.geometry for region in self.regions]))
        return None

    @cached_property
    def _near_tissue(self) -> NDArray[np.bool_]:
        """The tissue of the overview, a little wider, without pen."""
        mask = self.seen.mask
        wider = max(1, round(EDGE_UM / mask.um_per_px))
        near: NDArray[np.bool_] = ndimage.binary_dilation(mask.tissue, iterations=wider) & ~mask.pen
        return near

    @cached_property
    def measured(self) -> MeasuredArea:
        """The tissue inside what is measured, to which densities of squares refer."""
        return MeasuredArea.of(self.seen.mask.tissue, self.seen.downsample, self.outline)

    @cached_property
    def tissue_mm2(self) -> float:
        """Area of the tissue inside what is measured, in mm²."""
        if self.outline is None:
            return self.seen.mask.tissue_mm2
        return self.measured.l0_px * self.mpp.x * self.mpp.y * 1e-6

    @cached_property
    def area_mm2(self) -> float:
        """Area of what is measured, in mm²: of the tissue, or of regions or patches as drawn."""
        if self.outline is None:
            return self.tissue_mm2
        return float(self.outline.area) * self.mpp.x * self.mpp.y * 1e-6

    def part_of(self, tile: Box, downsample: tuple[float, float]) -> Box | None:
        """Return the smallest box of a tile that holds all its tissue in scope; None where it has none.

        Parameters
        ----------
        tile
            In pixels of a level; so is the result.
        downsample
            Level-0 pixels that one of them spans along x and y.
        """
        corners = np.array([tile[:2], (tile.x + tile.width, tile.y + tile.height)]) * downsample
        if self.outline is not None:
            cut = shapely.clip_by_rect(self.outline, *corners.ravel())
            if cut.is_empty:
                return None
            corners = np.reshape(cut.bounds, (2, 2))
        (left, top), (right, low) = l0_to_level(corners, self.seen.downsample)
        first_row, first_column = max(math.floor(top), 0), max(math.floor(left), 0)
        near = self._near_tissue[first_row : math.ceil(low), first_column : math.ceil(right)]
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not len(rows):
            return None
        tissue = np.array([(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)], float)
        tissue = (tissue + np.array([first_column, first_row])) * self.seen.downsample
        first = np.maximum(corners[0], tissue[0]) / downsample
        last = np.minimum(corners[1], tissue[1]) / downsample
        x, y = (max(math.floor(v), at) for v, at in zip(first, tile[:2], strict=True))
        right_px = min(math.ceil(last[0]), tile.x + tile.width)
        low_px = min(math.ceil(last[1]), tile.y + tile.height)
        return Box(x, y, right_px - x, low_px - y) if right_px > x and low_px > y else None

    def holds(self, l0_xy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of (n, 2) level-0 points are in scope: in regions or patches, or else in tissue."""
        if self.outline is not None:
            inside: NDArray[np.bool_] = shapely.contains_xy(self.outline, l0_xy[:, 0], l0_xy[:, 1])
            return inside
        at = np.floor(l0_to_level(l0_xy, self.seen.downsample)).astype(int)
        height, width = self._near_tissue.shape
        found: NDArray[np.bool_] = self._near_tissue[
            at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)
        ]
        return found


def _prepared(geometry: BaseGeometry) -> BaseGeometry:
    shapely.prepare(geometry)
    return geometry
