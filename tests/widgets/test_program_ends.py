"""The program as a process of its own: what is left when its window is closed during a run."""

from __future__ import annotations

import subprocess
import sys

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_aln.widgets.review import Review

shiboken6 = pytest.importorskip("shiboken6")

PROGRAM = """
from qtpy.QtCore import QTimer
import time
from napari_aln.records import Progress
from napari_aln.widgets.window import dock_of, open_window, run
from napari_aln.workflows.review import steps

def endless(*_):
    try:
        while True:
            time.sleep(0.02)
            yield Progress("extract", 1, 2)
    finally:
        print("the run was closed", flush=True)

steps.predict_file = endless
viewer = open_window(demo=True)
dock = dock_of(viewer)
window = viewer.window._qt_window

def look():
    if dock.review.running.is_running and "patches" in dock.run.status.shown_text():
        timer.stop()
        print(window.windowTitle(), flush=True)
        window.close()

timer = QTimer()
timer.timeout.connect(look)
timer.start(50)
run()
print("the program ends", flush=True)
"""


@pytest.mark.slow
def test_closing_the_window_during_a_run_ends_the_program():
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=300,
        encoding="utf-8",
    )
    assert answer.returncode == 0, answer.stderr
    said = ["demo-slide.tif – napari-aln", "the run was closed", "the program ends"]
    assert answer.stdout.splitlines() == said
    assert "Traceback" not in answer.stderr


def test_parts_of_a_review_may_go_before_the_window_that_closes_it(qtbot):
    """At the end of a program with its window still open, Qt takes what has no parent in any order."""
    review, dock = Review(ViewerModel()), QWidget()
    dock.destroyed.connect(review.close)
    parts = [part for part in vars(review).values() if isinstance(part, QObject)]
    alone = [part for part in parts if shiboken6.ownedByPython(part)]
    assert review.live in parts
    assert len(alone) < len(parts)
    with qtbot.captureExceptions() as raised:
        for part in (*alone, dock):
            shiboken6.delete(part)
    assert raised == []
    assert all(job._closed for job in review.jobs)
