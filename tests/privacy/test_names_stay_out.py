"""In private mode nothing that is written says who the patient is, whatever the slide says of it."""

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openslide
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
from marked_slides import LABEL_RGB, MARK, write_dicom, write_jpeg, write_ome, write_svs, write_tiff
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from planted import marked_folder, marked_model, marked_roi
from tests_shared import drain, draw_tissue
from written import leaks

from napari_aln import open_slide
from napari_aln.annotations import without_names, write_asap, write_geojson, write_imagescope
from napari_aln.errors import SlideMovedError
from napari_aln.geometry import Mpp
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Region
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.result import alias_of
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide, Patient, RunSummary
from napari_aln.workflows.cohorts.slide_tasks import SlideTask
from napari_aln.workflows.evaluation.reader_study import export_reader_study
from napari_aln.workflows.nuclei.view import open_nuclei, save_nuclei
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.results.gallery import Ranking, ranked
from napari_aln.workflows.review.resume import open_session, save_session
from napari_aln.workflows.review.session import Answered, Review, SessionMaker
from napari_aln.workflows.review.steps import save_patches, save_review
from napari_aln.workflows.slide.prepare import survey

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
CLINICAL = ["--age", "61", "--tumor-size", "2.4", "--er", "+", "--pr", "-", "--her2", "-"]
WRITERS = {
    f"{MARK} 4711.svs": write_svs,
    f"{MARK} 4712.tif": write_tiff,
    f"{MARK} 4713.ome.tif": write_ome,
    f"{MARK} 4714": write_dicom,
    f"{MARK} 4715.jpg": write_jpeg,
}


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Return a folder, named after a patient, of one slide of each format that has room for names."""
    folder = marked_folder(tmp_path_factory.mktemp("slides"))
    rgb = draw_tissue(np.random.default_rng(5))
    for name, write in WRITERS.items():
        write(folder / name, rgb)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory, ws_bundle, roi_bundle):
    """Return both models in a folder and in files named after the patient."""
    folder = marked_folder(tmp_path_factory.mktemp("models"))
    return [marked_model(path, folder, name) for path, name in ((ws_bundle, " ws"), (roi_bundle, " roi"))]


def test_the_slides_do_carry_the_names(marked):
    svs = openslide.OpenSlide(marked / f"{MARK} 4711.svs")
    assert {"label", "macro"} <= set(svs.associated_images)
    assert sum(MARK in value for value in svs.properties.values()) > 10
    (dicom,) = (marked / f"{MARK} 4714").iterdir()
    properties = openslide.OpenSlide(dicom).properties
    assert properties["dicom.PatientName"] == f"{MARK}^Patient"
    for name in WRITERS:
        with open_slide(marked / name) as slide:
            assert slide.info.vendor in ("aperio", "generic-tiff", "ome-tiff", "dicom", "jpeg")


def test_a_cohort_in_private_mode_names_nobody(marked, models, call, tmp_path, capsys):
    lines = [f"{MARK} Jane {n},{name},61,2.4,+,-,-,0.5" for n, name in enumerate(WRITERS)]
    lines.append(f"{MARK} of the past,{MARK} damaged.svs,61,2.4,+,-,-,0.5")
    shutil.copytree(marked, tmp_path / f"{MARK} slides")
    (tmp_path / f"{MARK} slides" / f"{MARK} damaged.svs").write_bytes(b"II*\0 no slide")
    text = "\n".join(["patient_id,slide,age_years,tumor_size_cm,er,pr,her2,mpp", *lines])
    table = tmp_path / f"{MARK} slides" / f"{MARK}.csv"
    table.write_text(text + "\n", encoding="utf-8")
    out = tmp_path / f"{MARK}, Jane" / "out"
    asked = ["--model", models[0], "--partitions", 2, "--private", "--out", out, "--json"]
    assert call("predict", table, *asked) == 1
    results = json.loads(capsys.readouterr().out)["results"]
    assert len(results) == len(WRITERS) + 1
    (tmp_path / "said").mkdir()
    for one in results:  # but for where the user's own folder lies
        one["folder"] = one["folder"] and str(Path(one["folder"]).relative_to(out))
    (tmp_path / "said" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert leaks(tmp_path / "said") == []
    assert len(list(out.glob("*/report.html"))) == len(WRITERS)
    assert leaks(out) == []
    assert leaks(tmp_path / "cache") == []


def test_results_nuclei_and_reports_name_nobody(marked, models, call, tmp_path, capsys):
    slide, roi, out = marked / f"{MARK} 4711.svs", marked_roi(tmp_path), tmp_path / "out"
    asked = ["--model", models[0], "--model", models[1], "--partitions", "2"]
    assert call("predict", slide, *asked, *CLINICAL, "--roi", roi, "--private", "--out", out) == 0
    (place,) = out.iterdir()
    small = tmp_path / "small.geojson"
    for path, right in ((small, 700), (tmp_path / "large.geojson", 1900)):
        ring = f"[[600,450],[{right},450],[{right},1200],[600,1200],[600,450]]"
        path.write_text('{"type": "Polygon", "coordinates": [' + ring + "]}")
    nuclei = ["--method", "classical", "--roi"]
    # Private, as the result is.
    assert call("nuclei", "measure", slide, *nuclei, tmp_path / "large.geojson", "--result", place) == 0
    alone = tmp_path / "out" / "alone"
    assert call("nuclei", "measure", slide, *nuclei, small, "--private", "--out", alone) == 0
    assert call("nuclei", "contrast", place, "--run", "dlcnbc-ws", "--out", out / "contrast") == 0
    with open_slide(slide) as opened:
        info = opened.info
    shown = drain(open_nuclei(info, place / "nuclei.parquet"))
    for suffix in (".csv", ".parquet", ".geojson"):
        drain(save_nuclei(info, shown, out / f"shown{suffix}"))
    assert (place / "nuclei.json").is_file()
    assert leaks(out) == []
    assert MARK not in "".join(capsys.readouterr())


def test_what_the_window_writes_names_nobody(marked, models, tmp_path):
    """Result, patches, annotations, session and reader study, of a review whose names are hidden."""
    bundle, out = open_bundle(models[0]), tmp_path / "out"
    settings = PredictSettings(bags=BagSettings(partitions=2))
    roi = (Region(shapely.box(700, 500, 2100, 1500), f"{MARK} left"),)
    request = Request([bundle], regions=roi, clinical=PATIENT, settings=settings)
    with open_slide(marked / f"{MARK} 4711.svs") as slide:
        info, seen = slide.info, survey(slide)
        result = drain(predict_slide(slide, request, seen))
    drain(save_review(info, [result], {"dlcnbc-ws": bundle.card}, out))
    (record,), scores = result.runs, result.scores["dlcnbc-ws"]
    best, _ = ranked(scores.table, scores.attention_slide, scores, 2)
    ranking = Ranking(
        "attention_slide", "attention", "", (record,), "as run", alias_of(info), info.quick_hash
    )
    drain(save_patches(info, best, ranking, out))
    for write, name in ((write_geojson, "a.geojson"), (write_asap, "b.xml"), (write_imagescope, "c.xml")):
        write(without_names(result.regions), out / name, mpp=info.mpp, slide_hash=info.quick_hash)

    answers = (Answered(request, seen, result),)
    kept = tmp_path / MARK / "nuclei"
    kept.mkdir(parents=True)
    (kept / "nuclei.parquet").write_bytes(b"some nuclei")
    (kept / "nuclei.json").write_text(json.dumps({"n_nuclei": 7}))
    window = {"nuclei": str(kept / "nuclei.parquet"), "tab": "maps"}
    window |= {"folder": str(tmp_path / MARK)}
    given = {"bundles": (bundle,), "chosen": (bundle,), "answers": answers, "window": window}
    given["regions"] = (Region(shapely.box(700, 500, 2100, 1500), f"{MARK} left", f"{MARK} normal"),)
    review = Review(info, seen, **given, hide_names=True, work_list=tmp_path / f"{MARK}.alnlist")
    saved = drain(save_session(SessionMaker(), review, out / "review.alnsession"))

    with WorkList.create(tmp_path / f"{MARK}.alnlist") as work_list:
        listed = NewSlide(info.path, f"{MARK} Jane", quick_hash=info.quick_hash)
        work_list.add([listed], [Patient(f"{MARK} Jane", PATIENT, "N0")])
        (place,) = out.glob("*/result.json")
        work_list.record_runs(1, [RunSummary.of(record)], place.parent)
        work_list.store_call(1, "A", "N(+)", 0.7)
        export_reader_study(work_list, out / "study.csv", private=True)
    assert {path.suffix for path in out.iterdir()} >= {".geojson", ".xml", ".alnsession", ".csv"}
    assert leaks(out) == []

    # The session finds slide and model again by content, wherever they lie beside it and however called.
    beside = tmp_path / "moved"
    beside.mkdir()
    shutil.copy(info.path, beside / "renamed.svs")
    shutil.copy(saved, beside)
    shutil.copy(bundle.path, beside / "model.alnmodel")
    again = drain(open_session(beside / saved.name))
    again.close()
    assert again.slide.info.quick_hash == info.quick_hash
    assert [a.result.runs for a in again.review.answers] == [result.runs]
    assert [one.sha256 for one in again.review.chosen] == [bundle.sha256]
    work_list, nuclei = again.problems  # which belong to it, and what to do
    assert "does not say where its work list lies: open it" in work_list
    assert "open their nuclei.parquet" in nuclei
    assert again.review.window == {"tab": "maps"}
    shutil.copytree(kept, beside / "any name")
    (beside / "others").mkdir()
    (beside / "others" / "nuclei.parquet").touch()
    (beside / "others" / "nuclei.json").write_text(json.dumps({"n_nuclei": 8}))
    again = drain(open_session(beside / saved.name))
    again.close()
    assert again.review.window == {"tab": "maps", "nuclei": str(beside / "any name" / "nuclei.parquet")}
    assert again.problems == (work_list,)
    with pytest.raises(SlideMovedError, match="slide-"):
        drain(open_session(saved))


@pytest.mark.parametrize("hidden", [True, False])
def test_saved_layers_name_their_regions_only_where_names_are_shown(hidden, tmp_path, monkeypatch):
    writers = pytest.importorskip("napari_aln.contributions.writers")
    roi = (Region(shapely.box(0, 0, 9, 9), f"{MARK} left", "tumour ROI"),)
    info = SimpleNamespace(mpp=Mpp(0.5, 0.5), mpp_origin="file", quick_hash="12ab")
    state = SimpleNamespace(hide_names=hidden, regions=roi, slide=SimpleNamespace(info=info))
    monkeypatch.setattr(writers, "_under_review", lambda: state)
    monkeypatch.setattr(writers, "_is_roi", lambda _layer: True)
    writers.write_regions(str(tmp_path / "a.geojson"), [(None, {}, "shapes")])
    assert (leaks(tmp_path) == []) == hidden


def test_causes_of_failures_name_neither_files_nor_patients(tmp_path):
    slide, roi = tmp_path / f"{MARK} 1", tmp_path / f"{MARK} rois" / f"{MARK}.geojson"
    slide.mkdir()
    (slide / f"{MARK}.1.2.dcm").touch()
    task = SlideTask(slide, roi=roi, patient_id=f"{MARK} Jane")
    said = f"{slide} of patient {MARK} Jane: {MARK}.1.2.dcm is cut off; {roi.name} in {roi.parent} not read."
    assert MARK not in task.without_names(said)
    numbered = SlideTask(tmp_path / "a.svs", patient_id="8")
    assert numbered.without_names("Patient 8 has 8 patches.") == "Patient (hidden) has 8 patches."


def test_the_search_finds_what_is_hidden(tmp_path):
    """The test's own eyes: a mark inside a zip, a table, a picture's text, a tag, a drawn label."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inner.txt", f"it is {MARK} " * 50)
    pq.write_table(pa.table({"who": [MARK.lower()] * 500}), tmp_path / "b.parquet", compression="zstd")
    text = PngInfo()
    text.add_text("Comment", f"{MARK} " * 50, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png", pnginfo=text)
    Image.new("RGB", (30, 30), LABEL_RGB).save(tmp_path / "d.png")
    tifffile.imwrite(tmp_path / "e.tif", np.zeros((8, 8), np.uint8), description=MARK)
    (tmp_path / "f.txt").write_text(MARK, encoding="utf-16")
    (tmp_path / MARK).mkdir()
    (tmp_path / "g.txt").write_text("nothing")
    assert {name for name, _ in leaks(tmp_path)} == {
        "a.zip", "b.parquet", "c.png", "d.png", "e.tif", "f.txt", MARK,
    }  # fmt: skip
