"""Drawn bodies (nuclei, erythrocytes) as warped ellipses, and their exact morphometry."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

MPP_UM = 0.5
"""µm/px of every synthetic slide."""

KINDS = (
    "tumour",
    "fibroblast",
    "lymphocyte",
    "luminal",
    "myoepithelial",
    "endothelial",
    "erythrocyte",
)
"""What a body is; `Bodies.kind` indexes this. Erythrocytes have no nucleus and stay out of the truth."""

_CONTOUR_POINTS = 48


@dataclass(frozen=True)
class Bodies:
    """Warped ellipses, one entry each, in level-0-sized pixels of the frame they were made for.

    The contour at parameter t is ``w(t) (a cos t, b sin t)`` turned by the angle, with
    ``w(t) = 1 + h3 cos(3 t + p3) + h4 cos(4 t + p4)``.
    """

    kind: NDArray[np.int8]  # (n,) index into KINDS
    xy_px: Float32  # (n, 2) centre
    half_axes_px: Float32  # (n, 2) a, b
    angle_rad: Float32  # (n,) of the major axis, from +x toward +y (clockwise on the screen)
    waves: Float32  # (n, 2) h3, h4
    phases_rad: Float32  # (n, 2) p3, p4

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, where: NDArray[Any]) -> Bodies:
        """Return the bodies at an index or boolean array."""
        return Bodies(*(getattr(self, f.name)[where] for f in fields(self)))


def join(parts: Sequence[Bodies]) -> Bodies:
    """Return the bodies of several sets as one."""
    return Bodies(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Bodies)))


def make_bodies(
    rng: np.random.Generator,
    kind: str,
    xy_px: NDArray[Any],
    half_axes_px: NDArray[Any],
    angle_rad: NDArray[Any],
    irregularity: float = 0.04,
) -> Bodies:
    """Make bodies of one kind; `irregularity` is the mean amplitude of the contour's waves."""
    n = len(xy_px)
    waves = irregularity * rng.rayleigh(0.8, (n, 2)) * (1.0, 0.6)
    return Bodies(
        np.full(n, KINDS.index(kind), np.int8),
        np.asarray(xy_px, np.float32).reshape(n, 2),
        np.asarray(half_axes_px, np.float32).reshape(n, 2),
        np.asarray(angle_rad, np.float32),
        np.minimum(waves, 0.2).astype(np.float32),
        rng.uniform(0.0, 2.0 * np.pi, (n, 2)).astype(np.float32),
    )


def contours_px(bodies: Bodies) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y, (n, 48) each, of the contours about their centres, in px, before they are turned."""
    t = np.linspace(0.0, 2.0 * np.pi, _CONTOUR_POINTS, endpoint=False)
    w = np.ones((len(bodies), 1))
    for k in (0, 1):
        w = w + bodies.waves[:, k, None] * np.cos((k + 3) * t + bodies.phases_rad[:, k, None])
    return w * bodies.half_axes_px[:, :1] * np.cos(t), w * bodies.half_axes_px[:, 1:] * np.sin(t)


def morphometry(bodies: Bodies) -> dict[str, NDArray[np.float64]]:
    """Measure the contours themselves, as polygons of 48 points.

    Returns
    -------
    dict
        `area_um2`, `circumference_um` and `circularity` (4 pi A / P^2), each of shape (n,).
    """
    x, y = (along * MPP_UM for along in contours_px(bodies))
    next_x, next_y = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    area = np.abs((x * next_y - next_x * y).sum(axis=1)) / 2.0
    circumference = np.hypot(next_x - x, next_y - y).sum(axis=1)
    return {
        "area_um2": area.astype(np.float64),
        "circumference_um": circumference.astype(np.float64),
        "circularity": (4.0 * np.pi * area / circumference**2).astype(np.float64),
    }
