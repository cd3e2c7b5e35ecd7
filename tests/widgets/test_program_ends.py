"""The program as a process of its own: what is left when its window is closed during a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    assert answer.stdout.splitlines() == ["napari-aln", "the run was closed", "the program ends"]
    assert "Traceback" not in answer.stderr
