"""A nucleus model may lie in anybody's folder: what is written names model and hash, never its path."""

import json
import shutil

import numpy as np
import pytest
from marked_slides import MARK
from planted import marked_folder, marked_model
from tests_shared import drain, draw_tissue, write_slide
from written import leaks

from napari_aln import open_slide
from napari_aln.nuclei.bundle import open_nucleus_bundle
from napari_aln.nuclei.labelled_folder import TABLE_NAME
from napari_aln.nuclei.located import LocatedNuclei
from napari_aln.nuclei.segmentation import MODEL_NAME
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.shipped import sample_path
from napari_aln.store.nuclei import read_statement, write_statement
from napari_aln.store.result import NUCLEI_JSON
from napari_aln.workflows.nuclei.folder import NucleiRequest, write_measured
from napari_aln.workflows.nuclei.measure import measure_nuclei
from napari_aln.workflows.nuclei.report_section import keep_nuclei
from napari_aln.workflows.nuclei.view import SlideNuclei, open_nuclei, save_nuclei
from napari_aln.workflows.training.nucleus_examples import nucleus_examples


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return marked_model(sample_path(MODEL_NAME), marked_folder(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def slide_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides") / MARK
    folder.mkdir()
    return write_slide(folder / f"{MARK} 1.tif", draw_tissue(np.random.default_rng(8))[500:1060, 700:1260])


def without_what_it_ran_on(folder):
    """Leave in ``nuclei.json`` what version 1 wrote."""
    path = folder / NUCLEI_JSON
    statement = json.loads(path.read_bytes())
    for name in ("runtime", "device", "precision", "machine"):
        del statement[name]
    path.write_text(json.dumps(statement))


def test_tables_of_nuclei_name_no_model_file(model, slide_file, tmp_path):
    settings = NucleiSettings(method=str(model))
    out, again, named = tmp_path / "out", tmp_path / "out" / "again", tmp_path / "named"
    for folder in (out, again, named):
        folder.mkdir()
    with open_slide(slide_file) as slide:
        info = slide.info
        measured = drain(measure_nuclei(slide, settings))
        write_measured(slide, measured, NucleiRequest(settings, private=True), out)
    with open_slide(shutil.copy(slide_file, named / "slide.tif")) as slide:
        write_measured(slide, measured, NucleiRequest(settings), named)
    assert read_statement(named).slide.file == "slide.tif"
    assert leaks(named) == []  # where names are shown, a model's path is not
    nuclei = LocatedNuclei(measured.table, measured.mpp, measured.outlines)
    for name in ("view.parquet", "view.csv", "view.geojson"):
        drain(save_nuclei(info, SlideNuclei(nuclei, "", found_by=measured.found_by), out / name))
    card = open_nucleus_bundle(model).card
    about = read_statement(out)
    assert (about.settings["method"], about.model_sha256) == (f"learned: {card.name}", card.weights_sha256)
    from_view = json.loads((out / "view.csv.json").read_bytes())["nuclei"]
    assert from_view["settings"] == about.settings
    for name in ("runtime", "device", "precision", "machine"):  # as a result's runs name it
        assert from_view[name] == getattr(about, name)
    assert (about.runtime, about.device, about.precision) == measured.ran_on
    assert about.runtime == "torch"
    assert about.machine["processor"]
    assert leaks(out) == []
    # What an earlier version wrote is not passed on.
    ran_on = dict.fromkeys(("runtime", "device", "precision"), "") | {"machine": {}, "schema_version": 1}
    about = about.model_copy(update=ran_on)
    write_statement(about.model_copy(update={"settings": about.settings | {"method": str(model)}}), out)
    without_what_it_ran_on(out)
    assert leaks(out) == [("nuclei.json", "its bytes")]
    opened = drain(open_nuclei(info, out / "nuclei.parquet"))
    drain(save_nuclei(info, opened, again / "nuclei.csv"))
    keep_nuclei(out, again, info.quick_hash)
    assert read_statement(again) == about
    assert leaks(again) == []


def test_examples_say_what_made_them_and_name_nobody(model, slide_file, tmp_path):
    n = drain(nucleus_examples(tmp_path / "made", 1, 3, [slide_file], str(model)))
    about = json.loads((tmp_path / "made" / f"{TABLE_NAME}.json").read_bytes())
    card = open_nucleus_bundle(model).card
    with open_slide(slide_file) as slide:
        info = slide.info
    assert about["model_sha256"] == card.weights_sha256
    assert about["settings"]["method"] == f"learned: {card.name}"
    assert (about["settings"]["seed"], about["settings"]["pictures"]) == (3, 1)
    assert about["versions"]["napari-aln"]
    (first,) = about["slides"]
    assert (first["pictures"], first["n_pictures"]) == ("slide-1-*", 1)
    assert (tmp_path / "made" / "self-labelled" / "slide-1-0001_labels.png").is_file()
    assert n == 2
    assert (first["slide_quick_hash"], first["mpp"]) == (info.quick_hash, list(info.mpp))
    assert first["mpp_origin"] == info.mpp_origin
    assert leaks(tmp_path) == []
