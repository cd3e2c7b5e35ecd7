"""The result folder: everything in it, nothing of the file's name in private mode."""

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image
from tests_shared import drain

from napari_aln import open_slide
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical
from napari_aln.store.result import read_document
from napari_aln.workflows.predict import Request, predict_to_folder
from napari_aln.workflows.results.pictures import OUTLINE_RGB

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)


@pytest.fixture
def slide(tissue_slide):
    with open_slide(tissue_slide) as opened:
        yield opened


def write(slide, out, *bundles, regions=None, private=False):
    request = Request([open_bundle(path) for path in bundles], regions=regions, clinical=PATIENT)
    return drain(predict_to_folder(slide, request, out, private=private))


def test_the_result_folder_holds_everything(slide, roi_bundle, ws_bundle, roi_file, tmp_path):
    result, place = write(slide, tmp_path, roi_bundle, ws_bundle, regions=roi_file)
    assert place.name == "case_1"
    names = {p.name for p in place.iterdir()}
    assert {"result.json", "patches.parquet", "regions.geojson", "report.html"} <= names
    document = read_document(place)
    assert document.slide.file == "case 1.tif"
    assert [r.probabilities for r in document.runs] == [r.probabilities for r in result.runs]
    assert document.slide.mpp == (0.5, 0.5)
    assert "Research use only" in document.notice

    patches = pd.read_parquet(place / "patches.parquet")
    ws = patches[patches.run == "dlcnbc-ws"]
    assert ws.probability.between(0, 1).all()
    pixels = tifffile.imread(place / "heatmap-dlcnbc-ws.tif")
    for row in ws.itertuples():  # a patch's value stands on the patch it came from
        assert pixels[0, int(row.y // row.height), int(row.x // row.width)] == np.float32(row.attention_slide)
    assert np.isfinite(pixels[0]).sum() == len(ws)

    report = (place / "report.html").read_text(encoding="utf-8")
    assert "Research use only" in report
    assert "where the model looked, not tumour probability" in report
    assert "case 1" not in report  # a report never names the slide's file
    assert report.count("data:image/png;base64,") == 3  # attention of both runs, and their difference
    assert report.count("data:image/jpeg;base64,") == 1 + 2 * 8  # the slide, and the top patches of both
    for run in ("dlcnbc", "dlcnbc-ws"):
        picture = Image.open(place / f"attention-slide-{run}.png").convert("RGB")
        assert (np.abs(np.asarray(picture, int) - OUTLINE_RGB).sum(axis=2) == 0).any()
    bags = pd.read_parquet(place / "bags.parquet")
    for record in document.runs:
        of_run = bags[bags.run == record.run]
        assert of_run.bag.nunique() == record.n_bags == len(record.bag_probabilities)
        assert of_run.patch.max() < record.n_patches


def test_private_mode_names_nobody(slide, roi_bundle, tmp_path):
    roi = tmp_path / "SMITH_JANE.geojson"  # self-crossing and over the edge, so that warnings speak of it
    ring = [[700, 500], [2100, 1500], [2100, 500], [700, 1500], [700, 500]]
    feature = {"type": "Polygon", "coordinates": [ring]}
    wide = {"type": "Polygon", "coordinates": [[[2000, 500], [9000, 500], [9000, 900], [2000, 500]]]}
    features = [
        {"type": "Feature", "geometry": g, "properties": {"name": "JANE, left breast"}}
        for g in (feature, wide)
    ]
    roi.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    _, place = write(slide, tmp_path / "out", roi_bundle, regions=roi, private=True)
    assert place.name.startswith("slide-")
    assert read_document(place).warnings
    for path in place.iterdir():
        for name in (b"case 1", b"SMITH", b"JANE", str(tmp_path).encode()):
            assert name not in path.read_bytes()


def test_the_document_is_plain_json(slide, ws_bundle, tmp_path):
    _, place = write(slide, tmp_path, ws_bundle)
    raw = json.loads((place / "result.json").read_text(encoding="utf-8"))
    assert raw["runs"][0]["mode"] == "dlcnbc-ws"
    assert raw["runs"][0]["model_sha256"] == open_bundle(ws_bundle).sha256
    assert raw["schema_version"] == 1


def test_every_file_says_what_made_it(slide, ws_bundle, roi_file, tmp_path):
    """Carried away alone, each file still names slide, model, settings and program."""
    _, place = write(slide, tmp_path, ws_bundle, regions=roi_file)
    bundle, own = open_bundle(ws_bundle), slide.info.quick_hash
    said = {
        name: json.loads(pq.read_schema(place / name).metadata[b"made_by"])
        for name in ("patches.parquet", "bags.parquet")
    }
    with tifffile.TiffFile(place / "heatmap-dlcnbc-ws.tif") as tiff:
        image = ElementTree.fromstring(tiff.ome_metadata).find("./{*}Image/{*}Description")
        said["heatmap"] = json.loads(image.text)
    pictures = list(place.glob("*.png"))
    assert pictures
    said |= {path.name: json.loads(Image.open(path).text["Description"]) for path in pictures}
    for name, facts in said.items():
        run = facts["runs"]["dlcnbc-ws"]
        assert facts["slide_quick_hash"] == own, name
        assert (facts["mpp"], facts["mpp_origin"]) == ([0.5, 0.5], "file")
        assert (run["model_sha256"], run["card_sha256"]) == (bundle.sha256, bundle.card_sha256)
        assert (run["seed"], run["precision"], run["device"]) == (0, "fp32", "cpu")
        assert run["settings"]["patches"]["min_roi_share"] > 0
        assert run["n_bags"] > 0
        assert facts["versions"]["numpy"] == np.__version__
        assert facts["machine"]["processor"]
        assert "Research use only" in facts["notice"]
    report = (place / "report.html").read_text(encoding="utf-8")
    assert all(text in report for text in (own, bundle.sha256, np.__version__))
    assert json.loads((place / "regions.geojson").read_text())["napari_aln"]["slide_hash"] == own
    document = read_document(place)
    assert {"python", "numpy", "napari-aln"} <= set(document.versions)
    assert document.machine["processor"]
