"""Before any network runs: overview, tissue, input check, and which patches each mode takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.annotations import read_annotations, usable_regions
from napari_aln.cohort.wording import counted
from napari_aln.errors import MppError, RegionError, TissueError
from napari_aln.latest import keep_latest
from napari_aln.patches.grid import MAX_PEN_SHARE, candidates, patch_grid, tissue_share
from napari_aln.patches.membership import inside
from napari_aln.patches.tissue import tissue_mask
from napari_aln.slides import overview

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.annotations import Origin
    from napari_aln.geometry import Mpp
    from napari_aln.mil.card import ModelCard
    from napari_aln.patches.tissue import TissueMask
    from napari_aln.records import PatchGrid, PatchTable, Region, SlideInfo
    from napari_aln.settings.patches import PatchSettings
    from napari_aln.settings.prediction import PredictSettings
    from napari_aln.slides import Slide

OVERVIEW_UM_PER_PX = 8.0
"""Fine enough for cores a few hundred µm wide and drawn lines, coarse enough for a picture of seconds."""


@dataclass(frozen=True)
class Overview:
    """A reduced picture of the whole slide and what was found on it."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    downsample: tuple[float, float]  # level-0 px that one overview px spans, x and y
    mask: TissueMask
    edited: bool = False  # whether a person changed the mask
    _penned: dict[PatchGrid, NDArray[np.bool_]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def with_mask(self, tissue: NDArray[np.bool_], pen: NDArray[np.bool_]) -> Overview:
        """Return the same overview with a mask a person drew; both arrays are (H, W) of the overview."""
        return replace(self, mask=replace(self.mask, tissue=tissue, pen=pen), edited=True)

    def has_another_mask(self, other: Overview | None) -> bool:
        """Whether an overview of the slide differs in its mask: one found anew is alike, one drawn is not."""
        return other is not self and (self.edited or (other is not None and other.edited))

    def penned(self, grid: PatchGrid) -> NDArray[np.bool_]:
        """Return the (rows, columns) cells that a drawn pen line enters; worked out once for each grid."""
        if grid not in self._penned:
            self._penned[grid] = tissue_share(grid, self.mask.pen, self.downsample) > MAX_PEN_SHARE
        return self._penned[grid]


def require_mpp(info: SlideInfo) -> Mpp:
    """Return the slide's µm/px.

    Raises
    ------
    MppError
        It is not known: nothing may be predicted or measured.
    """
    if info.mpp is None:
        raise MppError(
            " ".join([f"{info.path.name} does not state a usable µm/px.", *info.warnings]),
            "Set it in the window, or give --mpp X: the scanner's protocol or the data set's description "
            "states it.",
        )
    return info.mpp


def survey(slide: Slide) -> Overview:
    """Read the overview and find the tissue.

    Raises
    ------
    MppError
        The slide's µm/px is not known.
    SlideError
        The slide could not be read.
    """
    mpp = require_mpp(slide.info)
    rgb, downsample = overview(slide, um_per_px=OVERVIEW_UM_PER_PX)
    return Overview(rgb, downsample, tissue_mask(rgb, downsample[0] * mpp.x))


def patches_for(
    card: ModelCard, slide: Slide, seen: Overview, regions: Sequence[Region], settings: PatchSettings
) -> PatchTable:
    """Return the grid cells that a model takes from a slide, before the entropy filter.

    Cells that a drawn pen line enters belong to no mode; `penned` counts them.

    Raises
    ------
    MppError
        The slide's µm/px is not known.
    RegionError
        A mode inside the ROI has no region, or none that holds a patch.
    TissueError
        Whole-slide mode, and there is no tissue.
    """
    info = slide.info
    if card.mode == "dlcnbc-ws":
        grid = patch_grid(info.size_px, require_mpp(info), card.patch_px, card.mpp)
        table = candidates(grid, seen.mask, seen.downsample, settings)
        if not len(table):
            raise TissueError(
                f"No tissue was found on {info.path.name}.",
                "Check that this is a tissue slide and that its µm/px is right.",
            )
        return table
    if not regions:
        raise RegionError(
            f"{card.name} works inside a tumour ROI and none was given.",
            "Draw or import one in the window, or give --roi FILE (GeoJSON, ASAP or ImageScope XML, "
            "BCNB JSON).",
        )
    table, pen = _in_roi(card, slide, seen, regions, settings)
    if pen.all():
        side_um = card.patch_px * card.mpp
        raise RegionError(
            f"The ROI of {info.path.name} holds no patch: none of its {side_um:.0f} µm grid cells lies "
            f"inside by {settings.min_roi_share:.0%}{' and is free of pen' if pen.any() else ''}.",
            "Draw a larger region, or lower the smallest share inside the ROI (--min-roi-share).",
        )
    return table.take(~pen)


def _in_roi(
    card: ModelCard, slide: Slide, seen: Overview, regions: Sequence[Region], settings: PatchSettings
) -> tuple[PatchTable, NDArray[np.bool_]]:
    """Return the cells inside the regions, and which of them a pen line enters."""
    grid = patch_grid(slide.info.size_px, require_mpp(slide.info), card.patch_px, card.mpp)
    table = inside(grid, regions, settings.min_roi_share)
    return table, seen.penned(grid)[table.row, table.column]


def pen_note(
    card: ModelCard, slide: Slide, seen: Overview, regions: Sequence[Region], settings: PatchSettings
) -> tuple[str, ...]:
    """Return a sentence on the patches that are left out because of pen, or nothing."""
    if card.mode == "dlcnbc-ws":
        grid = patch_grid(slide.info.size_px, require_mpp(slide.info), card.patch_px, card.mpp)
        enough = tissue_share(grid, seen.mask.tissue | seen.mask.pen, seen.downsample)
        left_out, where = int((seen.penned(grid) & (enough >= settings.min_tissue_share)).sum()), "the tissue"
    elif regions and settings.roi_patching == "grid":
        left_out, where = int(_in_roi(card, slide, seen, regions, settings)[1].sum()), "the ROI"
    else:
        return ()
    if not left_out:
        return ()
    return (f"pen: {counted(left_out, 'patch', 'patches')} of {where} left out, where pen is drawn.",)


def usable_roi(
    slide: Slide, regions: Sequence[Region] | Path | str | None, origin: Origin | None = None
) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """Return the regions a run can use, mended and clipped to the slide, and what was done to them.

    Parameters
    ----------
    slide
        Whose regions they are.
    regions
        In level-0 pixels, or the file that holds them.
    origin
        What a file's coordinates start at, unless it says so itself. None: level 0, with a warning where the
        slide's bounds start elsewhere. Where outlines lie off the slide and would lie on it with the other
        origin, the warning or error offers that.

    Raises
    ------
    AnnotationError, RegionError
        The file cannot be read, or nothing of it lies on the slide.
    """
    if regions is None or (not isinstance(regions, Path | str) and not regions):
        return (), ()
    info = slide.info
    if not isinstance(regions, Path | str):
        return _usable_drawn(tuple(regions), info.size_px)
    path, bounds_xy = Path(regions), (info.bounds.x, info.bounds.y)
    read = read_annotations(path, origin=origin or "level0", bounds_xy=bounds_xy, scanner=info.scanner)
    read_from = None if read.states_origin else origin or "level0"
    usable, warnings = usable_regions(
        read.regions, info.size_px, path.name, read_from=read_from, bounds=info.bounds
    )
    if read.statement.slide_hash not in ("", info.quick_hash):
        warnings = ("The ROI file says that it was drawn on another slide.", *warnings)
    offered = any(warning.startswith("origin: ") for warning in warnings)
    if origin is None and read_from and bounds_xy != (0, 0) and not offered:
        warnings += (
            "origin: The slide's tissue bounds do not start at its corner; the ROI was read as starting at "
            "the corner. QuPath exports start at the bounds: predict --origin bounds reads them so.",
        )
    return usable, warnings


@keep_latest
def _usable_drawn(
    regions: tuple[Region, ...], size_px: tuple[int, int]
) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    return usable_regions(regions, size_px, "The drawn ROI")


def require_patches(slide: Slide, n_patches: int, settings: PredictSettings) -> None:
    """Refuse to go on without a single patch.

    Raises
    ------
    TissueError
        Every patch was too plain.
    """
    if not n_patches:
        raise TissueError(
            f"No patch of {slide.info.path.name} is rich enough: all lie below "
            f"{settings.patches.min_entropy_bits} bits of entropy.",
            "Check the µm/px and that the slide is in focus, or lower the smallest entropy "
            "(--min-entropy-bits).",
        )
