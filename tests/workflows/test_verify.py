"""A result run again: equal to the last digit, and every kind of change is found and named."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests_shared import drain, draw_tissue, write_slide

from napari_aln import open_slide
from napari_aln.errors import BundleError, SlideError, StoreError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.card import BF16_LIMIT
from napari_aln.records import Clinical
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.packed_result import pack_result
from napari_aln.store.stored_result import read_stored
from napari_aln.workflows.predict import Request, predict_slide, predict_to_folder
from napari_aln.workflows.results.agreement import tolerance_of
from napari_aln.workflows.slide.networks import ReadyNetworks
from napari_aln.workflows.slide.prepare import survey
from napari_aln.workflows.sources import sha256_of
from napari_aln.workflows.verify import verify

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=None, her2=False)
SETTINGS = PredictSettings(fill_clinical=True, bags=BagSettings(seed=7, partitions=5))


@pytest.fixture(scope="module")
def networks():
    """Return networks that are made ready once for all tests."""
    return ReadyNetworks()


@pytest.fixture(scope="module")
def pristine(tissue_slide, roi_bundle, ws_bundle, roi_file, tmp_path_factory, networks):
    """Return the folder of a result of two runs with values that are no defaults; nobody changes it."""
    bundles = [open_bundle(roi_bundle), open_bundle(ws_bundle)]
    request = Request(bundles, roi_file, clinical=PATIENT, settings=SETTINGS, networks=networks)
    with open_slide(tissue_slide) as slide:
        return drain(predict_to_folder(slide, request, tmp_path_factory.mktemp("out")))[1]


@pytest.fixture
def folder(pristine, tmp_path):
    """Return a copy of that result, to be changed."""
    return shutil.copytree(pristine, tmp_path / "result")


@pytest.fixture
def again(tissue_slide, roi_bundle, networks):
    """Return `verify` with the slide named and the models looked for by hash in their folder."""

    def run(place, **asked):
        asked = {"slide": tissue_slide, "models": [roi_bundle.parent], "networks": networks} | asked
        return drain(verify(place, **asked))

    return run


def edited(folder, change):
    path = folder / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def differing(found):
    return {(check.run, check.what) for check in found.checks if not check.agrees}


def test_a_result_comes_out_again_to_the_last_digit(pristine, again, tissue_slide):
    found = again(pristine, full_hash=True)
    assert found.equal
    assert {t.probability for t in found.tolerances.values()} == {0.0}
    compared = {check.what for check in found.checks if check.run == "dlcnbc"}
    assert {"patches", "bags", "probability N(+)", "decision", "contribution", "attention_slide"} <= compared
    assert all(not check.difference for check in found.checks)
    assert found.full_hash == (sha256_of(tissue_slide)[0], 1)
    assert not found.notes


def test_a_packed_result_is_verified_too(tissue_slide, ws_bundle, again, networks, tmp_path):
    request = Request([open_bundle(ws_bundle)], clinical=PATIENT, settings=SETTINGS, networks=networks)
    with open_slide(tissue_slide, mpp=0.6) as slide:  # given by the user: the packed result says so
        result = drain(predict_slide(slide, request, survey(slide)))
    packed = tmp_path / "one.alnresult"
    packed.write_bytes(pack_result(result))
    assert again(packed).equal
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(StoreError, match="damaged"):
        again(packed)


def test_numbers_changed_by_hand_are_named(folder, again):
    def change(document):
        run = document["runs"][1]
        run["probabilities"]["N(+)"] += 1e-9
        run["prediction"] = "N0" if run["prediction"] == "N(+)" else "N(+)"

    edited(folder, change)
    found = again(folder)
    assert differing(found) == {("dlcnbc-ws", "probability N(+)"), ("dlcnbc-ws", "decision")}
    reason = next(check.reason for check in found.checks if not check.agrees)
    assert "changed after it was written" in reason


def test_a_changed_patch_value_and_a_lost_patch_are_found(folder, again):
    path = folder / "patches.parquet"
    table = pq.read_table(path).to_pydict()
    last = len(table["run"]) - 1
    table["contribution"][last] += 1e-6
    pq.write_table(pa.table(table), path)
    assert differing(again(folder)) == {("dlcnbc-ws", "contribution")}
    pq.write_table(pa.table({name: column[:last] for name, column in table.items()}), path)
    found = again(folder)
    assert ("dlcnbc-ws", "patches") in differing(found)
    reason = next(check.reason for check in found.checks if check.what == "patches" and not check.agrees)
    assert "0 patches gone, 1 new" in reason


def test_another_seed_or_region_gives_other_bags_or_patches(folder, again):
    edited(folder, lambda document: document["runs"][1]["settings"]["bags"].update(seed=8))
    found = again(folder)
    assert ("dlcnbc-ws", "bags") in differing(found)
    assert not {what for run, what in differing(found) if run == "dlcnbc"}
    regions = folder / "regions.geojson"
    regions.write_text(regions.read_text().replace("2100.0", "1700.0"))
    found = again(folder)
    assert ("dlcnbc", "patches") in differing(found)


def test_fp32_of_another_runtime_is_within_tolerance(tissue_slide, ws_bundle, again, networks, tmp_path):
    """Made by torch; said to be of a device that is not here, so that what there is runs it again."""
    engine = EngineSettings(runtime="torch", precision="fp32")
    request = Request(
        [open_bundle(ws_bundle)], clinical=PATIENT, settings=SETTINGS.model_copy(update={"engine": engine})
    )
    with open_slide(tissue_slide) as slide:
        place = drain(predict_to_folder(slide, request, tmp_path / "out"))[1]
    edited(place, lambda document: document["runs"][0].update(runtime="openvino", device="cuda"))
    found = again(place)
    assert found.equal
    assert "fp32 rounding" in found.tolerances["dlcnbc-ws"].why
    assert "which is not here" in found.notes[0]
    edited(place, lambda document: document["runs"][0]["probabilities"].update({"N(+)": 0.0, "N0": 1.0}))
    assert differing(again(place)) >= {("dlcnbc-ws", "probability N(+)")}


def test_the_tolerance_says_why_it_is_not_zero(pristine):
    stored = read_stored(pristine)
    record = stored.runs[0].record
    as_it_was = tolerance_of(record, record, stored.versions, stored.machine)
    assert (as_it_was.probability, as_it_was.value) == (0, 0)
    older = tolerance_of(record, record, stored.versions | {"numpy": "1.0"}, stored.machine)
    assert "numpy 1.0 then" in older.why
    assert 0 < older.probability < BF16_LIMIT
    elsewhere = tolerance_of(record, record, stored.versions, stored.machine | {"processor": "another"})
    assert "another processor" in elsewhere.why
    coarse = replace(record, precision="bf16")
    assert tolerance_of(coarse, record, stored.versions, stored.machine).probability == BF16_LIMIT


def test_another_card_is_noted(pristine, make_bundle, again):
    bundles = [make_bundle("dlcnbc", seed=1), make_bundle("dlcnbc-ws", name="renamed since")]
    found = again(pristine, models=bundles)
    assert found.equal
    assert "card is not the one that was used" in found.notes[0]


class TestWhatIsMissing:
    def test_another_slide(self, pristine, again, tmp_path):
        other = write_slide(tmp_path / "other.tif", draw_tissue(np.random.default_rng(9)))
        with pytest.raises(SlideError, match="another slide"):
            again(pristine, slide=other)
        with pytest.raises(SlideError, match=r"not found below .* --slide"):
            again(pristine, slide=tmp_path)

    def test_a_slide_found_by_its_content_under_another_name(self, pristine, tissue_slide, again, tmp_path):
        (tmp_path / "deep").mkdir()
        shutil.copy(tissue_slide, tmp_path / "deep" / "renamed.tif")
        (tmp_path / "deep" / "broken.tif").write_bytes(b"II*\0 no slide")
        assert again(pristine, slide=tmp_path).equal

    def test_no_slide_anywhere(self, pristine, again, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SlideError, match="--slide"):
            again(pristine, slide=None)

    def test_no_model(self, pristine, again, ws_bundle, tmp_path):
        with pytest.raises(UsageError, match=r"not found among those given.*--model"):
            again(pristine, models=[ws_bundle])
        with pytest.raises(BundleError):
            again(pristine, models=[tmp_path / "none.alnmodel"])

    def test_no_result(self, again, tmp_path, folder):
        (tmp_path / "empty").mkdir()
        with pytest.raises(StoreError, match="no finished result"):
            again(tmp_path / "empty")
        with pytest.raises(StoreError, match="cannot be read"):
            again(tmp_path / "none")
        (folder / "bags.parquet").unlink()
        with pytest.raises(StoreError, match=r"bags\.parquet"):
            again(folder)

    def test_a_folder_of_results_names_one_of_them(self, again, folder):
        with pytest.raises(StoreError, match="no result itself: it holds 1 result") as caught:
            again(folder.parent)
        assert str(folder) in caught.value.next_step

    def test_settings_that_cannot_be(self, folder, again):
        edited(folder, lambda document: document["runs"][0]["settings"]["bags"].update(partitions=-3))
        with pytest.raises(StoreError, match="partitions"):
            again(folder)


def test_the_hash_of_a_folder_does_not_depend_on_names(tmp_path):
    for name, files in (("a", ("1.dcm", "2.dcm")), ("b", ("x.dcm", "w.dcm"))):
        (tmp_path / name).mkdir()
        for content, file in zip((b"first", b"second"), files, strict=True):
            (tmp_path / name / file).write_bytes(content)
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")
    assert sha256_of(tmp_path / "a")[1] == 2
    (tmp_path / "b" / "w.dcm").write_bytes(b"third")
    assert sha256_of(tmp_path / "a") != sha256_of(tmp_path / "b")
