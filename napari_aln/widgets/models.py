"""The models at hand: loaded from bundles, taken away again, and remembered for the next start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.workflows.review import steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_aln.errors import AlnError
    from napari_aln.mil.bundle import Bundle
    from napari_aln.widgets.review import Review


class Models(QObject):
    """Loads and unloads them.

    Parameters
    ----------
    review
        Whose state holds them.
    """

    loaded = Signal()  # those that were asked for, or it was said what is wrong with them

    def __init__(self, review: Review) -> None:
        super().__init__()
        self._review = review
        self.loading = review.new_job("load", self._on_loaded)
        self.asked_paths: list[Path] = []  # what messages may name

    def load(self, paths: Sequence[Path]) -> None:
        """Load bundles beside those that are loaded."""
        waiting = self.asked_paths if self.loading.is_running else []
        self.asked_paths = [*waiting, *(p for p in paths if p not in waiting)]
        self.loading.start(partial(steps.load_bundles, tuple(self.asked_paths)))

    def load_remembered(self) -> None:
        """Load those that were loaded when the window was last used, as far as they are still there."""
        there = [path for path in self._review.remembered.bundles if path.exists()]
        if there:
            self.load(there)

    def load_demo(self) -> None:
        """Load those that come with the program."""
        from napari_aln.workflows.demo import BUNDLES, sample_path

        self.load([sample_path(name) for name in BUNDLES])

    def remove(self, key: str) -> None:
        """Unload one."""
        self._review.state.remove_bundle(key)
        self._remember()

    def _on_loaded(self, answer: tuple[list[Bundle], list[AlnError]]) -> None:
        bundles, errors = answer
        if bundles:
            self._review.state.add_bundles(bundles)
            self._remember()
            names = ", ".join(bundle.card.name for bundle in bundles)
            self._review.told.emit("info", f"Loaded: {names}.")
        for error in errors:
            self._review.on_error(error)
        self.loaded.emit()

    def _remember(self) -> None:
        paths = [bundle.path for bundle in self._review.state.bundles.values()]
        self._review.remember(partial(self._review.remembered.remember_bundles, paths))
