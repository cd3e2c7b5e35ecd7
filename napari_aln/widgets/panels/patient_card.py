"""What the models say of a patient with several slides, and by which rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.labels import TextLabel, WarningNote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.workflows.review.worklist import PatientRun


class PatientCard(QFrame):
    """Shows one patient's results."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("patient_card")
        self.setProperty("foreground", "true")
        self.setAccessibleName("Result of the patient")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(2)
        self.title = TextLabel(bold=True)
        self.body = TextLabel()
        self.body.setObjectName("patient_numbers")
        self.withheld_note = WarningNote()
        self.rule = TextLabel()
        self.notice = TextLabel(bold=True)
        for part in (self.title, self.withheld_note, self.body, self.rule, self.notice):
            layout.addWidget(part)

    def set_patient(
        self, name: str, n_slides: int, withheld: str, runs: Sequence[PatientRun], rule: str
    ) -> None:
        """Show what each model says of a patient, by `rule`, or why that is kept back."""
        self.title.set_text(f"{name or 'Patient'}: {n_slides} slides")
        self.withheld_note.set_text(withheld)
        lines = [] if withheld else [patient_words(run, n_slides) for run in runs]
        self.body.set_text("\n".join(lines) if lines or withheld else "No run yet.")
        self.rule.set_text(rule if lines else "")
        self.notice.set_text(RESEARCH_NOTICE if lines else "")


def patient_words(run: PatientRun, n_slides: int) -> str:
    """Return what one model says of a patient."""
    name = run.classes[-1]
    lines = [
        f"{run.mode.upper()}: {name} {run.probabilities[name]:.3f}, decision {run.prediction}",
        f"from {len(run.slides)} of {n_slides} slides · {run.model_name}",
    ]
    if not run.slides_agree:
        lines.append("By themselves the slides lead to different decisions.")
    return "\n".join(lines)
