"""From dropped files to two result cards, with mouse and keys; the numbers are those of the command line."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from qtpy.QtWidgets import QLabel
from shapely import Polygon
from tests_shared import collect, draw_tissue, write_slide
from typer.testing import CliRunner
from window_hands import real

from napari_aln import open_slide
from napari_aln.annotations.geojson import write_geojson
from napari_aln.cli.app import app
from napari_aln.workflows.demo import BUNDLES, ROI, SLIDE, sample_path
from napari_aln.workflows.predict import predict_slide
from napari_aln.workflows.slide.prepare import survey

DEMO_BUNDLES = [sample_path(name) for name in BUNDLES]
DEMO_PATIENT = {"age": "50", "size": "3.0", "er": "negative", "pr": "negative", "her2": "positive"}
DEMO_FLAGS = ("--age", "50", "--tumor-size", "3", "--er", "-", "--pr", "-", "--her2", "+")
COLUMNS = ("entropy", "attention_logit", "attention_slide", "attention_bag", "contribution", "probability")


def predict_command(tmp_path, slide, bundles, roi, *flags):
    """Run the command with a cache of its own; return result.json, patches and bags as they were written."""
    out = tmp_path / "out"
    models = [part for bundle in bundles for part in ("--model", str(bundle))]
    answer = CliRunner().invoke(
        app, ["predict", str(slide), *models, "--roi", str(roi), "--cache", "off", "--out", str(out), *flags]
    )
    assert answer.exit_code == 0, answer.output
    (place,) = out.iterdir()
    record = json.loads((place / "result.json").read_text(encoding="utf-8"))
    return record, pq.read_table(place / "patches.parquet"), pq.read_table(place / "bags.parquet")


def assert_same_numbers(hands, written) -> None:
    """Compare every number of the window's answers with those that the command wrote, bit for bit."""
    record, patches, bags = written
    assert [run["run"] for run in record["runs"]] == ["dlcnbc", "dlcnbc-ws"]
    for run in record["runs"]:
        answer = hands.state.answers[run["run"]]
        assert answer.record.probabilities == run["probabilities"]
        assert answer.record.bag_spread == run["bag_spread"]
        assert answer.record.bag_probabilities == tuple(map(tuple, run["bag_probabilities"]))
        assert (answer.record.seed, answer.record.mpp_used) == (run["seed"], run["mpp_used"])
        assert answer.record.clinical == run["clinical"]
        rows = np.flatnonzero(np.asarray(patches["run"]) == run["run"])
        for column in COLUMNS:
            ours, theirs = getattr(answer.scores, column), np.asarray(patches[column])[rows]
            assert np.array_equal(ours, theirs), f"{run['run']} {column}"
        in_bags = np.flatnonzero(np.asarray(bags["run"]) == run["run"])
        members = np.concatenate(answer.result.bags[run["run"]].bags)
        assert np.array_equal(members, np.asarray(bags["patch"])[in_bags])
        shown = hands.shown_probabilities()[run["run"]]
        expected = [f"{p:.3f} ± {run['bag_spread'][name]:.3f}" for name, p in run["probabilities"].items()]
        assert shown == expected


def test_the_demo_from_drop_to_two_cards_with_the_commands_numbers(hands, tmp_path):
    hands.open(sample_path(SLIDE))
    hands.load(*DEMO_BUNDLES)
    hands.import_roi(sample_path(ROI))
    hands.fill_patient(**DEMO_PATIENT)
    hands.run("whole-slide")
    hands.run("roi")
    assert list(hands.dock.results.cards) == ["dlcnbc-ws", "dlcnbc"]
    assert hands.part(QLabel, "research_notice").text()
    assert "map" in [layer.name for layer in hands.viewer.layers]
    written = predict_command(tmp_path, sample_path(SLIDE), DEMO_BUNDLES, sample_path(ROI), *DEMO_FLAGS)
    assert_same_numbers(hands, written)


