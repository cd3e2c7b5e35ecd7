"""Readers for napari's own opening of files: slides as multiscale layers in µm, annotations as shapes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_aln.widgets.dropped import SLIDE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    LayerData = tuple[Any, dict[str, Any], str]
    Reader = Callable[[str | Sequence[str]], list[LayerData]]

PATIENCE_S = (
    600.0  # without the dock nobody redraws a picture that was drawn too early: wait until it is whole
)


def get_slide_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for a slide file or a folder of DICOM files, or None where it is none.

    A plain TIFF counts as a slide only when it is tiled or has several levels; JPEG and PNG stay napari's.
    """
    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    file = Path(path)
    if file.is_dir():
        return read_slide if any(file.glob("*.dcm")) else None
    if file.suffix.lower() in (".tif", ".tiff") and not _is_slide_tiff(file):
        return None
    return read_slide


def read_slide(path: str | Sequence[str]) -> list[LayerData]:
    """Open a slide as one lazy multiscale layer; in micrometres where its µm/px is known.

    Raises
    ------
    SlideError
        It cannot be read.
    """
    from napari_aln.slides.first_open import open_untried, warm_up

    warm_up()  # it starts while the rest is loaded and built
    from napari_aln.slides.pyramid import Pyramid
    from napari_aln.widgets.first_picture import build_first_picture
    from napari_aln.widgets.layers.placement import Frame

    build_first_picture()
    slide = open_untried(Path(path if isinstance(path, str) else path[0]))
    pyramid = Pyramid(slide, patience_s=PATIENCE_S)
    look = Frame(slide.info.mpp).of_picture((1.0, 1.0))
    about = {"name": "slide", "rgb": True, "multiscale": True, "metadata": {SLIDE_PATH: str(slide.info.path)}}
    return [(list(pyramid.levels), look | about, "image")]


def get_regions_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for annotations."""
    return read_regions_file if isinstance(path, str) or len(path) == 1 else None


def read_regions_file(path: str | Sequence[str]) -> list[LayerData]:
    """Open annotations as shapes in level-0 pixels; in micrometres where the file or an open slide says them.

    Raises
    ------
    AnnotationError
        The file holds no regions that can be read.
    """
    from napari_aln.annotations import read_annotations
    from napari_aln.contributions.shapes import layer_of
    from napari_aln.contributions.writers import slide_in_view

    info = slide_in_view()
    bounds_xy = (info.bounds.x, info.bounds.y) if info else (0.0, 0.0)
    file = Path(path if isinstance(path, str) else path[0])
    read = read_annotations(file, bounds_xy=bounds_xy, scanner=info.scanner if info else None)
    stated = read.statement
    return [layer_of(read.regions, info.mpp if info else stated.mpp, stated.slide_hash)]


def _is_slide_tiff(path: Path) -> bool:
    """Whether a TIFF is tiled or has several levels; what cannot be read is left to other readers."""
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as tiff:
            return tiff.pages.first.is_tiled or len(tiff.series[0].levels) > 1
    except (OSError, TiffFileError, ValueError, IndexError):
        return False
