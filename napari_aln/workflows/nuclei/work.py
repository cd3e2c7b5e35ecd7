"""A slide's nuclei while they come in tile by tile, and as they are in the end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_aln.cohort.wording import counted
from napari_aln.geometry import Mpp, Rect
from napari_aln.nuclei.morphometry import NEIGHBOUR_FEATURES, PLACE, measure, neighbour_distances_um
from napari_aln.nuclei.outlines import Outlines, PackedOutlines, outlines_of, packed
from napari_aln.nuclei.stain import MIN_CONTRAST, fit_stain
from napari_aln.nuclei.table import L0_XY, placed
from napari_aln.nuclei.tile_checks import OPAQUE_SHARE, is_blank, is_blurred, opaque_shares
from napari_aln.nuclei.tiling import SAMPLE_PX, SAMPLES_A_SIDE
from napari_aln.patches.grid import patch_grid, tissue_share
from napari_aln.patches.quality import MIN_HE_SHARE, he_share
from napari_aln.records import Progress
from napari_aln.runtimes.choice import Choice
from napari_aln.slides.sampling import read_resampled
from napari_aln.store.machine import machine_facts
from napari_aln.store.nuclei import public_settings
from napari_aln.workflows.slide.prepare import require_mpp

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from napari_aln.nuclei.tiling import NucleiTile
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.slides import Slide
    from napari_aln.workflows.nuclei.scope import Scope
    from napari_aln.workflows.slide.prepare import Overview

STEP = "measure nuclei"
COARSEST_UM = 0.6
"""Per pixel; above it a nucleus has some hundred pixels and its shape is hardly known."""

SIMPLIFY_PX = 0.75  # of the pixels that are read
_GLASS_SAMPLES = 2

COUNTED = ("tiles", "blurred_tiles", "blank_tiles", "specks", "debris")


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiFound(Progress):
    """One tile more was measured; `done`, `total` and `per_second` count tiles.

    Attributes
    ----------
    nuclei
        How many there are so far.
    l0_rect
        The tile with its overlap, in level-0 pixels.
    table
        Its own nuclei, as in `MeasuredNuclei`, but for the distances to neighbours: these are of the tile.
    outlines
        Theirs, in level-0 pixels.
    scope
        Of which this is a tile.
    """

    nuclei: int
    l0_rect: Rect
    table: pd.DataFrame
    outlines: Outlines
    scope: Scope


@dataclass(frozen=True)
class MeasuredNuclei:
    """The nuclei of what was measured of a slide.

    Attributes
    ----------
    table
        Columns of `nuclei.measure` and ``x``, ``y``, the centroid in level-0 pixels; `label` counts from 1.
        `centroid_x_px`, `centroid_y_px` are pixels of the resolution that was read, from the slide's corner.
        Distances to neighbours are between all these nuclei: of few patches, mostly those of the same patch.
    outlines
        Of the same nuclei, in level-0 pixels.
    mpp
        µm/px of level 0.
    slide_hash
        Quick hash of the slide.
    method, model_sha256
        How they were found; the hash of a learned method's weights, empty of another.
    runs_on
        What its network ran on; None of another method.
    read_mpp
        µm/px at which they were.
    settings
        How they were to be found, and which count.
    scope
        What was measured.
    counts
        See `COUNTED`: tiles, those blurred or blank, and what was found and is no nucleus.
    seconds
        How long it took.
    warnings
        What makes the measures doubtful: name, colon, sentence.
    """

    table: pd.DataFrame
    outlines: PackedOutlines
    mpp: Mpp
    slide_hash: str
    method: str
    model_sha256: str
    runs_on: Choice | None
    read_mpp: Mpp
    settings: NucleiSettings
    scope: Scope
    counts: dict[str, int]
    seconds: float
    warnings: tuple[str, ...]

    @property
    def area_mm2(self) -> float:
        """Area of what was measured, in mm²: of the tissue, or of regions or patches as drawn."""
        return self.scope.area_mm2

    @property
    def tissue_mm2(self) -> float:
        """Area of the tissue in it, in mm²."""
        return self.scope.tissue_mm2

    @property
    def density_per_mm2(self) -> float:
        """Nuclei per mm² of what was measured; NaN of nothing."""
        return len(self.table) / self.area_mm2 if self.area_mm2 > 0 else float("nan")

    @property
    def found_by(self) -> dict[str, Any]:
        """What made them, as plain values: `store.nuclei.FOUND_BY`."""
        values = {name: getattr(self, name) for name in ("method", "model_sha256", "read_mpp", "counts")}
        areas = {"what": self.scope.what, "area_mm2": self.area_mm2, "tissue_mm2": self.tissue_mm2}
        ran_on = self.ran_on._asdict() | {"machine": self.machine}
        return values | ran_on | {"settings": self.stated_settings} | areas

    @property
    def ran_on(self) -> Choice:
        """Runtime, device and precision of the network as they are written: empty where there was none."""
        return self.runs_on or Choice("", "", "")

    @property
    def machine(self) -> dict[str, str]:
        """What it ran on is part of, see `store.machine.machine_facts`."""
        return machine_facts(with_accelerator=self.ran_on.device not in ("", "cpu"))

    @property
    def stated_settings(self) -> dict[str, Any]:
        """The settings as they are written, see `store.nuclei.public_settings`."""
        return public_settings(self.settings.model_dump(mode="json"), self.method)


class NucleiWork:
    """One slide's nuclei as the tiles come in, and what was left out of them."""

    def __init__(
        self,
        slide: Slide,
        settings: NucleiSettings,
        scope: Scope,
        downsample: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self._slide, self._settings = slide, settings
        self.scope = scope
        self.downsample = downsample  # level-0 pixels that one pixel read spans
        self.read_mpp = Mpp(scope.mpp.x * downsample[0], scope.mpp.y * downsample[1])
        self.samples = _samples(slide, scope.seen, self.read_mpp)
        self._stain = fit_stain(self.samples)
        self._started = time.perf_counter()
        self._tables: list[pd.DataFrame] = []
        self._outlines: list[pa.LargeBinaryArray] = []
        self._nuclei = 0
        self._counts: Counter[str] = Counter()

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return (height, width, 3) at the resolution that is segmented."""
        return read_resampled(self._slide, self._l0_rect(x, y, width, height), (width, height))

    def _l0_rect(self, x: int, y: int, width: int, height: int) -> Rect:
        by_x, by_y = self.downsample
        return Rect(x * by_x, y * by_y, width * by_x, height * by_y)

    def take(self, tile: NucleiTile) -> NucleiFound:
        """Measure a tile's nuclei and keep those that count."""
        self._look_at(tile)
        l0_rect = self._l0_rect(tile.x, tile.y, *tile.labels.shape[::-1])
        table = measure(tile.labels, self.read_mpp, tile.rgb, stain=self._stain)
        row = table["label"].to_numpy() - 1
        table[list(PLACE)] += np.array([tile.x, tile.y])  # from the slide's corner
        table = placed(table, downsample=self.downsample)
        kept = self._counted(table, opaque_shares(tile.labels, tile.rgb, self._glass)[row])
        outlines = outlines_of(tile.labels, simplify_px=SIMPLIFY_PX).placed(l0_rect[:2], self.downsample)
        label = np.arange(self._nuclei + 1, self._nuclei + int(kept.sum()) + 1)
        table = table[kept].assign(label=label).reset_index(drop=True)
        outlines = Outlines(label, outlines.geometry[kept])
        self._tables.append(table)
        self._outlines.append(packed(outlines))
        self._nuclei += len(table)
        per_second = tile.done / (time.perf_counter() - self._started)
        return NucleiFound(
            STEP,
            tile.done,
            tile.total,
            per_second,
            nuclei=self._nuclei,
            l0_rect=l0_rect,
            table=table,
            outlines=outlines,
            scope=self.scope,
        )

    @property
    def _glass(self) -> tuple[int, int, int]:
        return self.scope.seen.mask.glass_rgb

    def _look_at(self, tile: NucleiTile) -> None:
        blank = is_blank(tile.rgb, self._glass)
        self._counts["tiles"] += 1
        self._counts["blank_tiles"] += blank
        self._counts["blurred_tiles"] += not blank and is_blurred(tile.rgb, self.read_mpp.mean, self._glass)

    def _counted(self, table: pd.DataFrame, opaque: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which nuclei count; how many of the others are specks or debris is noted."""
        inside = self.scope.holds(table[list(L0_XY)].to_numpy())
        area = table["area_um2"].to_numpy()
        speck = area < self._settings.min_area_um2
        debris = ~speck & ((area > self._settings.max_area_um2) | (opaque > OPAQUE_SHARE))
        self._counts["specks"] += int((inside & speck).sum())
        self._counts["debris"] += int((inside & debris).sum())
        return inside & ~speck & ~debris

    def finish(self, method: str, model_sha256: str = "", runs_on: Choice | None = None) -> MeasuredNuclei:
        """Return all nuclei that count, with distances to neighbours across tiles."""
        import pandas as pd

        info, mpp = self._slide.info, self.scope.mpp
        filled = [table for table in self._tables if len(table)]
        if filled:
            table = pd.concat(filled, ignore_index=True)
            table[list(NEIGHBOUR_FEATURES)] = neighbour_distances_um(table[list(L0_XY)].to_numpy(), mpp)
        else:
            table = placed(measure(np.zeros((1, 1), np.int32), mpp))
        return MeasuredNuclei(
            table,
            PackedOutlines.of_parts(table["label"].to_numpy(), self._outlines),
            mpp,
            info.quick_hash,
            method,
            model_sha256,
            runs_on,
            self.read_mpp,
            self._settings,
            self.scope,
            {name: self._counts[name] for name in COUNTED},
            round(time.perf_counter() - self._started, 3),
            (*info.warnings, *self._warnings()),
        )

    def _warnings(self) -> list[str]:
        seen, counts, found = self.scope.seen, self._counts, []
        share = he_share(seen.rgb, seen.mask)
        if share is not None and share < MIN_HE_SHARE:
            found.append(
                f"not_he: Not H&E as far as colour tells: {share:.0%} of the tissue is purple, pink or red. "
                "Nuclei are looked for by their haematoxylin; other stains are taken for it."
            )
        if self.read_mpp.mean > COARSEST_UM:
            found.append(
                f"coarse: At {self.read_mpp.mean:.3g} µm/px small nuclei are missed and shapes are hardly "
                "known."
            )
        if not self.scope.tissue_mm2:
            found.append(
                "no_tissue: No tissue was found in what was to be measured. Where there is some, correct the "
                "tissue mask in the window."
            )
        elif not self._nuclei:
            pale = " Hardly anything is stained like nuclei." if self._stain.contrast < MIN_CONTRAST else ""
            found.append(f"no_nuclei: No nucleus was found.{pale}")
        tiles = counted(counts["tiles"], "tile")
        if counts["blurred_tiles"]:
            found.append(
                f"blurred: out of focus are {counts['blurred_tiles']} of {tiles}: nuclei are "
                "missed there, and those found are drawn too large."
            )
        if counts["blank_tiles"]:
            found.append(f"blank: hardly any tissue on {counts['blank_tiles']} of {tiles}.")
        if counts["debris"]:
            things = counted(counts["debris"], "black or very large thing")
            found.append(f"debris: not counted as nuclei: {things}.")
        if seen.edited:
            found.append("tissue: The tissue mask was edited by hand; the slide alone does not repeat this.")
        return found


def _samples(slide: Slide, seen: Overview, read_mpp: Mpp) -> list[NDArray[np.uint8]]:
    """Return squares of tissue from all over the slide, and a few of glass, which tells its colour."""
    grid = patch_grid(slide.info.size_px, require_mpp(slide.info), SAMPLE_PX, read_mpp.mean)
    if not grid.columns * grid.rows:
        return [slide.read_level(0, (0, 0), slide.info.size_px)]
    share = tissue_share(grid, seen.mask.tissue, seen.downsample)
    share[seen.penned(grid)] = np.nan
    step_x, step_y = grid.step_l0
    found: list[NDArray[np.uint8]] = []
    for cells, count in (
        (np.argwhere(share > min(0.5, 0.9 * np.nanmax(share, initial=0))), SAMPLES_A_SIDE**2),
        (np.argwhere(share == 0), _GLASS_SAMPLES),
    ):
        chosen = np.unique(np.linspace(0, max(len(cells) - 1, 0), count).astype(int))[: len(cells)]
        found += [
            read_resampled(slide, Rect(column * step_x, row * step_y, step_x, step_y), (SAMPLE_PX, SAMPLE_PX))
            for row, column in cells[chosen]
        ]
    return found
