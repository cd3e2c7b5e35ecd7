"""Where the nuclei of one core lie and how they are shaped: the part of a slide that carries the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from napari_aln.cohort.bodies import MPP_UM, Bodies, join, make_bodies
from napari_aln.cohort.tissue_model import CELL_PX, hexagonal_points, smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.cohort.patients import NucleusLaw
    from napari_aln.cohort.tissue_model import Core, CoreShape, Ring

    Float64 = NDArray[np.float64]


def populate(rng: np.random.Generator, core: Core, shape: CoreShape, law: NucleusLaw) -> Bodies:
    """Place every nucleus (and erythrocyte) of one core, box px."""
    parts = [
        _tumour_nuclei(rng, core, law),
        _fibroblasts(rng, core),
        _lymphocytes(rng, core, shape),
        _fat_nuclei(rng, core),
    ]
    parts += [part for ring in core.acini for part in _acinus(rng, ring)]
    parts += [part for ring in core.vessels for part in _vessel(rng, ring)]
    bodies = join(parts)
    inside = _at(core.depth_px, bodies.xy_px) > 3.0
    return bodies.take(inside)


def _at(cells: NDArray[Any], xy_px: NDArray[Any]) -> NDArray[Any]:
    """Look coarse cells up at (n, 2) pixels; positions outside take the border's value."""
    column = np.clip((xy_px[:, 0] / CELL_PX).astype(int), 0, cells.shape[1] - 1)
    row = np.clip((xy_px[:, 1] / CELL_PX).astype(int), 0, cells.shape[0] - 1)
    found: NDArray[Any] = cells[row, column]
    return found