@pytest.mark.slow
def test_a_region_drawn_in_the_window_gives_the_exported_regions_numbers(
    hands, tissue_slide, ws_bundle, roi_bundle, tmp_path
):
    hands.drop(tissue_slide, roi_bundle, ws_bundle)  # all at once
    hands.until(lambda: hands.state.seen is not None and len(hands.state.bundles) == 2)
    hands.fill_patient()
    outline = Polygon([(700, 500), (2100, 520), (2080, 1500), (720, 1450)])
    hands.draw(outline.exterior.coords[:-1])
    drawn = hands.state.regions[0].geometry
    assert drawn.intersection(outline).area > 0.95 * drawn.union(outline).area  # where the mouse was
    hands.run("roi")
    hands.run("whole-slide")
    exported = tmp_path / "drawn.geojson"
    info = hands.state.slide.info
    write_geojson(hands.state.regions, exported, mpp=info.mpp, slide_hash=info.quick_hash)
    flags = ("--age", "52", "--tumor-size", "2.3", "--er", "+", "--pr", "+", "--her2", "-")
    assert_same_numbers(
        hands, predict_command(tmp_path, tissue_slide, [roi_bundle, ws_bundle], exported, *flags)
    )
    with open_slide(tissue_slide) as slide:  # the window has no way of its own to the numbers
        request = hands.state.request("roi", None)
        _, again = collect(predict_slide(slide, request, survey(slide)))
    assert again.runs[0].probabilities == hands.state.answers["dlcnbc"].record.probabilities


def test_real_slides_from_drop_on_the_canvas_to_two_cards(hands, ws_bundle, roi_bundle):
    folder = real("slides/cmu-1-small-region-dicom")  # of DICOM files: one slide
    hands.open(folder, onto=hands.canvas)
    assert hands.dock.slide_card.title.shown_text() == folder.name
    assert hands.viewer.layers["slide"].scale == pytest.approx((0.499, 0.499))
    svs = real("slides/CMU-1-Small-Region.svs")
    hands.open(svs, onto=hands.canvas)
    hands.load(ws_bundle, roi_bundle)
    hands.fill_patient()
    hands.draw([(400, 400), (1800, 400), (1800, 2500), (400, 2500)])
    hands.run("whole-slide")
    hands.run("roi")
    assert len(hands.dock.results.cards) == 2
    assert hands.banner() == ""


def test_a_slide_coarser_than_the_models_says_so_beside_the_numbers(hands, ws_bundle, tmp_path):
    slide = tmp_path / "coarse.tif"
    write_slide(slide, draw_tissue(np.random.default_rng(3)), mpp=0.9)
    hands.open(slide)
    hands.load(ws_bundle)
    hands.fill_patient()
    hands.run("whole-slide")
    (card,) = hands.dock.results.cards.values()
    assert any(text.startswith("The slide has 0.9 µm/px") for text in hands.shown_texts(card))


@pytest.mark.slow
def test_a_bcnb_picture_asks_for_its_pixel_size_and_goes_to_two_cards(hands, ws_bundle, roi_bundle):
    jpeg = real("bcnb/slides/351899.jpg")
    hands.drop(jpeg)
    hands.answer_mpp("1.0")
    hands.until(lambda: hands.state.seen is not None)
    assert hands.state.slide.info.mpp == (1.0, 1.0)
    assert hands.viewer.layers["slide"].scale == pytest.approx((1.0, 1.0))
    hands.load(ws_bundle, roi_bundle)
    hands.fill_patient()
    hands.draw([(300, 300), (2300, 300), (2300, 2600), (300, 2600)])
    hands.run("whole-slide")
    hands.run("roi")
    assert len(hands.dock.results.cards) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own file dialog takes no keys of ours")
def test_files_are_picked_in_a_dialog(hands, tissue_slide, ws_bundle, roi_file):
    def pick(button, path):
        hands.click(button)
        hands.answer_file_dialog(path)

    pick(hands.dock.slide_card.open_button, tissue_slide)
    hands.until(lambda: hands.is_open(tissue_slide))
    pick(hands.dock.models.add_button, ws_bundle)
    hands.until(lambda: len(hands.state.bundles) == 1)
    pick(hands.dock.roi.import_button, roi_file)
    hands.until(lambda: len(hands.state.regions) == 1)
    hands.until(lambda: not hands.review.surveying.is_running)
    assert hands.errors() == []
