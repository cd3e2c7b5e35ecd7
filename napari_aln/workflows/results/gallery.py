"""The gallery: patches of highest and lowest value of a map, and what is written of those one chooses.

An export is a folder: one PNG a patch with every level-0 pixel as it is, and ``patches.csv``. Nothing in it
names the slide's file.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_aln.cohort.writing import harmless
from napari_aln.geometry import Rect
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_folder, storing
from napari_aln.store.result import FRAME, folder_safe
from napari_aln.versions import package_versions
from napari_aln.workflows.results.top_patches import read_patches
from napari_aln.workflows.slide.maps import from_the_bottom, from_the_top

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchScores, PatchTable, Progress, RunRecord
    from napari_aln.slides import Slide

    End = Literal["highest", "lowest"]

TOP_N = 12
PATCHES_CSV = "patches.csv"
WEIGHTS = ("attention_slide", "attention_bag", "contribution", "probability", "entropy")
DIFFERENCE = "difference_"  # begins the name of a map that is the difference of two runs
INCH_UM = 25_400.0


@dataclass(frozen=True)
class RankedPatch:
    """One patch of the gallery.

    Attributes
    ----------
    end, rank
        1 is the highest, or the lowest, of the map's patches.
    l0_rect
        Where it lies, in level-0 pixels.
    value
        Of the map, in the legend's unit.
    weights
        What the run said of it: `WEIGHTS`, as in `PatchScores`; NaN where it said nothing.
    """

    end: End
    rank: int
    l0_rect: Rect
    value: float
    weights: dict[str, float]


@dataclass(frozen=True)
class Ranking:
    """What the patches of an export were chosen by, and whose they are.

    Attributes
    ----------
    map_name
        A key of `MAP_STYLES`, after `DIFFERENCE` where it is one.
    quantity, unit
        As the legend says them, scaling included.
    runs
        Records of the run whose weights are listed, then of others that the map rests on.
    state
        "as run", or "what-if": values of a run asked again with another ROI or clinical value.
    alias
        What the slide is called; never its file name.
    slide_hash
        Its quick hash.
    """

    map_name: str
    quantity: str
    unit: str
    runs: tuple[RunRecord, ...]
    state: Literal["as run", "what-if"]
    alias: str
    slide_hash: str


def ranked(
    table: PatchTable, values: NDArray[np.floating], scores: PatchScores, n: int = TOP_N
) -> tuple[tuple[RankedPatch, ...], tuple[RankedPatch, ...]]:
    """Return up to n patches of highest and n of lowest value, the most extreme first.

    Parameters
    ----------
    table
        The map's patches; all are of the run, too.
    values
        (n_patches,) of the map. Patches without a value are left out; equal ones stand in the table's order.
        Of a signed map the sign counts: the lowest are the most negative.
    scores
        Of the run whose weights are told.
    n
        How many are wanted of each; with fewer than 2 n patches some stand in both.
    """
    if table is scores.table:
        own = np.arange(len(table))
    else:
        order = np.argsort(scores.table.cell)
        own = order[np.searchsorted(scores.table.cell, table.cell, sorter=order)]
    l0_xy, step_l0 = table.l0_xy, table.grid.step_l0

    def patch(end: End, rank: int, at: int) -> RankedPatch:
        weights = {name: float(getattr(scores, name)[own[at]]) for name in WEIGHTS}
        corner = float(l0_xy[at, 0]), float(l0_xy[at, 1])
        return RankedPatch(end, rank, Rect(*corner, *step_l0), float(values[at]), weights)

    n = max(n, 0)
    highest = tuple(patch("highest", i, at) for i, at in enumerate(from_the_top(values, n), 1))
    lowest = tuple(patch("lowest", i, at) for i, at in enumerate(from_the_bottom(values, n), 1))
    return highest, lowest


def export_patches(
    slide: Slide, mpp: Mpp, patches: Sequence[RankedPatch], ranking: Ranking, out: Path
) -> Generator[Progress, None, Path]:
    """Yield for each patch, return the new folder in `out` that holds the pictures and ``patches.csv``.

    Parameters
    ----------
    slide
        Open, the one that the runs were made on.
    mpp
        Its µm/px at level 0: the pictures' too, as nothing is reduced.
    patches
        At least one.
    ranking
        What they were chosen by.
    out
        An earlier export in it stays as it is.

    Raises
    ------
    SlideError
        The slide cannot be read.
    StoreError
        Nothing can be written there.
    """
    place = _free_place(out, folder_safe(f"{ranking.alias}-{ranking.runs[0].run}-{ranking.map_name}"))
    rows = []
    with atomic_folder(place, known_by=PATCHES_CSV) as folder, storing(place):
        for patch, read in zip(patches, read_patches(slide, [p.l0_rect for p in patches]), strict=True):
            row = {"file": _file_name(patch)} | _facts(patch, mpp, slide.info.mpp_origin, ranking, read.rgb)
            _write_png(read.rgb, folder / row["file"], mpp, row)
            rows.append({name: harmless(value) for name, value in row.items()})
            yield read
        with (folder / PATCHES_CSV).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return place


def _free_place(out: Path, stem: str) -> Path:
    place, number = out / f"{stem}-patches", 1
    while place.exists():
        number += 1
        place = out / f"{stem}-patches-{number}"
    return place


def _file_name(patch: RankedPatch) -> str:
    x, y, *_ = patch.l0_rect
    return f"{patch.end}-{patch.rank:02d}-x{x:.0f}-y{y:.0f}.png"


def _facts(
    patch: RankedPatch, mpp: Mpp, mpp_origin: str, ranking: Ranking, rgb: NDArray[np.uint8]
) -> dict[str, Any]:
    """Return what is known of a patch, as a row of the table and the text in its picture."""
    x, y, width, height = patch.l0_rect
    is_attention = ranking.map_name.removeprefix(DIFFERENCE).startswith("attention")
    return {
        "slide": ranking.alias,
        "slide_quick_hash": ranking.slide_hash,
        "end": patch.end,
        "rank": patch.rank,
        "map": ranking.map_name,
        "quantity": ranking.quantity,
        "unit": ranking.unit,
        "value": _number(patch.value),
        **{name: _number(value) for name, value in patch.weights.items()},
        "x_l0_px": x,
        "y_l0_px": y,
        "width_l0_px": width,
        "height_l0_px": height,
        "x_um": x * mpp.x,
        "y_um": y * mpp.y,
        "width_um": width * mpp.x,
        "height_um": height * mpp.y,
        "picture_width_px": rgb.shape[1],
        "picture_height_px": rgb.shape[0],
        "mpp_x": mpp.x,
        "mpp_y": mpp.y,
        "mpp_origin": mpp_origin,
        "frame": FRAME,
        "state": ranking.state,
        "run": "; ".join(record.run for record in ranking.runs),
        "model": "; ".join(record.model_name for record in ranking.runs),
        "model_sha256": "; ".join(record.model_sha256 for record in ranking.runs),
        "card_sha256": "; ".join(record.card_sha256 for record in ranking.runs),
        "seed": "; ".join(str(record.seed) for record in ranking.runs),
        "bags": "; ".join(str(record.n_bags) for record in ranking.runs),
        "made_on": "; ".join(f"{r.runtime} {r.device} {r.precision}" for r in ranking.runs),
        "settings": json.dumps([record.settings for record in ranking.runs]),
        "program": "; ".join(f"{name} {number}" for name, number in package_versions().items()),
        "notice": f"{RESEARCH_NOTICE} {ATTENTION_NOTICE}" if is_attention else RESEARCH_NOTICE,
    }


def _number(value: float) -> float | str:
    return value if np.isfinite(value) else ""


def _write_png(rgb: NDArray[np.uint8], path: Path, mpp: Mpp, facts: dict[str, Any]) -> None:
    """Write every pixel as it is; µm/px in pHYs, to the nearest pixel on a metre, and exactly in the text."""
    text = PngInfo()
    for name, value in facts.items():
        text.add_itxt(name, str(value))
    text.add_itxt("Software", "napari-aln")
    dpi = (INCH_UM / mpp.x, INCH_UM / mpp.y)
    Image.fromarray(rgb).save(path, "PNG", pnginfo=text, dpi=dpi)
