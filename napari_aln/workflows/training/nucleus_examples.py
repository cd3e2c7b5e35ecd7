"""Pictures to train a nucleus model on that nobody had to annotate: drawn tissue, and slides of one's own.

Every nucleus of drawn tissue is known. Nuclei of a slide are labelled by a method that is there already; a
network that learns from them, among others, sees the same nuclei in other colours and sizes.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_aln.cohort.nucleus_pictures import draw_nucleus_pictures
from napari_aln.errors import UsageError
from napari_aln.nuclei.labelled_folder import LABELS_SUFFIX, TABLE_NAME
from napari_aln.nuclei.segmentation import DEFAULT_METHOD, segmenter, stated
from napari_aln.nuclei.tiling import Box
from napari_aln.patches.tissue import glass_rgb, optical_density
from napari_aln.records import RESEARCH_NOTICE, Progress
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.atomic import check_writable, storing
from napari_aln.store.result import write_made_by
from napari_aln.versions import package_versions
from napari_aln.workflows.slide.prepare import require_mpp

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.slides import Slide

SYNTHETIC, LABELLED = "synthetic", "self-labelled"
_SIDE_UM = 256.0
_MIN_NUCLEI = 20
_MOST_SQUARES = 200  # of a slide
_GLASS_OD = 0.05  # of green; paler is glass
_EVERY = 5  # square a method adapts itself to the slide by


def nucleus_examples(
    out: Path, pictures: int, seed: int, slides: Sequence[Path] = (), method: str = DEFAULT_METHOD
) -> Generator[Progress, None, int]:
    """Write pictures and labels as `nuclei train` takes them; yield progress, return how many.

    Parameters
    ----------
    out
        A new or empty folder; gets ``synthetic``, ``self-labelled``, ``images.csv``, and beside that one
        ``images.csv.json``, which says what made them.
    pictures
        How many squares of synthetic tissue, of 256 µm.
    seed
        Draws them.
    slides
        Slides whose squares with nuclei are added, labelled by `method`. Their names go nowhere.
    method
        See `nuclei.segment`.

    Raises
    ------
    UsageError
        Nothing is asked for, no such method, or the folder is not empty.
    StoreError
        The folder cannot be written.
    SlideError, MppError
        A slide cannot be read, or does not state its µm/px.
    """
    if pictures < 1 and not slides:
        raise UsageError("No pictures are asked for.", "Give --pictures, or --slide.")
    chosen = segmenter(method)
    name, model_sha256 = stated(method)
    check_writable(out)
    if any(out.iterdir()):
        raise UsageError(f"{out} is not empty.", "Name a new folder.")
    rows: list[tuple[str, str, float]] = []
    labelled: list[dict[str, Any]] = []
    yield Progress("draw tissue", 0, pictures)
    for drawn in draw_nucleus_pictures(pictures, seed):
        _write(out / SYNTHETIC, drawn.name, drawn.rgb, drawn.labels)
        rows.append((SYNTHETIC, drawn.name, drawn.mpp))
        yield Progress("draw tissue", len(rows), pictures)
    for number, path in enumerate(slides, start=1):
        with (yield from opening_untried(path)) as slide:
            mpp = require_mpp(slide.info).x
            squares = _squares(slide, mpp)
            of_slide = chosen.adapted([_read(slide, square) for square in squares[::_EVERY]])
            for done, square in enumerate(squares, start=1):
                around = _grown(square, round(of_slide.halo_um / mpp), slide.info.size_px)
                rgb = _read(slide, around)
                labels = of_slide.labels(rgb, mpp)
                part = _inside(square, around)
                if _is_tissue(rgb[part]) and len(np.unique(labels[part])) > _MIN_NUCLEI:
                    picture = f"{_of_slide(number)}{done:04}"
                    _write(out / LABELLED, picture, rgb[part], labels[part])
                    rows.append((LABELLED, picture, mpp))
                yield Progress("label slides", done, len(squares))
            labelled.append(_source(number, slide, [row[1] for row in rows]))
    settings = {"pictures": pictures, "seed": seed, "side_um": _SIDE_UM, "least_nuclei": _MIN_NUCLEI}
    made = {"settings": settings | {"method": name}, "model_sha256": model_sha256, "slides": labelled}
    made |= {"created": datetime.now(UTC).isoformat(timespec="seconds"), "versions": package_versions()}
    write_made_by(out / TABLE_NAME, made | {"notice": RESEARCH_NOTICE})
    with storing(out / TABLE_NAME), (out / TABLE_NAME).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("set", "name", "mpp"), *rows])
    return len(rows)


def _of_slide(number: int) -> str:
    """Return how the names of a slide's pictures begin."""
    return f"slide-{number}-"


def _source(number: int, slide: Slide, names: Sequence[str]) -> dict[str, Any]:
    """Return what is said of a slide that pictures are of: never its name."""
    info = slide.info
    return {
        "pictures": f"{_of_slide(number)}*",
        "n_pictures": sum(name.startswith(_of_slide(number)) for name in names),
        "slide_quick_hash": info.quick_hash,
        "mpp": info.mpp,
        "mpp_origin": info.mpp_origin,
    }


def _squares(slide: Slide, mpp: float) -> list[Box]:
    """Return whole squares of level 0, evenly over the slide."""
    side = round(_SIDE_UM / mpp)
    width, height = slide.info.size_px
    corners = [
        (left, top) for top in range(0, height - side + 1, side) for left in range(0, width - side + 1, side)
    ]
    return [Box(left, top, side, side) for left, top in corners[:: -(-len(corners) // _MOST_SQUARES) or 1]]


def _grown(square: Box, by: int, size_px: tuple[int, int]) -> Box:
    left, top = max(0, square.x - by), max(0, square.y - by)
    right, low = min(size_px[0], square.x + square.width + by), min(size_px[1], square.y + square.height + by)
    return Box(left, top, right - left, low - top)


def _inside(square: Box, around: Box) -> tuple[slice, slice]:
    top, left = square.y - around.y, square.x - around.x
    return slice(top, top + square.height), slice(left, left + square.width)


def _is_tissue(rgb: NDArray[np.uint8]) -> bool:
    """Whether tissue fills at least half of a square: at torn rims and in debris methods err most."""
    green = optical_density(rgb[..., 1], glass_rgb(rgb)[1])
    return bool((green > _GLASS_OD).mean() >= 0.5)


def _read(slide: Slide, box: Box) -> NDArray[np.uint8]:
    return slide.read_level(0, (box.x, box.y), (box.width, box.height))


def _write(folder: Path, name: str, rgb: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
    with storing(folder):
        folder.mkdir(exist_ok=True)
        Image.fromarray(rgb).save(folder / f"{name}.png")
        Image.fromarray(labels.astype(np.uint16)).save(folder / f"{name}{LABELS_SUFFIX}.png")
