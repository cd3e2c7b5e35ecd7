"""Where arrays lie, in a process of its own: what is set cannot be taken back."""

import ctypes
import subprocess
import sys

import pytest

from napari_aln.heap import MOST_ARENAS, prepare_heaps, return_freed

HOLES = """
import sys
import numpy as np
import psutil
from napari_aln.heap import return_freed

def held():
    return psutil.Process().memory_info().rss / 2**20

pieces = [np.ones(2**16, np.uint8) for _ in range(1600)]  # 100 MiB
stay = pieces[::16]  # in many places, so that none of it is the end of a heap
del pieces
before = held()
if sys.argv[1] == "set":
    assert return_freed()
print(round(before - held()))
"""
ROOM = """
import ctypes, sys
import numpy as np
from napari_aln.heap import LARGE_BYTES, prepare_heaps

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo
if sys.argv[1] == "set":
    assert prepare_heaps()
before = mallinfo2().hblks
picture, larger = np.empty(LARGE_BYTES // 3, np.uint8), np.empty(2 * LARGE_BYTES, np.uint8)
print(mallinfo2().hblks - before)  # that lie outside the heaps
"""
HEAPS = """
import sys, threading
import numpy as np
from napari_aln.heap import prepare_heaps

if sys.argv[1] == "set":
    assert prepare_heaps()
barrier = threading.Barrier(6)

def hold():
    kept = [np.empty(2**17, np.uint8) for _ in range(4)]
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
@pytest.mark.parametrize(("asked", "apart"), [("set", 1), ("left", 2)])
def test_pictures_lie_in_the_heaps_once_asked(asked, apart):
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library does not tell")
    assert told(ROOM, asked) == apart


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_what_is_free_between_things_that_stay_is_given_back():
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library does not give back")
    assert told(HOLES, "left") < 5 < 70 < told(HOLES, "set")  # of 94 MiB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_threads_share_two_heaps_once_asked():
    assert told(HEAPS, "set") <= MOST_ARENAS + 1 < told(HEAPS, "left")  # the first heap may cross a multiple


def told(program, asked):
    done = subprocess.run([sys.executable, "-c", program, asked], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert not prepare_heaps()
    assert not return_freed()
