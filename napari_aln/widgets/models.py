"""The models at hand: loaded from bundles, taken away again, and remembered for the next start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.workflows.review import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_aln.errors import AlnError
    from napari_aln.mil.bundle import Bundle
    from napari_aln.store.remembered import Remembered
    from napari_aln.widgets.jobs import NewJob
    from napari_aln.widgets.state import ReviewState


class Models(QObject):
    """Loads and unloads them.

    Parameters
    ----------
    state
        Holds them.
    remembered
        Knows those of the last start.
    remember
        Keeps something for the next one, as far as that is possible.
    new_job
        Makes the job that loads them.
    """

    loaded = Signal()  # those that were asked for, or it was said what is wrong with them
    failed = Signal(object)  # the exception
    told = Signal(str, str)  # "info", and a line for the log

    def __init__(
        self,
        state: ReviewState,
        remembered: Remembered,
        remember: Callable[[Callable[[], None]], None],
        new_job: NewJob,
    ) -> None:
        super().__init__()
        self._state, self._remembered, self._remember = state, remembered, remember
        self.loading = new_job("load", self._on_loaded)
        self.asked_paths: list[Path] = []  # what messages may name

    def load(self, paths: Sequence[Path]) -> None:
        """Load bundles beside those that are loaded."""
        waiting = self.asked_paths if self.loading.is_running else []
        self.asked_paths = [*waiting, *(p for p in paths if p not in waiting)]
        self.loading.start(partial(steps.load_bundles, tuple(self.asked_paths)))

    def load_remembered(self) -> None:
        """Load those that were loaded when the window was last used, as far as they are still there."""
        there = [path for path in self._remembered.bundles if path.exists()]
        if there:
            self.load(there)

    def load_demo(self) -> None:
        """Load those that come with the program."""
        from napari_aln.workflows.demo import BUNDLES, sample_path

        self.load([sample_path(name) for name in BUNDLES])

    def remove(self, key: str) -> None:
        """Unload one."""
        self._state.remove_bundle(key)
        self._note()

    def _on_loaded(self, answer: tuple[list[Bundle], list[AlnError]]) -> None:
        bundles, errors = answer
        if bundles:
            self._state.add_bundles(bundles)
            self._note()
            names = ", ".join(bundle.card.name for bundle in bundles)
            self.told.emit("info", f"Loaded: {names}.")
        for error in errors:
            self.failed.emit(error)
        self.loaded.emit()

    def _note(self) -> None:
        paths = [bundle.path for bundle in self._state.bundles.values()]
        self._remember(partial(self._remembered.remember_bundles, paths))
