"""Nuclei of high- against low-attention patches: worked out beside the window, shown, written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_aln.widgets.panels.contrast_dialog import ContrastDialog
from napari_aln.widgets.panels.file_dialogs import ask_for_folder
from napari_aln.workflows.nuclei import view as nuclei_view

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_aln.widgets.review import Review
    from napari_aln.workflows.nuclei.by_attention import NucleiContrast
    from napari_aln.workflows.nuclei.view import SlideNuclei


class ByAttention(QObject):
    """Compares a slide's nuclei by the attention of the run whose map is shown.

    Parameters
    ----------
    review
        Whose runs they are.
    widget
        Over which the comparison is shown.
    """

    def __init__(self, review: Review, widget: QWidget) -> None:
        super().__init__(widget)
        self._review, self._widget = review, widget
        self.comparing = review.new_job("compare nuclei", self._on_compared)
        self.saving = review.new_job("save contrast", self._on_saved)
        self.dialog: ContrastDialog | None = None
        self._alias = ""
        review.scene.slide_leaving.connect(self._on_slide_leaving)

    def compare(self, shown: SlideNuclei) -> None:
        """Work a comparison out, and show it."""
        state = self._review.state
        if state.shown is None or not state.answers:
            return
        run = state.shown[0]
        result = state.answers[run].result
        self._alias = result.alias
        scores = state.scores_of(run)
        self.comparing.start(partial(nuclei_view.contrast_by_attention, shown, scores, run, result))

    def _on_compared(self, found: NucleiContrast) -> None:
        self._close()
        self.dialog = ContrastDialog(found, self._widget)
        self.dialog.save_requested.connect(self._ask_where)
        self.dialog.show()

    def _ask_where(self, found: NucleiContrast) -> None:
        def save(folder: Path) -> None:
            self.saving.start(partial(nuclei_view.save_contrast, found, folder, self._alias))

        ask_for_folder(self._widget, "Write table and plots into this folder", save)

    def _on_saved(self, folder: Path) -> None:
        text = f"Written to {folder.name}."
        if self.dialog is not None:
            self.dialog.set_note(text)
        self._review.told.emit("info", f"Nuclei by attention: {text[:1].lower()}{text[1:]}")

    def _on_slide_leaving(self) -> None:
        self.comparing.reset()
        self._close()

    def _close(self) -> None:
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            dialog.close()
            dialog.deleteLater()
