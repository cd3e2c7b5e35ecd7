"""What a window shows of a slide's nuclei: names and colours of features, files opened and written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from shapely.geometry import shape

from napari_aln.annotations.statement import MEMBER, Statement
from napari_aln.errors import StoreError
from napari_aln.geometry import Rect
from napari_aln.nuclei.detections import read_outlines, write_detections
from napari_aln.nuclei.located import LocatedNuclei
from napari_aln.nuclei.measured_area import MeasuredArea
from napari_aln.nuclei.rasters import density_raster, mean_raster
from napari_aln.nuclei.segmentation import BREAST_F1, DEFAULT_METHOD, METHODS
from napari_aln.nuclei.table import L0_XY, NUCLEI_PARQUET, read_nuclei, write_nuclei, write_nuclei_csv
from napari_aln.records import Progress
from napari_aln.store.atomic import atomic_file, storing
from napari_aln.store.nuclei import NUCLEI_GEOJSON, read_statement
from napari_aln.store.result import NUCLEI_JSON, made_by, write_made_by
from napari_aln.workflows.slide.maps import MapStyle
from napari_aln.workflows.slide.prepare import require_mpp

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.nuclei.outline_column import StoredOutlines
    from napari_aln.nuclei.outlines import Outlines, OutlineSource
    from napari_aln.nuclei.rasters import Raster
    from napari_aln.records import PatchScores, SlideInfo, SlideResult
    from napari_aln.workflows.nuclei.by_attention import NucleiContrast
    from napari_aln.workflows.slide.prepare import Overview

DENSITY = "density"
ORIENTATION = "orientation_rad"
SHARE_BEYOND = 0.02  # of the nuclei, at either end of the colour scale
SHARE_OFF = 0.001  # of the nuclei, beyond either end of a range that is offered
MPP_SLACK = 1e-3
MOST_FROM_GEOJSON = 50_000  # nuclei, in about a second and a half
LEAST_INSIDE = 0.9  # of the centroids, that lie inside their outlines; those of curved nuclei may not
SUFFIXES = (".parquet", ".csv", ".geojson")

NUCLEUS_STYLES = {
    DENSITY: MapStyle("density of nuclei", "per mm²", "viridis"),
    "area_um2": MapStyle("area", "µm²", "viridis"),
    "circumference_um": MapStyle("circumference", "µm", "viridis"),
    "major_axis_um": MapStyle("major axis", "µm", "viridis"),
    "minor_axis_um": MapStyle("minor axis", "µm", "viridis"),
    ORIENTATION: MapStyle("orientation", "rad", "twilight", limits=(-np.pi / 2, np.pi / 2)),
    "circularity": MapStyle("circularity", "1: disc", "viridis"),
    "rectangularity": MapStyle("rectangularity", "1: rectangle", "viridis"),
    "solidity": MapStyle("solidity", "1: convex", "viridis"),
    "eccentricity": MapStyle("eccentricity", "0: disc", "viridis"),
    "haematoxylin_mean": MapStyle("haematoxylin", "optical density", "viridis"),
    "haematoxylin_texture": MapStyle("haematoxylin texture", "SD of optical density", "viridis"),
    "nearest_um": MapStyle("nearest neighbour", "µm", "viridis"),
    "second_nearest_um": MapStyle("second nearest", "µm", "viridis"),
    "third_nearest_um": MapStyle("third nearest", "µm", "viridis"),
}
"""What nuclei are coloured by: `DENSITY`, then their features."""

FEATURE_NAMES = tuple(name for name in NUCLEUS_STYLES if name != DENSITY)


class NucleusMethod(NamedTuple):
    """A way to find nuclei that can be chosen."""

    method: str  # as of `NucleiSettings`: a name, or the path of a model
    title: str
    about: str  # sentences


_ABOUT = {
    "classical": "By stain and shape, without a network.",
    "learned": "The small network that comes with the program; slower.",
}


def shipped_methods() -> tuple[NucleusMethod, ...]:
    """Return the methods that come with the program, and what speaks for each."""
    found = []
    for name in METHODS:
        is_default = name == DEFAULT_METHOD
        about = f"{_ABOUT[name]} F1 on annotated breast: {BREAST_F1[name]:.3f}."
        about += " The default, as none that ships has a higher one." if is_default else ""
        found.append(NucleusMethod(name, name.capitalize() + " (default)" * is_default, about))
    return tuple(found)


def open_method(path: Path) -> Generator[Progress, None, NucleusMethod]:
    """Yield once, return the method of a nucleus model's file.

    Raises
    ------
    BundleError
        It is no nucleus model, or damaged.
    """
    from napari_aln.nuclei.bundle import open_nucleus_bundle

    yield Progress("open nucleus model", 0, 1)
    bundle = open_nucleus_bundle(path)
    bundle.network()  # checks that the weights are those of its layers
    card = bundle.card
    about = f"{card.name}. Learned at {card.mpp:g} µm/px."
    about += "".join(f" F1 on {figure.source.name}: {figure.f1:.3f}." for figure in card.metrics)
    return NucleusMethod(str(path), path.name, about)


@dataclass(frozen=True)
class SlideNuclei:
    """The nuclei that are shown of a slide.

    Attributes
    ----------
    nuclei
        By place.
    source
        How they came: what was measured and by which method, or that a file was opened.
    warnings
        What makes the measures doubtful: name, colon, sentence.
    outline
        Of what was measured, in level-0 pixels; None: all tissue, or nobody knows.
    measured
        The tissue in it, to which densities refer; None: not known, then whole squares are taken.
    complete
        Whether all of it was; else the work goes on, or was cancelled.
    found_by
        What made them, as plain values; empty where nobody knows.
    """

    nuclei: LocatedNuclei
    source: str
    warnings: tuple[str, ...] = ()
    outline: BaseGeometry | None = None
    measured: MeasuredArea | None = None
    complete: bool = True
    found_by: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def extents(self) -> dict[str, tuple[float, float]]:
        """See `feature_extents`."""
        return feature_extents(self.nuclei.table)


def feature_limits(table: pd.DataFrame, name: str) -> tuple[float, float]:
    """Return a feature's values at both ends of its colours; `SHARE_BEYOND` of the nuclei lie beyond each."""
    style = NUCLEUS_STYLES[name]
    if style.limits:
        return style.limits
    values = table[name].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(values, (SHARE_BEYOND, 1 - SHARE_BEYOND)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def feature_extents(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return each measure's range, without the thousandth at either end: where ranges are chosen."""
    found = {}
    for name in FEATURE_NAMES:
        values = table[name].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        if len(values):
            low, high = (float(v) for v in np.quantile(values, (SHARE_OFF, 1 - SHARE_OFF)))
            if high > low:
                found[name] = low, high
    return found


def value_text(name: str, value: float) -> str:
    """Return a measure with its unit, "unknown" where it is not known."""
    if not np.isfinite(value):
        return "unknown"
    unit = NUCLEUS_STYLES[name].unit
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return number.replace("-", "\N{MINUS SIGN}") + ("" if ":" in unit else f" {unit}")


def nuclei_raster(
    nuclei: LocatedNuclei,
    kept: NDArray[np.bool_] | None,
    name: str,
    size_l0: tuple[int, int],
    side_um: float,
    measured: MeasuredArea | None = None,
) -> Raster:
    """Return density or a feature's means in squares of `side_um`.

    `kept`: (n,) which nuclei count; None: all. `measured`: as of `density_raster`.
    """
    l0_xy = nuclei.l0_xy if kept is None else nuclei.l0_xy[kept]
    if name == DENSITY:
        return density_raster(l0_xy, size_l0, nuclei.mpp, side_um, measured)
    values = nuclei.table[name].to_numpy(np.float64)
    values = values if kept is None else values[kept]
    return mean_raster(l0_xy, values, size_l0, nuclei.mpp, side_um, axial=name == ORIENTATION)


def density_limits(raster: Raster) -> tuple[float, float]:
    """Return the densities at both ends of its colours; a hundredth of the squares lies beyond."""
    known = raster.picture[np.isfinite(raster.picture)]
    return 0.0, float(np.quantile(known, 1 - SHARE_BEYOND / 2)) if len(known) else 1.0


def open_nuclei(
    info: SlideInfo, path: Path, seen: Overview | None = None
) -> Generator[Progress, None, SlideNuclei]:
    """Yield once, return the nuclei in a file of the slide that is open; `seen`: its overview, if at hand.

    Raises
    ------
    StoreError
        The file cannot be read, is of another slide, or counts on another µm/px.
    MppError
        The slide's µm/px is not known.
    """
    yield Progress("open nuclei", 0, 1)
    mpp = require_mpp(info)
    read = read_nuclei(path)
    if read.slide_hash != info.quick_hash:
        raise StoreError(
            f"{path} holds nuclei of another slide than the one that is open.",
            "Open that slide first, or measure this slide's nuclei.",
        )
    if not np.allclose(read.mpp, mpp, rtol=MPP_SLACK):
        raise StoreError(
            f"{path} was measured at {read.mpp.mean:.4g} µm/px; the slide now has {mpp.mean:.4g} µm/px.",
            "Measure the slide's nuclei again.",
        )
    outlines: OutlineSource | None = read.outlines
    if outlines is None:  # written without, as by earlier versions
        outlines = _outlines_beside(path, info, read.table)
    nuclei = LocatedNuclei(read.table, mpp, outlines)
    nuclei.count_near(Rect(0, 0, 1, 1))  # builds the index here, beside the window
    outline: BaseGeometry | None = None
    warnings: tuple[str, ...] = ()
    found_by: dict[str, Any] = {}
    measured = None
    if (path.parent / NUCLEI_JSON).is_file():
        stated = read_statement(path.parent)
        outline = None if stated.outline is None else shape(stated.outline)
        warnings, found_by = stated.warnings, stated.found_by
        if seen is not None:
            measured = MeasuredArea.of(seen.mask.tissue, seen.downsample, outline)
    about = f"From {NUCLEI_PARQUET}"
    if outlines is None:
        about += "; drawn as ellipses, as it holds no outlines that can be read by place"
    found = SlideNuclei(nuclei, about, warnings, outline, measured, found_by=found_by)
    _ = found.extents  # worked out here, too
    return found


def _outlines_beside(path: Path, info: SlideInfo, table: pd.DataFrame) -> Outlines | None:
    """Return the outlines of these nuclei where GeoJSON beside their file holds them; None for too many."""
    if not 0 < len(table) <= MOST_FROM_GEOJSON:
        return None
    read = read_outlines(path.parent / NUCLEI_GEOJSON)
    if read is None or not np.array_equal(read[0].label, table["label"].to_numpy()):
        return None
    outlines, members = read
    stated = Statement.of_json(members)
    if stated.origin is None or stated.slide_hash != info.quick_hash:
        return None
    inside = shapely.contains_xy(outlines.geometry, *(table[list(L0_XY)].to_numpy() - stated.origin_l0_xy).T)
    if inside.mean() < LEAST_INSIDE:  # of another measurement, whose nuclei have the same numbers
        return None
    return outlines.placed(stated.origin_l0_xy)


def read_outlines_of(
    stored: StoredOutlines, groups: Sequence[int]
) -> Generator[Progress, None, dict[int, NDArray[np.object_]]]:
    """Yield after each row group, return their outlines; see `StoredOutlines.read` for what it raises."""
    found = {}
    for group, geometry in stored.read(groups):
        found[group] = geometry
        yield Progress("read outlines", len(found), len(groups))
    return found


def contrast_by_attention(
    shown: SlideNuclei, scores: PatchScores, run: str, result: SlideResult | None = None
) -> Generator[Progress, None, NucleiContrast]:
    """Yield once, return the nuclei of patches of highest against lowest attention; see `contrast`.

    Parameters
    ----------
    shown
        Only patches that were measured take part.
    scores
        Of the run, by whose attention over the slide patches are ranked; where there is none, within bags.
    run
        What it is called.
    result
        That holds the run, to say what made it.
    """
    from napari_aln.workflows.nuclei.by_attention import contrast, measured_share

    yield Progress("compare nuclei", 0, 1)
    name = "attention_slide" if np.isfinite(scores.attention_slide).any() else "attention_bag"
    attention = np.asarray(getattr(scores, name), np.float64)
    share = measured_share(scores.table, shown.outline)
    nuclei = shown.nuclei
    found = contrast(nuclei.table, nuclei.mpp, scores.table, attention, share=share, run=run, map_name=name)
    made = {} if result is None else made_by(result.slide, [one for one in result.runs if one.run == run])
    return replace(found, made_by={"run": made, "nuclei": dict(shown.found_by)})


def save_contrast(found: NucleiContrast, folder: Path, alias: str) -> Generator[Progress, None, Path]:
    """Yield once, return the folder that table and plots were written to; see `write_contrast`."""
    from napari_aln.workflows.nuclei.by_attention import write_contrast

    yield Progress("write", 0, 1)
    folder = folder / f"{alias}-{found.run}-contrast"
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_contrast(found, folder, alias)
    return folder


def save_nuclei(info: SlideInfo, shown: SlideNuclei, path: Path) -> Generator[Progress, None, Path]:
    """Yield once, return the file that nuclei were written to: Parquet, CSV or GeoJSON, by its suffix.

    A file of its name and ``.json`` beside it says what made them.

    Raises
    ------
    StoreError
        GeoJSON without outlines, or the file cannot be written.
    """
    yield Progress("write nuclei", 0, 1)
    suffix, nuclei = path.suffix.lower(), shown.nuclei
    if suffix == ".geojson" and nuclei.outlines is None:
        raise StoreError(
            "These nuclei have no outlines: they come from a table.",
            "Measure them again to write GeoJSON, or write CSV.",
        )
    with atomic_file(path) as new:
        if suffix == ".geojson" and nuclei.outlines is not None:
            bounds = info.bounds.x, info.bounds.y
            statement = Statement.to_write("level0", bounds, info.mpp, info.quick_hash)
            write_detections(nuclei.table, nuclei.outlines, new, members={MEMBER: statement.as_json()})
        elif suffix == ".csv":
            write_nuclei_csv(nuclei.table, new)
        else:
            write_nuclei(
                nuclei.table,
                new,
                mpp=nuclei.mpp,
                slide_hash=info.quick_hash,
                outlines=nuclei.outlines,
            )
    found = {"n_nuclei": len(nuclei), "complete": shown.complete} | dict(shown.found_by)
    write_made_by(path, made_by(info, ()) | {"nuclei": found})
    return path
