"""From tissue and nuclei to colours: two stain densities, Beer-Lambert, glass and camera.

Haematoxylin and eosin are summed as optical densities and become light through
``I = I_glass * exp(-(h * H + e * E))``, H and E the stains' absorption in red, green and blue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import KDTree

from napari_aln.cohort.bodies import KINDS
from napari_aln.cohort.tissue_model import CELL_PX, smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.cohort.bodies import Bodies
    from napari_aln.cohort.tissue_model import Core, Ring

    Float32 = NDArray[np.float32]

_H_RGB = (0.64, 0.73, 0.34)
_E_RGB = (0.10, 0.83, 0.50)
_ERYTHROCYTE_E = 0.95
_TEXTURE_SIDE = 1024
_BATCH = 512
_STRIP_PX = 256


class Look(NamedTuple):
    """Stain and scanner of one slide, drawn without knowing the label."""

    h_rgb: Float32  # (3,) absorption of haematoxylin
    e_rgb: Float32  # (3,)
    glass_rgb: Float32  # (3,) 0..255
    blur_px: float
    noise: float  # grey levels
    fibre_contrast: float


class _Ink(NamedTuple):
    """How a kind of nucleus takes the stain."""

    body: float
    rim: float
    speckle: float
    spread: float  # relative variation from nucleus to nucleus
    nucleoli: float  # mean number
    eosin: float


_INK = {
    "tumour": _Ink(0.72, 0.34, 0.30, 0.16, 0.9, 0.16),
    "fibroblast": _Ink(1.05, 0.10, 0.12, 0.18, 0.0, 0.22),
    "lymphocyte": _Ink(1.45, 0.10, 0.28, 0.10, 0.0, 0.15),
    "luminal": _Ink(0.98, 0.24, 0.20, 0.10, 0.2, 0.16),
    "myoepithelial": _Ink(1.15, 0.05, 0.10, 0.12, 0.0, 0.20),
    "endothelial": _Ink(1.15, 0.05, 0.10, 0.14, 0.0, 0.20),
    "erythrocyte": _Ink(0.0, 0.0, 0.0, 0.0, 0.0, _ERYTHROCYTE_E),
}


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the stain and scanner of a slide."""
    h = np.array(_H_RGB) * (1 + 0.05 * rng.standard_normal(3)) * np.exp(0.13 * rng.standard_normal())
    e = np.array(_E_RGB) * (1 + 0.06 * rng.standard_normal(3)) * np.exp(0.16 * rng.standard_normal())
    glass = rng.uniform(203, 236) + rng.normal(0, 1.2, 3)
    return Look(
        h.astype(np.float32),
        e.astype(np.float32),
        glass.astype(np.float32),
        float(rng.uniform(0.45, 0.85)),
        float(rng.uniform(1.0, 2.2)),
        float(rng.uniform(0.75, 1.15)),
    )


