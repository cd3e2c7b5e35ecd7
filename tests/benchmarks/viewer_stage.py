"""A viewer that is timed until what it shows is whole, and how long its event loop was held up."""

from __future__ import annotations

import os
import time

from idleness import seconds_of_others

MOST_BY_OTHERS = 0.2


class Heartbeat:
    """The longest time in which Qt handled no timer."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.last, self.longest = time.perf_counter(), 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(2)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self.last)
        self.last = now

    def restart(self) -> None:
        self.last, self.longest = time.perf_counter(), 0.0

    def stop(self) -> float:
        self._beat()
        self._timer.stop()
        return self.longest


class Stage:
    """A shown viewer, and waiting until what it shows is whole."""

    def __init__(self) -> None:
        import napari
        from vispy import gloo

        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1600, 1100)
        self._canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        self._finish = gloo.gl.glFinish
        self._canvas.events.draw.connect(self._on_draw, position="last")
        self.dirty = True
        self.draws = 0
        self.undisturbed = True  # the last measurement
        self.whole = lambda: True
        self.settle(0.5)

    def _on_draw(self, event) -> None:
        self._finish()
        self.draws += 1
        self.dirty = False

    def process(self) -> None:
        from qtpy.QtCore import QEventLoop
        from qtpy.QtWidgets import QApplication

        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    def settle(self, seconds: float) -> None:
        beat = Heartbeat()  # else `process` would wait for an event for ever
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.process()
        beat.stop()

    def until_whole(self, change, beat: Heartbeat) -> float:
        """Return the seconds from a change until its whole picture is drawn."""
        beat.restart()
        drawn, others = self.draws, seconds_of_others()
        start = time.perf_counter()
        self.dirty = True
        change()
        while self.dirty or self.draws == drawn or not self.whole():
            self.process()
            if time.perf_counter() - start > 60:
                raise TimeoutError("the picture did not get whole in a minute")
        seconds = time.perf_counter() - start
        share = (seconds_of_others() - others) / (seconds * (os.cpu_count() or 1))
        self.undisturbed = share < MOST_BY_OTHERS
        return seconds

    def look_at(self, center_yx: tuple[float, float], zoom: float) -> None:
        camera = self.viewer.scene.camera
        camera.zoom = zoom
        camera.center = (0, *center_yx)
