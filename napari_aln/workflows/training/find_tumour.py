"""Does a whole-slide model, told of no region, look at the tumour? Measured where outlines are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_aln.errors import AnnotationError, RegionError
from napari_aln.evaluation.map_measures import mean_interval, tumour_finding
from napari_aln.mil.attribution import attention_slide
from napari_aln.mil.card import Metric
from napari_aln.patches.grid import patch_grid
from napari_aln.patches.membership import inside
from napari_aln.records import Progress
from napari_aln.settings.evaluation import EvaluateSettings
from napari_aln.slides.first_open import open_untried
from napari_aln.workflows.slide.prepare import require_mpp, usable_roi

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.evaluation.map_measures import Finding
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.card import ModelCard
    from napari_aln.settings.patches import PatchSettings
    from napari_aln.workflows.training.measure_training import Embed
    from napari_aln.workflows.training.patients import TrainingPatient

NAMES = ("ATTENTION AUC", "ATTENTION ON TUMOUR", "PATCHES IN TUMOUR")
"""Area under the ROC curve of `attention_slide` for tumour patches, its share on them, and their share."""


def attention_on_tumour(
    bundle: Bundle,
    patients: Sequence[TrainingPatient],
    embed: Embed,
    patches: PatchSettings,
    cohort: str,
) -> Generator[Progress, None, list[Metric]]:
    """Measure a whole-slide model's attention on what is stored of patients; yield after each.

    Patients with one slide and outlines that can be read count, where patches lie both inside and outside the
    tumour. Returns means over patients with bootstrap intervals, under `NAMES`; nothing where no patient
    counts.

    Raises
    ------
    SlideError
        A slide cannot be read.
    """
    found: list[Finding] = []
    for done, patient in enumerate(patients, start=1):
        row = patient.rows[0]
        if len(patient.rows) == 1 and row.roi is not None:
            attention = attention_slide(embed(patient)[1])
            try:
                tumour = _tumour_cells(row, bundle.card, patches)
            except (AnnotationError, RegionError):  # a whole-slide model needs no outlines
                continue
            finding = tumour_finding("attention_slide", attention, np.isin(patient.slides[0].cell, tumour))
            if finding is not None:
                found.append(finding)
        yield Progress("measure attention", done, len(patients))
    if not found:
        return []
    settings = EvaluateSettings()
    metrics = []
    for name, values in zip(NAMES, np.array(found, np.float64).T, strict=True):
        mean = mean_interval(values, settings.bootstraps, np.random.default_rng(settings.seed))
        low, high = (None if np.isnan(v) else round(v, 4) for v in (mean.low, mean.high))
        metrics.append(
            Metric(name=name, value=round(mean.value, 4), n=len(found), cohort=cohort, low=low, high=high)
        )
    return metrics


def _tumour_cells(row: CohortRow, card: ModelCard, patches: PatchSettings) -> NDArray[np.int64]:
    """Return the cells of a slide's grid that a model inside the ROI would take."""
    assert row.slide is not None  # its features are stored
    with open_untried(row.slide, row.mpp) as slide:
        regions, _ = usable_roi(slide, row.roi)
        grid = patch_grid(slide.info.size_px, require_mpp(slide.info), card.patch_px, card.mpp)
        return inside(grid, regions, patches.min_roi_share).cell
