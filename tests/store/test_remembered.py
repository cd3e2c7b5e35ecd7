"""What the window remembers between starts, whatever bytes a path is made of."""

import os
import sys
from pathlib import Path

import pytest

from napari_aln.geometry import Mpp
from napari_aln.store.remembered import Remembered


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_path_that_is_no_text_is_remembered(tmp_path):
    odd = tmp_path / os.fsdecode(b"slide-\xff.svs")
    memory = Remembered(tmp_path / "remembered.json")
    memory.remember_slide(odd)
    memory.remember_bundles([Path("/models/é.alnmodel")])
    again = Remembered(tmp_path / "remembered.json")
    assert again.recent == (odd,)
    assert again.bundles == (Path("/models/é.alnmodel"),)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"recent": 5}'])
def test_a_damaged_memory_counts_as_empty_and_is_written_anew(tmp_path, content):
    path = tmp_path / "remembered.json"
    path.write_bytes(content)
    memory = Remembered(path)
    assert memory.recent == ()
    memory.remember_mpp("hash", Mpp(0.5, 0.25))
    assert Remembered(path).mpp("hash") == (0.5, 0.25)
