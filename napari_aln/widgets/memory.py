"""Gives freed memory back to the system once long work has ended and the window is quiet again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_aln.heap import return_freed
from napari_aln.records import Progress
from napari_aln.widgets.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Generator

QUIET_MS = 3000  # what follows a run at once, such as its map and gallery, shall not be held up


class Memory(QObject):
    """Follows jobs, and tidies up after the last of them.

    Parameters
    ----------
    parent
        Owns it.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.job = Job("return memory", self)
        self._followed: list[Job] = []
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET_MS)
        self._quiet.timeout.connect(self._on_quiet)

    def follow(self, job: Job) -> None:
        """Tidy up after this job, too."""
        self._followed.append(job)
        job.state_changed.connect(self._on_state)

    def close(self) -> None:
        """Tidy up no more."""
        self._quiet.stop()
        self.job.close()

    def _on_state(self, _state: object) -> None:
        if any(job.is_running for job in self._followed):
            self._quiet.stop()
        else:
            self._quiet.start()

    def _on_quiet(self) -> None:
        self.job.start(_returning)


def _returning() -> Generator[Progress, None, None]:
    yield Progress("return memory", 0, 1)
    return_freed()
