"""Large arrays outside the heap, in a process of their own: what is set cannot be taken back."""

import ctypes
import subprocess
import sys

import pytest

from napari_aln.heap import give_back_large_arrays

COUNT = """
import ctypes, sys
import numpy as np
from napari_aln.heap import LARGE_BYTES, give_back_large_arrays

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo
if sys.argv[1] == "set":
    assert give_back_large_arrays()
np.empty(16 * LARGE_BYTES, np.uint8)  # freed at once, which raises glibc's own size
before = mallinfo2().hblks
large, small = np.empty(2 * LARGE_BYTES, np.uint8), np.empty(LARGE_BYTES // 2, np.uint8)
print(mallinfo2().hblks - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
@pytest.mark.parametrize(("asked", "apart"), [("set", 1), ("left", 0)])
def test_large_arrays_lie_outside_the_heap_once_asked(asked, apart):
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library does not tell")
    done = subprocess.run([sys.executable, "-c", COUNT, asked], capture_output=True, text=True, check=True)
    assert int(done.stdout) == apart


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert not give_back_large_arrays()
