"""Where arrays lie, in a process of its own: what is set cannot be taken back."""

import ctypes
import subprocess
import sys

import pytest

from napari_aln.heap import MOST_ARENAS, keep_heap_small

COUNT = """
import ctypes, sys
import numpy as np
from napari_aln.heap import LARGE_BYTES, keep_heap_small

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo
if sys.argv[1] == "set":
    assert keep_heap_small()
np.empty(16 * LARGE_BYTES, np.uint8)  # freed at once, which raises glibc's own size
before = mallinfo2().hblks
large, small = np.empty(2 * LARGE_BYTES, np.uint8), np.empty(LARGE_BYTES // 2, np.uint8)
print(mallinfo2().hblks - before)
"""
HEAPS = """
import sys, threading
import numpy as np
from napari_aln.heap import LARGE_BYTES, keep_heap_small

if sys.argv[1] == "set":
    assert keep_heap_small()
barrier = threading.Barrier(6)

def hold():
    kept = [np.empty(LARGE_BYTES // 8, np.uint8) for _ in range(4)]
    barrier.wait()
    places.append(kept[0].ctypes.data >> 26)  # heaps of threads begin at multiples of 64 MiB
    barrier.wait()

places = []
threads = [threading.Thread(target=hold) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(set(places)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
@pytest.mark.parametrize(("asked", "apart"), [("set", 1), ("left", 0)])
def test_large_arrays_lie_outside_the_heap_once_asked(asked, apart):
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library does not tell")
    assert told(COUNT, asked) == apart


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_threads_share_two_heaps_once_asked():
    assert told(HEAPS, "set") <= MOST_ARENAS + 1 < told(HEAPS, "left")  # the first heap may cross a multiple


def told(program, asked):
    done = subprocess.run([sys.executable, "-c", program, asked], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_heap_small()