def draw_glass(rng: np.random.Generator, size_px: tuple[int, int], look: Look) -> NDArray[np.uint8]:
    """Return (height, width, 3) bare glass: slight shading, specks of dust, the camera's noise."""
    cells = (size_px[0] // 16 + 1, size_px[1] // 16 + 1)
    shade = 1.0 + 0.006 * smooth_noise(rng, cells, (150, 150))
    for _ in range(rng.poisson(size_px[0] * size_px[1] / 4e6)):
        row, column = rng.integers(cells[0]), rng.integers(cells[1])
        shade[row, column] *= rng.uniform(0.6, 0.95)
    light = _upsample(shade, size_px, Image.Resampling.BICUBIC)
    noise = rng.standard_normal((512, 512), dtype=np.float32) * np.float32(look.noise / 255)
    light += _tile(noise, size_px)
    canvas = np.empty((*size_px, 3), np.uint8)
    for channel in range(3):
        canvas[..., channel] = np.clip(light * look.glass_rgb[channel] + 0.5, 0, 255)
    return canvas


def paint_core(
    rng: np.random.Generator, canvas: NDArray[np.uint8], core: Core, bodies: Bodies, look: Look
) -> None:
    """Paint one core onto its box of the slide, in place."""
    h, e = _tissue_density(rng, core, bodies, look)
    for ring in core.vessels:
        _paint_vessel(h, e, ring)
    for ring in core.acini:
        _paint_acinus(rng, h, e, ring)
    _stamp_bodies(rng, h, e, bodies)
    ndimage.gaussian_filter(h, look.blur_px, output=h, truncate=2.0)
    ndimage.gaussian_filter(e, look.blur_px, output=e, truncate=2.0)
    for top in range(0, len(h), _STRIP_PX):
        strip = slice(top, top + _STRIP_PX)
        for channel in range(3):
            light = np.exp(-(h[strip] * look.h_rgb[channel] + e[strip] * look.e_rgb[channel]))
            light *= canvas[strip, :, channel]
            light += 0.5
            canvas[strip, :, channel] = light


def _upsample(
    cells: NDArray[np.floating],
    size_px: tuple[int, int],
    kernel: Image.Resampling = Image.Resampling.BILINEAR,
) -> Float32:
    picture = Image.fromarray(np.ascontiguousarray(cells, np.float32))
    return np.array(picture.resize((size_px[1], size_px[0]), kernel))


def _fibre_texture(rng: np.random.Generator) -> Float32:
    """Return a (1024, 1024) periodic texture in 0..1 of strands that run along y."""
    side = (_TEXTURE_SIDE, _TEXTURE_SIDE)
    total = np.zeros(side, np.float32)
    for along, across, weight in ((40, 6.0, 0.8), (22, 2.6, 0.9), (9, 1.1, 0.8)):
        layer = ndimage.gaussian_filter(
            rng.standard_normal(side, dtype=np.float32), (along, across), mode="wrap", truncate=3
        )
        total += weight * layer / layer.std()
    total /= total.std()
    texture: Float32 = np.clip(0.5 + 0.25 * total, 0, 1).astype(np.float32)
    return texture


def _grain(rng: np.random.Generator) -> Float32:
    """Return a (1024, 1024) periodic grain of unit deviation, features of about 2 µm."""
    side = (_TEXTURE_SIDE, _TEXTURE_SIDE)
    fine = ndimage.gaussian_filter(rng.standard_normal(side, dtype=np.float32), 1.3, mode="wrap")
    coarse = ndimage.gaussian_filter(rng.standard_normal(side, dtype=np.float32), 3.5, mode="wrap")
    total = fine / fine.std() + 0.8 * coarse / coarse.std()
    texture: Float32 = (total / total.std()).astype(np.float32)
    return texture


def _tile(texture: Float32, shape: tuple[int, int]) -> Float32:
    reps = (shape[0] // texture.shape[0] + 1, shape[1] // texture.shape[1] + 1)
    return np.tile(texture, reps)[: shape[0], : shape[1]]


def _cell_borders(core: Core, bodies: Bodies) -> Float32:
    """Return the distance (px) to the border between carcinoma cells: Voronoi cells of their nuclei."""
    away = np.full(core.nest.shape, 99.0, np.float32)
    centres = bodies.xy_px[bodies.kind == KINDS.index("tumour")]
    rows, columns = np.nonzero(core.nest > 0.3)
    if len(centres) > 1 and len(rows):
        points = np.column_stack([columns, rows]) * np.float32(CELL_PX) + np.float32(CELL_PX / 2)
        near, _ = KDTree(centres).query(points, k=2)
        away[rows, columns] = (near[:, 1] - near[:, 0]) / 2
    return away


def _tissue_density(
    rng: np.random.Generator, core: Core, bodies: Bodies, look: Look
) -> tuple[Float32, Float32]:
    """Return the haematoxylin and eosin densities of everything but rings and nuclei.

    Made strip by strip: full-size intermediates would spend their time in page faults.
    """
    cells = core.depth_px.shape
    maps = {
        "across": core.fibre_px * 1.5,
        "along": np.arange(cells[0])[:, None] * CELL_PX + 60 * smooth_noise(rng, cells, (50, 50)),
        # Where fibres run head-on (no slope across them) one strand would fill the view.
        "crisp": 1.6 * np.hypot(*np.gradient(core.fibre_px)) / CELL_PX - 0.25,
        "loose": np.clip(0.5 + 0.28 * smooth_noise(rng, cells, (55, 45)), 0, 1),
        "nest": core.nest,
        "border": _cell_borders(core, bodies),
        "halo": _retraction(rng, core),
        "fat": core.fat,
        "wall": core.fat_wall_px,
        "depth": core.depth_px,
    }
    pictures = {k: Image.fromarray(np.ascontiguousarray(m, np.float32)) for k, m in maps.items()}
    strands, grain = _fibre_texture(rng), _tile(_grain(rng), (_TEXTURE_SIDE, core.size_px[1]))
    h, e = np.empty(core.size_px, np.float32), np.empty(core.size_px, np.float32)
    for top in range(0, core.size_px[0], _STRIP_PX):
        rows = min(_STRIP_PX, core.size_px[0] - top)
        box = (0.0, top / CELL_PX, float(cells[1]), (top + rows) / CELL_PX)
        strip = {
            k: np.asarray(p.resize((core.size_px[1], rows), Image.Resampling.BILINEAR, box))
            for k, p in pictures.items()
        }
        at = top % _TEXTURE_SIDE
        h[top : top + rows], e[top : top + rows] = _strip_density(
            strip, strands, grain[at : at + rows], look.fibre_contrast
        )
    return h, e


def _strip_density(
    at: dict[str, Float32], strands: Float32, grain: Float32, contrast: float
) -> tuple[Float32, Float32]:
    """Mix the tissues of one strip from their maps at full resolution."""
    mask = _TEXTURE_SIDE - 1
    fibre = strands[at["along"].astype(np.int32) & mask, at["across"].astype(np.int32) & mask]
    fibre = 0.5 + (fibre - 0.5) * np.clip(at["crisp"], 0.0, 1.0) + 0.05 * grain
    loose, nest, fat = at["loose"], at["nest"], at["fat"]
    open_cleft = np.clip((fibre - 0.42 * loose) / 0.16, 0.0, 1.0)
    stroma = open_cleft * (0.33 + contrast * 0.36 * (fibre - 0.5)) * (1.10 - 0.5 * loose)
    border = np.exp(-np.square(at["border"] / 2.2))
    fat_wall = np.exp(-np.square(at["wall"] / 2.3)) * (0.30 + 0.12 * loose)
    tissue = np.clip(0.5 + at["depth"] / 3.0, 0, 1)
    e = stroma * (1 - nest) * (1 - at["halo"])
    e += nest * (0.31 + 0.025 * grain - 0.11 * border)
    e += fat * (fat_wall - e)
    h = nest * (0.18 + 0.025 * grain - 0.05 * border) + (1 - nest) * (0.025 + 0.02 * fibre)
    return h * tissue * (1 - fat), e * tissue


def _retraction(rng: np.random.Generator, core: Core) -> Float32:
    """Thin clefts between some nests and their stroma, as fixation leaves them."""
    outside = ndimage.distance_transform_edt(core.nest < 0.5) * CELL_PX
    width = np.clip(3.5 + 5.0 * smooth_noise(rng, core.nest.shape, (40, 40)), 0, 11)
    cleft: Float32 = (np.clip((width - outside) / 4.0, 0, 0.9) * (core.nest < 0.98)).astype(np.float32)
    return cleft


def _window(shape: tuple[int, ...], ring: Ring, reach: float) -> tuple[tuple[slice, slice], Float32, Float32]:
    """Return a ring's window, and in it the radial distance (px of the major axis) and the angle."""
    y0, x0 = max(int(ring.y - reach), 0), max(int(ring.x - reach), 0)
    y1, x1 = min(int(ring.y + reach) + 1, shape[0]), min(int(ring.x + reach) + 1, shape[1])
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    x -= np.float32(ring.x)
    y -= np.float32(ring.y)
    c, s = np.float32(np.cos(ring.angle_rad)), np.float32(np.sin(ring.angle_rad))
    u, v = x * c + y * s, (y * c - x * s) / np.float32(ring.squeeze)
    return (slice(y0, y1), slice(x0, x1)), np.hypot(u, v), np.arctan2(v, u)


def _paint_acinus(rng: np.random.Generator, h: Float32, e: Float32, ring: Ring) -> None:
    where, r, t = _window(h.shape, ring, ring.radius_px + 14)
    wobble = 1.5 * np.cos(3 * t + rng.uniform(0, 6)) + 1.5 * np.sin(5 * t + rng.uniform(0, 6))
    inside = np.clip(0.5 + (ring.radius_px + wobble - r) / 2.0, 0, 1)
    membrane = np.exp(-(((r - ring.radius_px - wobble - 2.5) / 2.0) ** 2))
    lumen = np.clip(0.5 + (ring.lumen_px + wobble - r) / 2.0, 0, 1)
    apical = np.exp(-(((r - ring.lumen_px - wobble - 1.5) / 2.2) ** 2))
    secretion = rng.random() < 0.3
    e_here = 0.30 + 0.18 * apical + 0.03 * rng.standard_normal(r.shape, dtype=np.float32)
    e_here += lumen * ((0.28 if secretion else 0.015) - e_here)
    h_here = 0.20 * (1 - lumen) + 0.02 * lumen
    e[where] += inside * (e_here - e[where]) + 0.22 * membrane
    h[where] += inside * (h_here - h[where])


def _paint_vessel(h: Float32, e: Float32, ring: Ring) -> None:
    where, r, _ = _window(h.shape, ring, ring.radius_px + 8)
    lumen = np.clip(0.5 + (ring.lumen_px - r) / 2.0, 0, 1)
    wall = np.clip(0.5 + (ring.radius_px - r) / 3.0, 0, 1) * (1 - lumen)
    e[where] += wall * (0.42 - e[where])
    e[where] *= 1 - 0.96 * lumen
    h[where] *= 1 - 0.9 * lumen


def _stamp_bodies(rng: np.random.Generator, h: Float32, e: Float32, bodies: Bodies) -> None:
    """Draw every body on its own little window; later ones lie on top."""
    grain = _grain(rng)
    order = rng.permutation(len(bodies))
    largest_first = order[np.argsort(-(bodies.half_axes_px[order, 0] // 4), kind="stable")]
    for start in range(0, len(order), _BATCH):
        batch = bodies.take(largest_first[start : start + _BATCH])
        corner, alpha, ink_h, ink_e = _stamps(rng, batch, grain)
        side = alpha.shape[1]
        for (x, y), a, dh, de in zip(corner.tolist(), alpha, ink_h, ink_e, strict=True):
            y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + side, h.shape[0]), min(x + side, h.shape[1])
            if y1 <= y0 or x1 <= x0:
                continue
            inner = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
            part_h, part_e, a_part = h[y0:y1, x0:x1], e[y0:y1, x0:x1], a[inner]
            part_h += a_part * (dh[inner] - part_h)
            part_e += a_part * (de - part_e)


def _stamps(
    rng: np.random.Generator, batch: Bodies, grain: Float32
) -> tuple[NDArray[np.int64], Float32, Float32, Float32]:
    """Return corners (n, 2), coverage and haematoxylin (n, side, side) and eosin (n,) of a batch."""
    n = len(batch)
    side = 2 * int(np.ceil(batch.half_axes_px.max() * 1.25)) + 4
    corner = np.floor(batch.xy_px - side / 2).astype(np.int64)
    offset = (batch.xy_px - corner).astype(np.float32)
    axis = np.arange(side, dtype=np.float32) + np.float32(0.5)
    x = axis[None, None, :] - offset[:, 0, None, None]
    y = axis[None, :, None] - offset[:, 1, None, None]
    c, s = np.cos(batch.angle_rad)[:, None, None], np.sin(batch.angle_rad)[:, None, None]
    a, b = batch.half_axes_px[:, 0, None, None], batch.half_axes_px[:, 1, None, None]
    p, q = (x * c + y * s) / a, (y * c - x * s) / b
    rho = np.hypot(p, q) + np.float32(1e-6)
    cos1, sin1 = p / rho, q / rho
    cos2, sin2 = cos1 * cos1 - sin1 * sin1, 2 * cos1 * sin1
    warp = np.float32(1.0)
    for k, (cosk, sink) in enumerate(
        ((cos2 * cos1 - sin2 * sin1, sin2 * cos1 + cos2 * sin1), (cos2 * cos2 - sin2 * sin2, 2 * cos2 * sin2))
    ):
        wave, phase = batch.waves[:, k, None, None], batch.phases_rad[:, k, None, None]
        warp = warp + wave * (cosk * np.cos(phase) - sink * np.sin(phase))
    # Distance to the contour along the ray, scaled by the ellipse's own radius in that direction.
    inward = (warp - rho) * a * b / np.sqrt((b * cos1) ** 2 + (a * sin1) ** 2)
    alpha = np.clip(0.5 + inward, 0.0, 1.0)
    ink = np.array([_INK[k] for k in KINDS], np.float32)[batch.kind]
    tone = (1 + ink[:, 3] * rng.standard_normal(n, dtype=np.float32)).clip(0.55, 1.6)
    gy, gx = rng.integers(0, _TEXTURE_SIDE - side, (2, n))
    step = np.arange(side)
    speckle = grain[gy[:, None, None] + step[None, :, None], gx[:, None, None] + step[None, None, :]]
    body = ink[:, 0, None, None] + ink[:, 2, None, None] * speckle
    body += ink[:, 1, None, None] * np.exp(-(((inward - 1.2) / 1.1) ** 2))
    count = rng.poisson(ink[:, 4])
    for k in range(2):
        spot = rng.uniform(-0.4, 0.4, (2, n)).astype(np.float32)[:, :, None, None]
        near = ((p - spot[0]) * a) ** 2 + ((q - spot[1]) * b) ** 2
        body += np.where(count > k, 0.75, 0.0).astype(np.float32)[:, None, None] * np.exp(-near / 3.2)
    ink_h = np.maximum(body, 0.25 * ink[:, 0, None, None]) * tone[:, None, None]
    return corner, alpha.astype(np.float32), ink_h.astype(np.float32), ink[:, 5]
