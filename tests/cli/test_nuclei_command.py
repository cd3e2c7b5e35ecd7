"""``napari-aln nuclei``: what it writes, and what it refuses in one line."""

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from refusals import refused
from tests_shared import SLIDE_SIZE_PX, draw_tissue, write_slide

from napari_aln.store.nuclei import FILES


@pytest.fixture
def call(call):
    return partial(call, "nuclei")


@pytest.fixture
def small_roi(tmp_path):
    path = tmp_path / "roi.geojson"
    path.write_text(
        '{"type": "Polygon", "coordinates": [[[700,500],[900,500],[900,700],[700,700],[700,500]]]}'
    )
    return path


def test_measure_writes_its_files_and_says_how_many(call, tissue_slide, small_roi, tmp_path):
    out = tmp_path / "out"
    code, said, _ = call(
        "measure", tissue_slide, "--roi", small_roi, "--method", "classical", "--patch-um", 50, "--out", out
    )
    assert code == 0
    assert {path.name for path in out.iterdir()} == set(FILES)
    about = json.loads((out / "nuclei.json").read_text(encoding="utf-8"))
    assert f"{about['n_nuclei']} nuclei" in said
    assert "Research use only" in said
    assert (about["method"], about["settings"]["patch_um"], about["slide"]["file"]) == (
        "classical",
        50,
        "case 1.tif",
    )


def test_measure_in_private_mode_says_no_name(call, tissue_slide, small_roi, tmp_path):
    code, said, _ = call("measure", tissue_slide, "--roi", small_roi, "--private", "--out", tmp_path / "out")
    assert code == 0
    assert "case 1" not in said
    assert json.loads((tmp_path / "out" / "nuclei.json").read_text())["slide"]["file"] is None


def test_measure_asks_for_one_place_to_write_to(call, tissue_slide, tmp_path):
    refused(call("measure", tissue_slide), "--out", "--result")
    refused(call("measure", tissue_slide, "--out", tmp_path, "--result", tmp_path), "--out", "--result")
    refused(call("measure", tissue_slide, "--result", tmp_path), "no finished result")


def test_measure_refuses_bad_input(call, tissue_slide, tmp_path):
    out = ["--out", tmp_path / "out"]
    refused(call("measure", tissue_slide, "--method", "no such", *out), "no such", "classical")
    refused(call("measure", tissue_slide, "--min-area-um2", 50, "--max-area-um2", 20, *out), "50")
    refused(call("measure", tmp_path / "none.svs", *out), "none.svs")
    unscaled = write_slide(tmp_path / "unscaled.tif", draw_tissue(np.random.default_rng(0)), mpp=None)
    refused(call("measure", unscaled, *out), "µm/px", "--mpp")


def test_measure_takes_labels_of_the_slides_size_only(call, tissue_slide, tmp_path):
    labels = np.zeros(SLIDE_SIZE_PX[::-1], np.uint16)
    labels[600:620, 700:730], labels[900:915, 700:720] = 5, 6
    files = {name: tmp_path / name for name in ("labels.png", "small.png", "colour.png", "broken.png")}
    Image.fromarray(labels).save(files["labels.png"])
    Image.fromarray(labels[:100]).save(files["small.png"])
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(files["colour.png"])
    files["broken.png"].write_bytes(b"no picture")
    out = tmp_path / "out"
    code, said, _ = call("measure", tissue_slide, "--labels", files["labels.png"], "--out", out)
    assert code == 0
    assert "2 nuclei" in said
    refused(
        call("measure", tissue_slide, "--labels", files["small.png"], "--out", out),
        "3000 x 100 px",
        "3000 x 2200 px",
    )
    refused(call("measure", tissue_slide, "--labels", files["colour.png"], "--out", out), "colour.png")
    refused(call("measure", tissue_slide, "--labels", files["broken.png"], "--out", out), "broken.png")


def test_contrast_refuses_what_is_no_result(call, tmp_path):
    arguments = ("contrast", tmp_path, "--out", tmp_path / "out")
    refused(call(*arguments), "no finished result", "that `napari-aln predict` wrote")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text("{}")
    refused(call(*arguments), "holds 2 results", str(tmp_path / "a"))
    refused(call("measure", "a.svs", "--result", tmp_path), "holds 2 results", str(tmp_path / "a"))
