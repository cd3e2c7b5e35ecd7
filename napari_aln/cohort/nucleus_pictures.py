"""Pictures of synthetic tissue with the label of every nucleus: what a nucleus model can learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from skimage.draw import polygon

from napari_aln.cohort.bodies import KINDS, MPP_UM, contours_px
from napari_aln.cohort.patients import draw_patient, patient_rng
from napari_aln.cohort.synthesize import draw_slide
from napari_aln.settings.cohorts import SynthesizeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_aln.cohort.bodies import Bodies

PICTURE_PX = 512
PICTURES_A_SLIDE = 3
_MIN_NUCLEI = 30
_TRIES = 200
_CORE = SynthesizeSettings(core_width_um=(620.0, 760.0), core_length_um=(900.0, 1200.0))


class NucleusPicture(NamedTuple):
    """A square of a synthetic slide."""

    name: str
    rgb: NDArray[np.uint8]  # (PICTURE_PX, PICTURE_PX, 3)
    labels: NDArray[np.int32]  # of the same size, 1..n; 0 = background
    mpp: float


def nucleus_labels(bodies: Bodies, x: int, y: int, side_px: int) -> NDArray[np.int32]:
    """Return labels of the nuclei in a square of level 0; smaller ones lie on larger ones, as painted."""
    nuclei = bodies.take(bodies.kind != KINDS.index("erythrocyte"))
    middle = np.array([x, y]) + side_px / 2
    reach = side_px / 2 + 1.4 * nuclei.half_axes_px[:, :1]  # a wave may reach out of its ellipse
    nuclei = nuclei.take(np.flatnonzero((np.abs(nuclei.xy_px - middle) < reach).all(axis=1)))
    nuclei = nuclei.take(np.argsort(-nuclei.half_axes_px[:, 0], kind="stable"))
    along, across = contours_px(nuclei)
    c, s = np.cos(nuclei.angle_rad)[:, None], np.sin(nuclei.angle_rad)[:, None]
    columns = along * c - across * s + nuclei.xy_px[:, :1] - x - 0.5  # a pixel's middle, not its corner
    rows = along * s + across * c + nuclei.xy_px[:, 1:] - y - 0.5
    labels = np.zeros((side_px, side_px), np.int32)
    for number, (row, column) in enumerate(zip(rows, columns, strict=True), start=1):
        labels[polygon(row, column, labels.shape)] = number  # type: ignore[no-untyped-call]
    return labels


def draw_nucleus_pictures(n: int, seed: int) -> Iterator[NucleusPicture]:
    """Draw pictures of tissue with nuclei, a few a slide, each slide of another stain."""
    done, index = 0, 0
    while done < n:
        rng = patient_rng(seed, index)
        patient = draw_patient(rng, index, positive=index % 2 == 1)
        slide = draw_slide(rng, patient, _CORE)
        height, width = slide.rgb.shape[:2]
        taken = 0
        for _ in range(_TRIES):
            if taken == PICTURES_A_SLIDE or done == n:
                break
            x, y = int(rng.integers(width - PICTURE_PX)), int(rng.integers(height - PICTURE_PX))
            labels = nucleus_labels(slide.bodies, x, y, PICTURE_PX)
            if len(np.unique(labels)) <= _MIN_NUCLEI:
                continue
            rgb = slide.rgb[y : y + PICTURE_PX, x : x + PICTURE_PX].copy()
            yield NucleusPicture(f"{patient.patient_id}-{taken}", rgb, labels, MPP_UM)
            taken, done = taken + 1, done + 1
        index += 1
