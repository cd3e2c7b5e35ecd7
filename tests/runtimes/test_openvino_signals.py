"""Ctrl+C after a network was freed by another thread than the one that compiled it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc, signal, threading
from torch import nn
from napari_aln.runtimes.base import compile_network
from napari_aln.settings.engine import EngineSettings

class Network(nn.Module):
    def forward(self, pixels):
        return (pixels.float().mean((1, 2)),)

networks = [compile_network(Network(), 8, EngineSettings(runtime="openvino", device="cpu"))]
frees = threading.Thread(target=networks.clear)
frees.start()
frees.join()
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_ends_no_process_by_a_fault():
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr
