"""The window ends in order when it is asked to from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line has it
from qtpy.QtCore import QTimer
from napari_aln.widgets.window import open_window, run
open_window()
QTimer.singleShot(0, lambda: signal.raise_signal(signal.Signals[sys.argv[1]]))
try:
    run()
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a window there is sent no signals")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_window_without_a_word(sent, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "napari.yaml"))
    command = [sys.executable, "-c", PROGRAM, sent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr
    assert "KeyboardInterrupt" not in done.stderr
