"""A nucleus model of one's own, chosen as a file: opened and checked beside the window, then offered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_aln.errors import AlnError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.widgets.panels.file_dialogs import ask_for_files, kinds
from napari_aln.workflows.nuclei import view as nuclei_view

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.widgets.panels.nuclei_panel import NucleiPanel
    from napari_aln.widgets.review import Review
    from napari_aln.workflows.nuclei.view import NucleusMethod


class MethodChoice(QObject):
    """Asks for a nucleus model, and chooses it in the panel once it is known to be one.

    Parameters
    ----------
    review
        Through which errors are shown.
    panel
        Where methods are offered.
    """

    def __init__(self, review: Review, panel: NucleiPanel) -> None:
        super().__init__(panel)
        self._panel, self._review = panel, review
        self._wrong = ""  # with the file that was chosen last
        self.opening = review.new_job("open nucleus model", self._on_opened)
        self.opening.failed.connect(self._on_failed)
        panel.model_requested.connect(self._ask)

    def _ask(self) -> None:
        wanted = kinds("Nucleus models", (BUNDLE_SUFFIX,))
        ask_for_files(
            self._panel, "Choose a nucleus model", wanted, lambda paths: self.open(paths[0]), several=False
        )

    def open(self, path: Path) -> None:
        """Open a nucleus model and choose it; the method stays as it is where it cannot be used."""
        self._review.nucleus_model_path = path
        self.opening.start(partial(nuclei_view.open_method, path))

    def _on_failed(self, error: Exception) -> None:
        self._wrong = self._review.without_paths(error.fact) if isinstance(error, AlnError) else ""

    def _on_opened(self, method: NucleusMethod) -> None:
        self._panel.add_method(method)
        self._panel.set_method(method.method)
        if self._wrong:
            self._review.mended.emit(self._wrong)
            self._wrong = ""
