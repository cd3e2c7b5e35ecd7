"""What lies where in one needle core: its outline and its tissues.

All in the core's box frame: pixels of 0.5 µm, x right, y down, the core running from top to bottom. Maps are
coarse (one cell is `CELL_PX` pixels a side); the renderer brings them to full resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import KDTree

from napari_aln.cohort.bodies import MPP_UM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]

CELL_PX = 4
MARGIN_PX = 160
"""Glass about a core inside its box."""


class Ring(NamedTuple):
    """An epithelial ring about a lumen (acinus, duct) or a vessel; box px."""

    x: float
    y: float
    radius_px: float
    lumen_px: float
    squeeze: float  # minor / major axis
    angle_rad: float


class CoreShape(NamedTuple):
    """Size and habit of one core, drawn without knowing the label."""

    width_um: float
    length_um: float
    tumour_share: float  # of the core's length; 0: none
    pattern: str  # "nests", "sheets" or "cords"
    fat_share: float
    lymphocytes: float  # 0..1
    lobules_per_mm2: float


@dataclass(frozen=True)
class Core:
    """One needle core. Maps have the shape (height / CELL_PX, width / CELL_PX)."""

    size_px: tuple[int, int]  # height, width of the box
    depth_px: Float32  # distance from the core's edge, positive inside
    tumour: Bool  # the region a pathologist would outline
    nest: Float32  # 0..1, carcinoma epithelium
    fat: Float32  # 0..1
    fat_wall_px: Float32  # distance to the wall between two adipocytes
    acini: tuple[Ring, ...]
    vessels: tuple[Ring, ...]
    fibre_px: Float32  # coordinate across the collagen fibres, which run along its contours


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: tuple[float, float]) -> Float32:
    """Return smooth noise of zero mean and about unit deviation; `scale`: cells (y, x) between knots."""
    knots = [max(int(np.ceil(n / s)) + 3, 4) for n, s in zip(shape, scale, strict=True)]
    coarse = Image.fromarray(rng.standard_normal(knots, dtype=np.float32))
    top, left = rng.uniform(0.0, 1.0, 2)
    box = (left, top, left + shape[1] / scale[1], top + shape[0] / scale[0])
    whole = coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box)
    noise: Float32 = np.asarray(whole, np.float32) * np.float32(1.4)
    return noise


def grow_core(rng: np.random.Generator, shape: CoreShape) -> Core:
    """Draw one core: its outline first, then tumour, nests, fat, glands, vessels and fibres."""
    depth = _outline(rng, shape)
    tumour = _tumour_region(rng, shape, depth)
    nest = _nests(rng, shape, tumour)
    fat = _fat_region(rng, shape, depth, tumour)
    fat_wall, fat = _adipocytes(rng, fat)
    nest *= 1.0 - fat
    acini = _lobules(rng, shape, depth, tumour | (fat > 0.2))
    vessels = _vessels(rng, depth, (nest > 0.2) | (fat > 0.2), acini)
    cells = depth.shape
    fibre = (
        np.arange(cells[1], dtype=np.float32) * CELL_PX
        + 130.0 * smooth_noise(rng, cells, (95, 75))
        + 20.0 * smooth_noise(rng, cells, (32, 26))
        + 7.0 * smooth_noise(rng, cells, (10, 9))
        + 110.0 * ndimage.gaussian_filter(nest, 9)
    )
    for ring in (*acini, *vessels):  # fibres run round a ring, not through it
        _bend(fibre, ring)
    return Core(
        (cells[0] * CELL_PX, cells[1] * CELL_PX),
        depth,
        tumour,
        nest,
        fat,
        fat_wall,
        acini,
        vessels,
        fibre.astype(np.float32),
    )


def _outline(rng: np.random.Generator, shape: CoreShape) -> Float32:
    length, width = shape.length_um / MPP_UM, shape.width_um / MPP_UM
    sway = rng.uniform(0.02, 0.06) * length
    height = round((length + 2 * MARGIN_PX) / CELL_PX)
    breadth = round((width + 2 * sway + 2 * MARGIN_PX) / CELL_PX)
    cells = (height, breadth)
    y = np.arange(height, dtype=np.float32)[:, None] * CELL_PX
    x = np.arange(breadth, dtype=np.float32)[None, :] * CELL_PX
    along = (y - MARGIN_PX) / length
    centre = breadth * CELL_PX / 2 + sway * np.sin(
        2 * np.pi * (rng.uniform(0.3, 0.7) * along + rng.uniform())
    )
    half = width / 2 * (1 + 0.05 * smooth_noise(rng, (height, 1), (130, 1)))
    half = half * (1 - 0.25 * np.clip(np.abs(along - 0.5) * 2 - 0.85, 0, 1) / 0.15)
    ends = np.minimum(y - MARGIN_PX, MARGIN_PX + length - y)
    ends = (
        ends + 50 * smooth_noise(rng, (1, breadth), (1, 40)) + 14 * smooth_noise(rng, (1, breadth), (1, 11))
    )
    across = half - np.abs(x - centre)
    round_off = width * 0.35  # ends of a core are blunt, not square
    depth = np.where(
        (across < round_off) & (ends < round_off),
        round_off - np.hypot(round_off - across, round_off - ends),
        np.minimum(across, ends),
    )
    ragged = 9 * smooth_noise(rng, cells, (12, 12)) + 5 * smooth_noise(rng, cells, (3, 3))
    depth = depth - 12 + ragged
    for _ in range(rng.poisson(shape.length_um / 1500)):  # cracks and tears
        depth = _tear(rng, depth)
    outline: Float32 = depth.astype(np.float32)
    return outline


def _tear(rng: np.random.Generator, depth: Float32) -> Float32:
    cells = depth.shape
    y0, slope = rng.uniform(0.1, 0.9) * cells[0], rng.uniform(-0.7, 0.7)
    x = np.arange(cells[1], dtype=np.float32)
    path = y0 + slope * (x - cells[1] / 2) + 9 * smooth_noise(rng, (1, cells[1]), (1, 25))[0]
    width_px = np.maximum(0.0, 14 + 22 * smooth_noise(rng, (1, cells[1]), (1, 30))[0])
    away = np.abs(np.arange(cells[0], dtype=np.float32)[:, None] - path) * CELL_PX - width_px
    torn: Float32 = np.minimum(depth, away).astype(np.float32)
    return torn


def _tumour_region(rng: np.random.Generator, shape: CoreShape, depth: Float32) -> Bool:
    if shape.tumour_share <= 0.0:
        return np.zeros(depth.shape, bool)
    height = depth.shape[0]
    half = shape.tumour_share * height / 2
    middle = rng.uniform(min(half, height / 2), max(height - half, height / 2))
    inside = (half - np.abs(np.arange(height) - middle))[:, None] + 22 * smooth_noise(
        rng, depth.shape, (75, 75)
    )
    region = (inside + 6 * smooth_noise(rng, depth.shape, (20, 20)) > 0) & (depth > 0)
    labels, n = ndimage.label(region)
    if n:
        sizes = np.bincount(labels.ravel())[1:]
        region = np.isin(labels, 1 + np.flatnonzero(sizes > 2500))
    filled: Bool = ndimage.binary_fill_holes(region)
    return filled & (depth > 0)


def _nests(rng: np.random.Generator, shape: CoreShape, tumour: Bool) -> Float32:
    cells = tumour.shape
    if shape.pattern == "sheets":
        field = smooth_noise(rng, cells, (32, 32)) + 0.5 * smooth_noise(rng, cells, (11, 11)) + 1.0
    elif shape.pattern == "nests":
        field = smooth_noise(rng, cells, (17, 17)) + 0.35 * smooth_noise(rng, cells, (6, 6)) + 0.35
    else:
        long_y, long_x = (15, 34) if rng.random() < 0.5 else (34, 15)
        field = smooth_noise(rng, cells, (long_y, long_x)) + 0.3 * smooth_noise(rng, cells, (7, 7)) + 0.35
    near_edge = ndimage.gaussian_filter(tumour.astype(np.float32), 5)
    field = np.where(tumour, field - 1.5 * (1 - near_edge), -1.0)
    nest = np.clip(0.5 + field / 0.25, 0, 1)  # a crisp border, a few cells wide
    return nest.astype(np.float32)


def _fat_region(rng: np.random.Generator, shape: CoreShape, depth: Float32, tumour: Bool) -> Float32:
    free = depth > 0
    if shape.fat_share <= 0.02 or not free.any():
        return np.zeros(depth.shape, np.float32)
    field = smooth_noise(rng, depth.shape, (110, 90)) + 0.4 * smooth_noise(rng, depth.shape, (30, 30))
    field = field - 2.2 * ndimage.gaussian_filter(tumour.astype(np.float32), 6)
    level = np.quantile(field[free], 1.0 - shape.fat_share)
    fat: Float32 = np.clip(0.5 + (field - level) / 0.15, 0, 1).astype(np.float32)
    return fat


def _adipocytes(rng: np.random.Generator, fat: Float32) -> tuple[Float32, Float32]:
    """Return the distance to the wall between two adipocytes, and the fat map snapped to whole cells."""
    wall = np.zeros(fat.shape, np.float32)
    rows, columns = np.nonzero(fat > 0.02)
    if not len(rows):
        return wall, fat
    centres = hexagonal_points(rng, fat.shape, spacing=27.0, jitter=0.22)
    centres = np.vstack([centres, [[-500.0, -500.0], [-700.0, -700.0]]])
    curl = [1.6 * smooth_noise(rng, fat.shape, (9, 9))[rows, columns] for _ in range(2)]
    near, which = KDTree(centres).query(np.column_stack([columns + curl[0], rows + curl[1]]), k=2)
    # Half the difference of the distances is the distance to the bisector, near the line between the centres.
    wall[rows, columns] = (near[:, 1] - near[:, 0]) / 2 * CELL_PX
    at = np.clip(centres[:-2].round().astype(int), 0, np.array(fat.shape)[::-1] - 1)
    is_fat_cell = np.append(fat[at[:, 1], at[:, 0]] > 0.5, [False, False])
    snapped = np.zeros(fat.shape, np.float32)
    snapped[rows, columns] = is_fat_cell[which[:, 0]]
    return wall, ndimage.gaussian_filter(snapped, 0.7)


def hexagonal_points(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: float, jitter: float
) -> NDArray[np.float64]:
    """Return (n, 2) points (x, y) of a jittered hexagonal lattice over (height, width)."""
    rise = spacing * np.sqrt(3) / 2
    y, x = np.mgrid[0 : shape[0] + rise : rise, 0 : shape[1] + spacing : spacing]
    x = x + np.where(np.arange(len(y)) % 2, spacing / 2, 0.0)[:, None]
    points = np.column_stack([x.ravel(), y.ravel()])
    return points + rng.normal(0.0, jitter * spacing, points.shape)


def _lobules(rng: np.random.Generator, shape: CoreShape, depth: Float32, taken: Bool) -> tuple[Ring, ...]:
    """Terminal duct-lobular units: a duct and a dozen acini about it, in benign stroma."""
    room = ndimage.distance_transform_edt((depth > 60) & ~taken) * CELL_PX
    area_mm2 = float((room > 0).sum()) * (CELL_PX * MPP_UM / 1000) ** 2
    rings: list[Ring] = []
    for _ in range(rng.poisson(area_mm2 * shape.lobules_per_mm2)):
        candidates = np.argwhere(room > 110)
        if not len(candidates):
            break
        cy, cx = candidates[rng.integers(len(candidates))] * CELL_PX
        spread = rng.uniform(90, 190)
        for k in range(rng.integers(6, 15)):
            radius = rng.uniform(32, 55) if k else rng.uniform(55, 90)
            x, y = (cx, cy) + (rng.normal(0, spread, 2) if k else np.zeros(2))
            row, column = int(y / CELL_PX), int(x / CELL_PX)
            if not (0 <= row < room.shape[0] and 0 <= column < room.shape[1]):
                continue
            if room[row, column] < radius + 12:
                continue
            if any(np.hypot(r.x - x, r.y - y) < r.radius_px + radius + 8 for r in rings):
                continue
            lumen = radius - 26 if radius > 45 else radius * rng.uniform(0.15, 0.35)
            rings.append(Ring(x, y, radius, lumen, rng.uniform(0.72, 1.0), rng.uniform(0, np.pi)))
    return tuple(rings)


def _vessels(
    rng: np.random.Generator, depth: Float32, taken: Bool, acini: tuple[Ring, ...]
) -> tuple[Ring, ...]:
    room = ndimage.distance_transform_edt((depth > 20) & ~taken) * CELL_PX
    candidates = np.argwhere(room > 35)
    rings: list[Ring] = []
    for _ in range(rng.poisson(len(candidates) / 9000)):
        y, x = candidates[rng.integers(len(candidates))] * float(CELL_PX)
        radius = min(rng.uniform(16, 45), room[int(y) // CELL_PX, int(x) // CELL_PX] - 10)
        if any(np.hypot(r.x - x, r.y - y) < r.radius_px + radius + 10 for r in (*acini, *rings)):
            continue
        rings.append(
            Ring(x, y, radius, radius - rng.uniform(4, 9), rng.uniform(0.5, 1.0), rng.uniform(0, np.pi))
        )
    return tuple(rings)


def _bend(fibre: NDArray[np.float64], ring: Ring) -> None:
    reach = 2.0 * ring.radius_px
    y0, x0 = (max(int((c - reach) / CELL_PX), 0) for c in (ring.y, ring.x))
    y1, x1 = (int((c + reach) / CELL_PX) + 1 for c in (ring.y, ring.x))
    part = fibre[y0:y1, x0:x1]
    y, x = np.mgrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] * float(CELL_PX)
    distance = np.hypot(x - ring.x, y - ring.y)
    part += 1.6 * ring.radius_px * np.exp(-((distance / ring.radius_px) ** 2))
