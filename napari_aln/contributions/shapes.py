"""Regions as the data of a Shapes layer, and back: one shape a ring; its features say what is a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
from shapely.affinity import affine_transform
from shapely.geometry import MultiPolygon, Point, Polygon

from napari_aln.annotations.mend import mended
from napari_aln.errors import AnnotationError
from napari_aln.records import Region
from napari_aln.widgets.layers.guard import PIXELS
from napari_aln.widgets.layers.placement import MICROMETRE, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_aln.geometry import Mpp

    LayerData = tuple[Any, dict[str, Any], str]
    Placing = Callable[[NDArray[np.float64]], NDArray[np.float64]]

MPP, SLIDE_HASH = "napari_aln_mpp", "napari_aln_slide_hash"
"""Keys in a layer's metadata: µm/px and quick hash of the slide that its regions were drawn on."""

OUTLINE, HOLE = "outline", "hole"
YELLOW = "#ffd400"
_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units")
_QUARTER_SEGMENTS = 32
_NEW = {"role": OUTLINE, "region": 0, "name": "", "classification": "", "color": ""}


def layer_of(regions: Sequence[Region], mpp: Mpp | None, slide_hash: str) -> LayerData:
    """Return a Shapes layer whose data are level-0 pixels; it lies in µm where µm/px is known."""
    rings, rows = [], []
    for number, region in enumerate(regions, start=1):
        color = f"#{bytes(region.color_rgb).hex()}" if region.color_rgb else ""
        for part in shapely.get_parts(region.geometry):
            for ring, role in ((part.exterior, OUTLINE), *((hole, HOLE) for hole in part.interiors)):
                rings.append(shapely.get_coordinates(ring)[:-1, ::-1])
                rows.append((role, number, region.name, region.classification, color))
    features = pd.DataFrame(rows, columns=list(_NEW))
    look = {
        "name": "regions",
        "shape_type": "polygon",
        "face_color": "transparent",
        "edge_color": [row[-1] or YELLOW for row in rows],
        "features": features,
        "feature_defaults": _NEW,
        "metadata": {MPP: mpp, SLIDE_HASH: slide_hash},
    }
    return rings, look | Frame(mpp).of_l0_yx(), "shapes"


def regions_of(layer: LayerData, mpp: Mpp | None) -> list[Region]:
    """Return the areas of a Shapes layer as regions in level-0 pixels; lines and paths have none.

    Parameters
    ----------
    layer
        As napari hands it to writers. Its features may say role (``hole``: cut out of the others of the same
        ``region``), region, name, classification and colour.
    mpp
        µm/px of the slide that the layer lies on; None: unknown.

    Raises
    ------
    AnnotationError
        The layer lies in a unit of length, and the slide's µm/px is not known.
    """
    data, about, _ = layer
    kinds = about.get("shape_type", "polygon")
    kinds = [kinds] * len(data) if isinstance(kinds, str) else kinds
    to_l0_xy = _placing(about, np.shape(data[0])[1], mpp) if len(data) else None
    areas = [_area(vertices, str(kind), to_l0_xy) for vertices, kind in zip(data, kinds, strict=True)]
    rows = _rows(about.get("features"), len(areas))
    groups: dict[object, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row["region"] or f"shape {index}", []).append(index)
    regions = [_region([(areas[i], rows[i]) for i in indices]) for indices in groups.values()]
    return [region for region in regions if region is not None]


def _rows(features: pd.DataFrame | None, count: int) -> list[dict[str, Any]]:
    """Return what the features say of each shape, in the words of ours; other columns are passed over."""
    columns: dict[str, list[Any]] = {name: [unsaid] * count for name, unsaid in _NEW.items()}
    for name, column in () if features is None else features.items():
        word = str(name).lower()
        if word == "region":
            columns[word] = pd.to_numeric(column, errors="coerce").fillna(0).tolist()
        elif word in columns:
            columns[word] = column.fillna("").astype(str).tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _region(shapes: list[tuple[Polygon | None, dict[str, Any]]]) -> Region | None:
    """Join the shapes of one region: its holes are cut out of all but what lies inside them."""
    outlines = [(area, row) for area, row in shapes if area is not None and row["role"] != HOLE]
    holes = [mended(area) for area, row in shapes if area is not None and row["role"] == HOLE]
    if not outlines:
        return None
    parts = []
    for area, _ in outlines:
        around = [hole for hole in holes if not hole.covers(area)]
        parts.append(shapely.difference(mended(area), shapely.union_all(around)) if around else area)
    polygons = [p for part in parts for p in shapely.get_parts(part) if isinstance(p, Polygon)]
    row = outlines[0][1]
    outline = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
    return Region(outline, row["name"], row["classification"], _color(row["color"]))


def _area(vertices: ArrayLike, kind: str, to_l0_xy: Placing | None) -> Polygon | None:
    """Return a shape as an area in level-0 pixels (x, y); None where it has none."""
    vertices = np.asarray(vertices, np.float64)
    if to_l0_xy is None or kind not in ("polygon", "rectangle", "ellipse") or len(vertices) < 3:
        return None
    l0_xy = to_l0_xy(vertices)
    if kind != "ellipse":
        return Polygon(l0_xy)
    centre = l0_xy.mean(axis=0)  # of the parallelogram that napari draws it into
    (a, d), (b, e) = (l0_xy[1] - l0_xy[0]) / 2, (l0_xy[3] - l0_xy[0]) / 2
    circle = Point(0, 0).buffer(1.0, quad_segs=_QUARTER_SEGMENTS)
    ellipse: Polygon = affine_transform(circle, [a, b, d, e, *centre])
    return ellipse


def _placing(about: dict[str, Any], ndim: int, mpp: Mpp | None) -> Placing:
    """Return what converts (k, ndim) vertices in a layer's own coordinates to level-0 pixels (x, y)."""
    from napari.layers import Points

    place = {name: about[name] for name in _PLACE if about.get(name) is not None}
    empty = Points(ndim=ndim, **place)  # knows napari's order of scale, rotation, shear and affine
    start = np.asarray(empty.data_to_world(np.zeros(ndim)))
    axes = np.array([empty.data_to_world(axis) for axis in np.eye(ndim)]) - start
    units = empty.units[-2:]
    if all(str(unit) in PIXELS for unit in units):
        return lambda vertices: (vertices @ axes + start)[:, :-3:-1]
    if mpp is None:
        raise AnnotationError(
            f"The layer {about.get('name', '')!r} lies in {units[-1]}, and no open slide says how many "
            "pixels that is.",
            "Open the slide that it was drawn on.",
        )
    um = np.array([(1 * unit).to(MICROMETRE).magnitude for unit in units])
    return lambda vertices: Frame(mpp).l0_xy((vertices @ axes + start)[:, -2:] * um)


def _color(text: str) -> tuple[int, int, int] | None:
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue
