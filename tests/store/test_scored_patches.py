"""Patches of a stored result read again: whose they are, and tables that say it wrongly."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_aln.errors import StoreError
from napari_aln.store.scored_patches import runs_of, scored_patches

SIDE = [256.0, 256.0]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes two patches, of these runs, as a result folder's."""

    def write(runs):
        columns = {"x": [0.0, 256.0], "y": [0.0, 0.0], "width": SIDE, "height": SIDE}
        attention = {"attention_slide": [0.5, 1.5], "attention_bag": [0.4, 1.6]}
        table = pa.table({"run": runs, **columns, **attention})
        pq.write_table(table.replace_schema_metadata({"mpp": "[0.5, 0.5]"}), tmp_path / "patches.parquet")
        return tmp_path

    return write


def test_patches_are_told_apart_by_their_run(write):
    folder = write(["dlcnbc", "dlcnbc-ws"])
    assert runs_of(folder) == ["dlcnbc", "dlcnbc-ws"]
    assert scored_patches(folder).run == "dlcnbc-ws"
    assert scored_patches(folder, "dlcnbc").values["attention_slide"].tolist() == [0.5]


def test_a_table_whose_names_are_no_text_is_refused(write):
    folder = write(["dlcnbc", "dlcnbc-ws"])
    path = folder / "patches.parquet"
    path.write_bytes(path.read_bytes().replace(b"attention_bag", b"attention_b\xffg"))
    for read in (runs_of, scored_patches):
        with pytest.raises(StoreError, match="holds no patches"):
            read(folder)


@pytest.mark.parametrize("runs", [[["dlcnbc"], ["dlcnbc"]], [1, 2], [None, None], [b"dlcnbc", b"dlcnbc"]])
def test_runs_that_are_no_names_are_refused(write, runs):
    folder = write(runs)
    for read in (runs_of, scored_patches):
        with pytest.raises(StoreError, match="does not name its runs"):
            read(folder)