def _slope(cells: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the slope of a map along y and along x."""
    return np.gradient(cells, axis=0), np.gradient(cells, axis=1)


def _scatter(rng: np.random.Generator, core: Core, density_per_mm2: float, jitter: float = 0.24) -> Float64:
    """Return (n, 2) px of a jittered lattice of this density over the box."""
    spacing = np.sqrt(2.0 / np.sqrt(3.0) / density_per_mm2) * 1000.0 / MPP_UM
    return hexagonal_points(rng, core.size_px, spacing, jitter)


def _without_overlap(xy: Float64, reach_px: Float64) -> NDArray[np.bool_]:
    """Keep a body unless an earlier kept-or-not neighbour is nearer than the mean of both reaches."""
    pairs = KDTree(xy).query_pairs(2.0 * float(reach_px.max()), output_type="ndarray")
    distance = np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)
    clash = pairs[distance < (reach_px[pairs[:, 0]] + reach_px[pairs[:, 1]])]
    keep = np.ones(len(xy), bool)
    keep[clash.max(axis=1, initial=-1)] = False
    return keep


def _tumour_nuclei(rng: np.random.Generator, core: Core, law: NucleusLaw) -> Bodies:
    xy = _scatter(rng, core, law.density_per_mm2 * 1.10)
    xy = xy[(_at(core.nest, xy) > 0.55) & (rng.random(len(xy)) < 0.96)]
    area_um2 = law.area_um2 * np.exp(law.area_spread * rng.standard_normal(len(xy)))
    giant = rng.random(len(xy)) < 0.01
    area_um2 = np.where(giant, area_um2 * 1.8, area_um2)
    aspect = np.maximum(1.02, law.aspect + 0.12 * rng.standard_normal(len(xy)))
    mean_radius = np.sqrt(area_um2 / np.pi) / MPP_UM
    half = np.column_stack([mean_radius * np.sqrt(aspect), mean_radius / np.sqrt(aspect)])
    flow = rng.uniform(0, np.pi) + 1.3 * smooth_noise(rng, core.nest.shape, (150, 150))
    angle = _at(flow, xy) + rng.vonmises(0.0, law.alignment, len(xy)) / 2.0
    keep = _without_overlap(xy, 0.80 * mean_radius) if len(xy) else np.zeros(0, bool)
    return make_bodies(rng, "tumour", xy[keep], half[keep], angle[keep], law.irregularity)


def _fibre_angle(core: Core, xy: Float64) -> Float64:
    """Return the direction of the collagen at (n, 2) px: along the contours of `fibre_px`."""
    rise_y, rise_x = _slope(core.fibre_px)
    angle: Float64 = np.arctan2(_at(rise_x, xy), -_at(rise_y, xy)).astype(np.float64)
    return angle


def _stroma(core: Core, xy: Float64) -> NDArray[np.bool_]:
    free = (_at(core.nest, xy) < 0.1) & (_at(core.fat, xy) < 0.1)
    for ring in (*core.acini, *core.vessels):
        free &= np.hypot(xy[:, 0] - ring.x, xy[:, 1] - ring.y) > ring.radius_px + 6
    return free


def _fibroblasts(rng: np.random.Generator, core: Core) -> Bodies:
    xy = _scatter(rng, core, 1500.0, jitter=0.5)
    busy = _at(smooth_noise(rng, core.nest.shape, (45, 30)), xy)
    reactive = _at(ndimage.gaussian_filter(core.tumour.astype(np.float32), 12), xy)
    xy = xy[_stroma(core, xy) & (rng.random(len(xy)) < 0.36 + 0.14 * busy + 0.25 * reactive)]
    half = np.column_stack([rng.uniform(7.5, 14.0, len(xy)), rng.uniform(2.0, 3.8, len(xy))])
    angle = _fibre_angle(core, xy) + rng.normal(0.0, 0.22, len(xy))
    return make_bodies(rng, "fibroblast", xy, half, angle, 0.05)


def _lymphocytes(rng: np.random.Generator, core: Core, shape: CoreShape) -> Bodies:
    xy = _scatter(rng, core, 9500.0, jitter=0.26)
    field = smooth_noise(rng, core.nest.shape, (38, 38)) + 0.4 * smooth_noise(rng, core.nest.shape, (12, 12))
    border = ndimage.gaussian_filter(core.tumour.astype(np.float32), 20)
    dense = _at(field + 1.2 * border, xy) > 2.9 - 1.5 * shape.lymphocytes
    stray = rng.random(len(xy)) < 0.012 + 0.03 * shape.lymphocytes
    in_nest = _at(core.nest, xy) > 0.1
    keep = _stroma(core, xy) & ((dense & (rng.random(len(xy)) < 0.75)) | stray)
    keep |= in_nest & (rng.random(len(xy)) < 0.004)
    xy = xy[keep]
    radius = rng.normal(6.6, 0.55, len(xy)).clip(5.2, 8.5)
    half = np.column_stack([radius * 1.05, radius * 0.95])
    return make_bodies(rng, "lymphocyte", xy, half, rng.uniform(0, np.pi, len(xy)), 0.03)


def _fat_nuclei(rng: np.random.Generator, core: Core) -> Bodies:
    """Flat nuclei of adipocytes and capillaries, pressed into the walls."""
    xy = _scatter(rng, core, 4000.0, jitter=0.4)
    xy = xy[(_at(core.fat, xy) > 0.7) & (_at(core.fat_wall_px, xy) < 4.0) & (rng.random(len(xy)) < 0.35)]
    rise_y, rise_x = _slope(core.fat_wall_px)
    angle = np.arctan2(_at(rise_x, xy), -_at(rise_y, xy))
    half = np.column_stack([rng.uniform(7.0, 11.0, len(xy)), rng.uniform(1.8, 2.8, len(xy))])
    return make_bodies(rng, "endothelial", xy, half, angle, 0.04)


def _on_ring(ring: Ring, radius_px: Float64, t: Float64) -> tuple[Float64, Float64]:
    """Return (n, 2) px and the (n,) outward direction at parameter t of concentric ellipses."""
    local = np.column_stack([radius_px * np.cos(t), radius_px * ring.squeeze * np.sin(t)])
    outward = np.column_stack([np.cos(t), np.sin(t) / ring.squeeze])
    c, s = np.cos(ring.angle_rad), np.sin(ring.angle_rad)
    turn = np.array([[c, s], [-s, c]])
    direction = outward @ turn
    return local @ turn + (ring.x, ring.y), np.arctan2(direction[:, 1], direction[:, 0])


def _acinus(rng: np.random.Generator, ring: Ring) -> list[Bodies]:
    """Two layers: regular luminal nuclei standing radially, flat myoepithelial ones outside."""
    middle = ring.radius_px - 14.0
    n = max(int(2 * np.pi * middle * (1 + ring.squeeze) / 2 / 14.5), 4)
    t = np.linspace(0, 2 * np.pi, n, endpoint=False) + rng.normal(0, 0.12 * 2 * np.pi / n, n)
    xy, outward = _on_ring(ring, middle + rng.normal(0, 1.8, n), t)
    half = np.column_stack([rng.normal(8.0, 0.6, n), rng.normal(5.8, 0.5, n)])
    luminal = make_bodies(rng, "luminal", xy, half, outward + rng.normal(0, 0.15, n), 0.025)
    m = max(int(n * 0.6), 3)
    t = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, m, endpoint=False) + rng.normal(0, 0.08, m)
    xy, outward = _on_ring(ring, np.full(m, ring.radius_px - 2.5), t)
    half = np.column_stack([rng.normal(7.5, 0.8, m), rng.normal(2.6, 0.3, m)])
    flat = make_bodies(rng, "myoepithelial", xy, half, outward + np.pi / 2, 0.03)
    return [luminal, flat]


def _vessel(rng: np.random.Generator, ring: Ring) -> list[Bodies]:
    n = max(int(ring.radius_px / 5.5), 3)
    t = np.linspace(0, 2 * np.pi, n, endpoint=False) + rng.normal(0, 0.2, n)
    xy, outward = _on_ring(ring, np.full(n, ring.lumen_px + 1.5), t)
    half = np.column_stack([rng.normal(8.0, 1.0, n), rng.normal(2.4, 0.3, n)])
    lining = make_bodies(rng, "endothelial", xy, half, outward + np.pi / 2, 0.03)
    m = rng.poisson(ring.lumen_px**2 * ring.squeeze / 70) if rng.random() < 0.8 else 0
    xy, _ = _on_ring(ring, ring.lumen_px * 0.86 * np.sqrt(rng.random(m)), rng.uniform(0, 2 * np.pi, m))
    half = np.column_stack([rng.normal(6.2, 0.5, m), rng.normal(5.4, 0.6, m)])
    blood = make_bodies(rng, "erythrocyte", xy, half, rng.uniform(0, np.pi, m), 0.03)
    return [blood, lining]
