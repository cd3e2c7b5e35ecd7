"""Keeps the dock of an interpretation in step with the slide under review."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_aln.records import BINARY
from napari_aln.widgets.later import Later
from napari_aln.widgets.panels.feature_plot import FeatureRow, Group
from napari_aln.widgets.panels.interpretation_panel import InterpretationPanel
from napari_aln.widgets.panels.labels import count

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.widgets.review import Review
    from napari_aln.workflows.interpretation.slide_weights import InterpretedCohort

ASK = "Choose the interpretation of a cohort: `napari-aln interpret` makes one."
NOT_AMONG = "The slide under review is not among them."
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


class InterpretationView(QWidget):
    """Reads interpretations and shows one slide of one of them.

    Parameters
    ----------
    review
        Whose slide is looked for in it.
    """

    def __init__(self, review: Review) -> None:
        super().__init__()
        from napari_aln.workflows.interpretation.slide_weights import SLIDES_NAME, WEIGHT_NOTE

        self.review = review
        self.panel = InterpretationPanel(SLIDES_NAME, BINARY, WEIGHT_NOTE)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        self.cohort: InterpretedCohort | None = None
        self._here = -1  # index of the slide under review
        self.job = review.new_job("interpretation", self._on_read)
        self.panel.file_chosen.connect(self._on_file)
        self.panel.slide_chosen.connect(self._show)
        # Once a work list knows the slide too: it may keep numbers of it back, or let them pass.
        self._later = Later(self._on_slide, self)
        review.state.slide_changed.connect(self._later.ask)
        review.state.answers_changed.connect(self._later.ask)
        self._show(-1)

    def _on_file(self) -> None:
        path = self.panel.file.path()
        if path is not None and path.is_file():
            self.open_file(path)

    def open_file(self, path: Path) -> None:
        """Read an interpretation and show it."""
        from napari_aln.workflows.interpretation.slide_weights import read_interpretation

        self.panel.file.set_path(path)
        self.job.start(partial(read_interpretation, path))

    def _on_read(self, cohort: InterpretedCohort) -> None:
        self.cohort = cohort
        self._on_slide()

    def _on_slide(self) -> None:
        """Offer the slides, and choose the one under review if it is among them and may be shown."""
        if self.cohort is None:
            return
        withheld = self.review.state.gate(False)
        if withheld:
            self.panel.set_slides((), -1)
            self.panel.set_features(self._rows(self.cohort, -1), _cohort_text(self.cohort), withheld)
            return
        slide = self.review.state.slide
        hashes = [one.slide_hash for one in self.cohort.slides]
        here = hashes.index(slide.info.quick_hash) if slide and slide.info.quick_hash in hashes else -1
        hide = self.review.state.hide_names
        names = [
            f"Slide {number}" if hide else one.patient_id for number, one in enumerate(self.cohort.slides, 1)
        ]
        self._here = here
        if here >= 0:
            self.review.state.gate(True)  # notes what a reader saw before calling
        self.panel.set_slides(names, here)
        self._show(here)

    def _show(self, index: int) -> None:
        cohort = self.cohort
        if cohort is None:
            self.panel.set_features((), ASK, "")
            return
        slide = cohort.slides[index] if index >= 0 else None
        told = NOT_AMONG if self.review.state.slide is not None and self._here < 0 else ""
        if slide is not None:
            label = "N(+)" if slide.positive else "N0"
            told = (
                f"Probability of N(+) {slide.probability:.2f}, labelled {label} "
                f"({_SPLITS.get(slide.split, slide.split)}). {count(slide.n_nuclei)} nuclei of "
                f"{count(slide.n_patches)} patches."
            )
        self.panel.set_features(self._rows(cohort, index), _cohort_text(cohort), told)

    def _rows(self, cohort: InterpretedCohort, index: int) -> list[FeatureRow]:
        from napari_aln.evaluation.tables import p_text
        from napari_aln.nuclei.slide_features import PAPER_FEATURES

        slide = cohort.slides[index] if index >= 0 else None
        positive = cohort.patients.positive
        found = []
        for feature in PAPER_FEATURES:
            name, values = feature.name, cohort.patients.value[feature.name]
            p = p_text(cohort.differences[name].p)
            found.append(
                FeatureRow(
                    feature.title,
                    feature.unit,
                    None if slide is None else slide.weight[name],
                    float(cohort.patients.weight[name].mean()),
                    None if slide is None else slide.value[name],
                    (_group(values[~positive]), _group(values[positive])),
                    f"p {p}" if p.startswith("<") else f"p = {p}",
                )
            )
        return found


def _group(values: NDArray[np.float64]) -> Group:
    import numpy as np

    known = values[np.isfinite(values)]
    if not len(known):
        return Group(*(float("nan"),) * 5)
    return Group(*np.percentile(known, [0, 25, 50, 75, 100]).tolist())


def _cohort_text(cohort: InterpretedCohort) -> str:
    from napari_aln.evaluation.tables import fraction

    positive = int(cohort.patients.positive.sum())
    text = f"{len(cohort.patients.positive) - positive} patients N0, {positive} N(+)."
    for split, name in reversed(_SPLITS.items()):
        area = cohort.patients.auc(split)
        if area.value == area.value:  # known
            return f"{text} AUC of the weighing network, {name}: {fraction(area)}."
    return f"{text} Its AUC is not defined."
