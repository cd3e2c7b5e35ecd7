"""Writers for napari's own saving: Shapes layers as annotations in level-0 pixels of the slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_aln.errors import AnnotationError, StoreError
from napari_aln.widgets.dropped import SLIDE_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.geometry import Mpp
    from napari_aln.records import Region, SlideInfo
    from napari_aln.widgets.state import ReviewState

    LayerData = tuple[Any, dict[str, Any], str]


def write_regions(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write the areas of Shapes layers as GeoJSON that QuPath opens, in level-0 pixels, with holes.

    Of the slide under review the file states µm/px and hash. Its tumour ROI is written as it is, with names
    (unless names are hidden), classes and all digits; other layers are converted from where they lie.

    Raises
    ------
    StoreError
        There is no area, a layer lies in µm and no slide is open, or the file cannot be written.
    """
    try:
        _write(Path(path), layers)
    except AnnotationError as error:  # a ValueError, which napari takes for the lack of a writer
        raise StoreError(error.fact, error.next_step) from error
    return [path]


def _write(path: Path, layers: Sequence[LayerData]) -> None:
    from napari_aln.annotations import without_names, write_geojson
    from napari_aln.contributions.shapes import SLIDE_HASH, regions_of

    state, info = _under_review(), slide_in_view()
    mpp = info.mpp if info else _stated_mpp(layers)
    regions: list[Region] = []
    for layer in layers:
        regions += state.regions if state and _is_roi(layer) else regions_of(layer, mpp)
    if state and state.hide_names:  # a region may be called after the patient, as in results
        regions = without_names(regions)
    if not regions:
        raise AnnotationError("The layers hold no area to save.", "Draw a polygon, rectangle or ellipse.")
    stated = {layer[1].get("metadata", {}).get(SLIDE_HASH, "") for layer in layers}
    slide_hash = info.quick_hash if info else stated.pop() if len(stated) == 1 else ""
    mpp_origin = info.mpp_origin if info else ""
    write_geojson(regions, path, mpp=mpp, slide_hash=slide_hash, mpp_origin=mpp_origin)


def slide_in_view() -> SlideInfo | None:
    """Return the facts of the slide under review in the window, None without one."""
    state = _under_review()
    return state.slide.info if state and state.slide else None


def _under_review() -> ReviewState | None:
    """Return what is under review in the window that saves; None without one, or without a slide."""
    from napari.viewer import current_viewer

    from napari_aln.widgets.dock import ReviewDock

    viewer = current_viewer()
    docked = viewer.window.dock_widgets.values() if viewer else ()
    states = [widget.review.state for widget in docked if isinstance(widget, ReviewDock)]
    return states[0] if states and states[0].slide else None


def _is_roi(layer: LayerData) -> bool:
    """Whether a layer is the review's own view of the tumour ROI."""
    from napari_aln.widgets.layers.held import RANK
    from napari_aln.widgets.scene import REGIONS_RANK

    return bool(layer[1].get("metadata", {}).get(RANK) == REGIONS_RANK)


def _stated_mpp(layers: Sequence[LayerData]) -> Mpp | None:
    """Return µm/px where nothing is under review: of a slide our reader opened, or as regions state it."""
    from napari.viewer import current_viewer

    from napari_aln.contributions.shapes import MPP
    from napari_aln.geometry import plausible_mpp

    viewer = current_viewer()
    for layer in viewer.layers if viewer else ():
        if SLIDE_PATH in layer.metadata and str(layer.units[-1]) == "micrometer":
            return plausible_mpp(float(layer.scale[-1]), float(layer.scale[-2]))
    stated = [layer[1].get("metadata", {}).get(MPP) for layer in layers]
    return next((mpp for mpp in stated if mpp is not None), None)
