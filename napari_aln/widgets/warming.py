"""Loads, while nobody waits, what the first slide and the first run need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_aln.records import Progress
from napari_aln.widgets.first_picture import build_first_picture, build_units, use_units
from napari_aln.workflows.review import steps

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_aln.widgets.jobs import NewJob

AFTER_MS = 1000  # the window stands by then


class Warming(QObject):
    """Starts by itself, once the window stands.

    Parameters
    ----------
    new_job
        Makes its jobs.
    """

    def __init__(self, new_job: NewJob) -> None:
        super().__init__()
        self.loading = new_job("warm", self._on_loaded)
        self.picturing = new_job("first picture", lambda _: None)
        QTimer.singleShot(AFTER_MS, self._on_idle)

    def _on_idle(self) -> None:
        self.loading.start(load)

    def _on_loaded(self, units: Any) -> None:  # noqa: ANN401 - see `build_units`
        use_units(units)
        self.picturing.start(first_picture)


def load() -> Generator[Progress, None, Any]:
    """Load modules, and return the units of layers for `use_units`."""
    yield from steps.warm_up()
    return build_units()


def first_picture() -> Generator[Progress, None, None]:
    """Have napari build what it builds for its first picture, once the units are in use."""
    yield Progress("build", 0, 1)
    build_first_picture()
