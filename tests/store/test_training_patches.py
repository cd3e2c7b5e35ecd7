"""Patches on disk: whole or not there, read one by one, gone ones told."""

import errno

import numpy as np
import pytest

from napari_aln.errors import StoreError
from napari_aln.store.training_patches import PatchStore, new_patches, stored_patches

SIDE_PX = 5


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def write(folder, pixels, error=None):
    with new_patches(folder, SIDE_PX, {"stain": [1.5]}) as add:
        add(np.arange(4), pixels[:4])
        add(np.arange(10, 13), pixels[4:])
        if error:
            raise error


def test_patches_come_back_in_any_order_with_what_was_kept_along(tmp_path, pixels):
    folder = PatchStore(tmp_path).folder({"slide": "a"})
    assert stored_patches(folder, SIDE_PX) is None
    write(folder, pixels)
    found = stored_patches(folder, SIDE_PX)
    assert found.cell.tolist() == [0, 1, 2, 3, 10, 11, 12]
    assert found.facts == {"stain": [1.5]}
    np.testing.assert_array_equal(found.take(np.array([6, 0, 0])), pixels[[6, 0, 0]])
    assert len(found.take(np.zeros(0, np.int64))) == 0


def test_keys_that_differ_have_folders_of_their_own(tmp_path):
    store = PatchStore(tmp_path)
    folders = [store.folder(key) for key in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})]
    assert folders[0] == folders[1] != folders[2]


def test_what_was_cut_off_or_damaged_is_not_there(tmp_path, pixels):
    folder = tmp_path / "entry"
    with pytest.raises(KeyError):
        write(folder, pixels, KeyError())
    assert list(tmp_path.iterdir()) == []
    write(folder, pixels)
    (folder / "pixels.u8").write_bytes(b"x")
    assert stored_patches(folder, SIDE_PX) is None
    write(folder, pixels)
    assert len(stored_patches(folder, SIDE_PX)) == 7
    assert stored_patches(folder, SIDE_PX + 1) is None
    (folder / "patches.json").write_text("[]")
    assert stored_patches(folder, SIDE_PX) is None


def test_of_two_processes_that_write_the_same_the_first_stays(tmp_path, pixels):
    folder = tmp_path / "entry"
    with new_patches(folder, SIDE_PX, {}) as add:
        add(np.arange(7), pixels)
        write(folder, pixels)
        first = (folder / "pixels.u8").stat()
    assert (folder / "pixels.u8").stat().st_ino == first.st_ino
    assert [item.name for item in tmp_path.iterdir()] == ["entry"]


def test_gone_patches_and_a_full_disk_are_told(tmp_path, pixels):
    folder = tmp_path / "entry"
    write(folder, pixels)
    found = stored_patches(folder, SIDE_PX)
    (folder / "pixels.u8").unlink()
    with pytest.raises(StoreError, match=r"pixels\.u8 cannot be read.*again"):
        found.take(np.arange(2))
    with pytest.raises(StoreError, match="The disk is full"):
        write(tmp_path / "other", pixels, OSError(errno.ENOSPC, "No space left on device"))
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="have not"):
        write(folder, pixels[:5])
