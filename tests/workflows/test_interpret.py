"""Nucleus features of N0 and N(+): planted and null ones, what the network weighs, bad cohorts and slides."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu
from shapely.geometry import box, mapping
from tests_shared import MPP, drain, write_slide

from napari_aln.cli import main
from napari_aln.cohort.synthesize import synthesize
from napari_aln.cohort.table import CohortRow, read_cohort, write_cohort
from napari_aln.errors import CohortError, StoreError
from napari_aln.geometry import Mpp
from napari_aln.nuclei import measure, placed, write_nuclei
from napari_aln.nuclei.slide_features import PAPER_FEATURES, SLIDE_FEATURES
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.cohorts import SynthesizeSettings
from napari_aln.settings.interpretation import InterpretSettings
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.slides import open_slide
from napari_aln.store.nuclei import NucleiDocument, write_statement
from napari_aln.store.result import SlideFacts
from napari_aln.workflows.interpretation import feature_bags
from napari_aln.workflows.interpretation.interpret import interpret
from napari_aln.workflows.interpretation.slide_weights import SLIDES_NAME, read_slides

SIDE_PX = 640
SETTINGS = InterpretSettings(epochs=15, bootstraps=100, bins=8, rows=4)
UNKNOWN = {"label": None, "aln_class": None}
SPLITS = ("train",) * 5 + ("val",) * 2 + ("test",) * 3


def draw(path, seed, mpp=MPP):
    rng = np.random.default_rng(seed)
    rgb = np.full((SIDE_PX, SIDE_PX, 3), 235.0)
    rgb[40:600, 40:600] = np.add((215, 140, 190), rng.normal(0, 12, (560, 560, 1)))
    return write_slide(path, rgb.clip(0, 255).astype(np.uint8), mpp)


def planted_table(rng, positive):
    """Ellipses as numbers: N(+) are denser and smaller; their rectangularity is drawn without the label."""
    table = placed(measure(np.zeros((1, 1), np.int32), MPP))
    n = int(rng.normal(260 if positive else 200, 12))
    area = rng.lognormal(np.log(44 if positive else 58), 0.25, n)
    columns = dict.fromkeys(table.columns, 1.0) | {
        "label": np.arange(1, n + 1),
        "x": rng.uniform(0, 512, n),
        "y": rng.uniform(0, 512, n),
        "area_um2": area,
        "circumference_um": 1.05 * np.sqrt(4 * np.pi * area),
        "major_axis_um": np.sqrt(area) * 1.3,
        "minor_axis_um": np.sqrt(area),
        "orientation_rad": rng.uniform(-1.5, 1.5, n),
        "circularity": rng.normal(0.9, 0.03, n),
        "rectangularity": rng.normal(0.78, 0.02, n),
        "on_border": False,
    }
    return table.reindex(range(n)).assign(**columns)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """20 patients with drawn slides and tables of nuclei; return the cohort table and the tables' folder."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "nuclei").mkdir()
    rows = []
    for number in range(20):
        positive, split = number % 2 == 1, SPLITS[number // 2]
        path = draw(folder / f"{number}.tif", number)
        with open_slide(path) as slide:
            slide_hash = slide.info.quick_hash
        table = planted_table(np.random.default_rng([1, number]), positive)
        write_nuclei(table, folder / "nuclei" / f"{number}.parquet", mpp=Mpp(MPP, MPP), slide_hash=slide_hash)
        label = "N(+)" if positive else "N0"
        rows.append(CohortRow(patient_id=f"P{number:02}", slide=path, label=label, split=split))
    write_cohort(folder / "cohort.csv", rows)
    return folder / "cohort.csv", folder / "nuclei"


@pytest.fixture(scope="module")
def done(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("interpreted") / "out"
    table, nuclei = cohort
    return drain(interpret(table, out, SETTINGS, NucleiSettings(), given=nuclei)), out


def copied(cohort, folder, change):
    """Write the cohort's table with its rows changed."""
    write_cohort(folder / "other.csv", change(read_cohort(cohort[0])))
    return folder / "other.csv"


def row_of(done, table, feature):
    record = json.loads((done[1] / "report" / "evaluation.json").read_text(encoding="utf-8"))
    return next(row for row in record["tables"][table] if row["feature"] == feature)


def test_the_table_and_the_report_say_what_made_them(done):
    out = done[1]
    record = json.loads((out / "report" / "evaluation.json").read_text(encoding="utf-8"))
    made_by = json.loads((out / f"{SLIDES_NAME}.json").read_text(encoding="utf-8"))
    assert made_by["input"]["sha256"] == record["inputs"][0]["sha256"]
    for said in (record, made_by):
        hashes = [one["slide_quick_hash"] for one in said["slides"]]
        assert hashes == [one.slide_hash for one in done[0].slides]
        assert {one["mpp_origin"] for one in said["slides"]} == {"file"}
        assert "min_area_um2" in said["nuclei_settings"]
        assert "min_roi_share" in said["patches"]
        assert said["settings"]["seed"] is not None
        assert said["versions"]["scipy"]


def test_planted_features_differ_and_the_null_does_not(done):
    for name, direction in (("area_um2", "lower"), ("density_per_mm2", "higher"), ("minor_axis_um", "lower")):
        row = row_of(done, "features", name)
        assert row["p_adjusted"] < 0.001
        assert (row["superiority"] > 0.5) == (direction == "higher")
    for name in ("rectangularity", "circularity", "orientation_coherence"):
        assert row_of(done, "features", name)["p"] > 0.05
    printed = {row[0]: row for row in done[0].tables[0].rows}
    assert printed["Area"][6] == "lower"
    assert printed["Area"][-1] == "lower, p = 0.024"
    assert printed["Rectangularity"][6] == "–"


def test_p_is_scipys_over_one_value_a_patient(done):
    slides = read_slides(done[1] / SLIDES_NAME)
    values = np.array([[one.value[feature.name] for feature in SLIDE_FEATURES] for one in slides])
    positive = np.array([one.positive for one in slides])
    p = np.array([mannwhitneyu(own[positive], own[~positive]).pvalue for own in values.T])
    told = [row_of(done, "features", feature.name) for feature in SLIDE_FEATURES]
    known = [feature.name not in ("solidity", "eccentricity") for feature in SLIDE_FEATURES]  # all equal: 1
    assert np.allclose(np.array([row["p"] for row in told])[known], p[known], equal_nan=True)
    adjusted = false_discovery_control([row["p"] for row in told])
    assert [row["p_adjusted"] for row in told] == pytest.approx(adjusted.tolist())


def test_weights_are_an_attention_over_the_features_and_the_auc_is_said(done):
    found, out = done
    assert len(found.slides) == 20
    for slide in found.slides:
        assert set(slide.weight) == {feature.name for feature in PAPER_FEATURES}
        assert sum(slide.weight.values()) == pytest.approx(1.0)
        assert 0 <= slide.probability <= 1
    performance = next(table for table in found.tables if table.name == "performance")
    assert [row["n"] for row in performance.numbers] == [10, 4, 6]
    assert performance.numbers[0]["auc"]["value"] > 0.9  # planted by far more than noise
    assert [row["feature"] for row in next(t for t in found.tables if t.name == "weights").numbers]
    assert {path.name for path in out.iterdir()} == {SLIDES_NAME, f"{SLIDES_NAME}.json", "report", "training"}
    report = {path.name for path in (out / "report").iterdir()}
    for stem in ("weights", "weights-heatmap", "features", "roc"):
        assert {f"{stem}.svg", f"{stem}.png"} <= report
    page = (out / "report" / "evaluation.html").read_text(encoding="utf-8")
    assert RESEARCH_NOTICE in page
    assert "no mean that could be compared" in page  # what orientation means here
    assert str(out) not in page


def test_what_is_read_back_is_what_was_found(done, tmp_path):
    found, out = done
    assert read_slides(out / SLIDES_NAME)[3].weight == pytest.approx(found.slides[3].weight)
    other = tmp_path / "scores.csv"
    other.write_text("patient,label,score\na,N0,0.5\n")
    for path in (tmp_path / "missing.csv", other):
        with pytest.raises(StoreError, match="cannot be read as an interpretation"):
            read_slides(path)


def test_the_test_patients_have_no_say_in_ranges_or_weights(cohort, done, tmp_path):
    """Other nuclei on test slides leave every number of the other patients as it is."""
    table, nuclei = cohort
    shutil.copytree(nuclei, tmp_path / "nuclei")
    for number in range(14, 20):
        path = tmp_path / "nuclei" / f"{number}.parquet"
        kept = feature_bags.read_nuclei(path)
        changed = kept.table.assign(area_um2=kept.table["area_um2"] * 7)
        write_nuclei(changed, path, mpp=kept.mpp, slide_hash=kept.slide_hash)
    again = drain(interpret(table, tmp_path / "out", SETTINGS, NucleiSettings(), given=tmp_path / "nuclei"))
    for before, after in zip(done[0].slides[:14], again.slides[:14], strict=True):
        assert after == before
    assert again.slides[15] != done[0].slides[15]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row for row in rows if row.label == "N(+)"], "train split .* no patient who is N0"),
        (lambda rows: rows[:1], r"no patient who is N\(\+\)"),
        (lambda rows: [*rows[:4], rows[4].model_copy(update=UNKNOWN), *rows[5:]], "Patient P04 .* no label"),
        (lambda rows: [row.model_copy(update={"split": None}) for row in rows], "train split"),
    ],
)
def test_a_cohort_that_cannot_tell_two_groups_is_refused(cohort, tmp_path, change, message):
    other = copied(cohort, tmp_path, change)
    with pytest.raises(CohortError, match=message):
        drain(interpret(other, tmp_path / "out", SETTINGS, NucleiSettings(), given=cohort[1]))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_tables_and_a_foreign_folder_are_refused(cohort, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no table of nuclei"):
        drain(interpret(cohort[0], tmp_path / "out", SETTINGS, NucleiSettings(), given=tmp_path / "empty"))
    (tmp_path / "mine" / "report").mkdir(parents=True)
    (tmp_path / "mine" / "report" / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="is not a result of this program"):
        drain(interpret(cohort[0], tmp_path / "mine", SETTINGS, NucleiSettings(), given=cohort[1]))


@pytest.mark.slow
def test_folders_of_measured_nuclei_are_taken_as_they_are(cohort, tmp_path, monkeypatch):
    """As `nuclei measure` writes them, with what was measured, how, and what makes it doubtful."""
    table, nuclei = cohort

    def never(*_arguments, **_named):
        message = "a slide was measured"
        raise AssertionError(message)

    monkeypatch.setattr(feature_bags, "measure_nuclei", never)
    paths, few = [row.slide for row in read_cohort(table)], 0
    for number in range(20):
        kept = feature_bags.read_nuclei(nuclei / f"{number}.parquet")
        part = box(0, 0, 512, 192) if number == 2 else None  # of two patches three quarters, of two nothing
        rows = kept.table if part is None else kept.table[kept.table["y"] < 192]
        few = len(rows) if number == 2 else few
        folder = tmp_path / "nuclei" / f"slide {number}"
        folder.mkdir(parents=True)
        write_nuclei(rows, folder / "nuclei.parquet", mpp=kept.mpp, slide_hash=kept.slide_hash)
        about = stated_nuclei(paths[number], "learned: mine" if number == 4 else "classical", part)
        write_statement(about, folder)
    (tmp_path / "nuclei" / "patients.parquet").write_bytes(b"PAR1")
    found = drain(interpret(table, tmp_path / "out", SETTINGS, NucleiSettings(), given=tmp_path / "nuclei"))
    assert not found.left_out
    assert [one.n_patches for one in found.slides[:4]] == [4, 4, 2, 4]
    measured_mm2 = 512 * 192 * MPP**2 / 1e6  # the drawn glass is none as far as the tissue mask tells
    assert found.slides[2].value["density_per_mm2"] == pytest.approx(few / measured_mm2)
    assert "Nuclei of 20 of 20 slides are from the tables at hand." in found.notes
    assert any("classical (19), learned: mine (1)" in note for note in found.notes)
    assert any(note.startswith("20 of 20 slides are partly out of focus") for note in found.notes)
    # Of other slides, or damaged.
    other = tmp_path / "other"
    other.mkdir()
    write_nuclei(rows, other / "nuclei.parquet", mpp=kept.mpp, slide_hash="0" * 64)
    with pytest.raises(CohortError, match="Of 1 table of nuclei none is of a slide of this cohort"):
        drain(interpret(table, tmp_path / "out", SETTINGS, NucleiSettings(), given=other))
    (tmp_path / "nuclei" / "slide 5" / "nuclei.json").write_text("{}")
    far = stated_nuclei(paths[19], "classical", box(5000, 5000, 5100, 5100))
    write_statement(far, tmp_path / "nuclei" / "slide 19")
    found = drain(interpret(table, tmp_path / "out", SETTINGS, NucleiSettings(), given=tmp_path / "nuclei"))
    assert [one.patient_id for one in found.left_out] == ["P05", "P19"]
    assert "nuclei.json does not fit the schema" in found.left_out[0].reason
    assert "measured elsewhere" in found.left_out[1].reason


def stated_nuclei(path, method, outline):
    with open_slide(path) as opened:
        slide = SlideFacts.of(opened.info, private=True)
    return NucleiDocument(
        created="2026-01-01T00:00:00+00:00",
        versions={},
        alias="slide",
        slide=slide,
        method=method,
        model_sha256="",
        settings={},
        read_mpp=(MPP, MPP),
        what="tissue" if outline is None else "regions",
        outline=None if outline is None else mapping(outline),
        area_mm2=1.0,
        tissue_mm2=1.0,
        n_nuclei=1,
        density_per_mm2=1.0,
        counts={},
        seconds=1.0,
        warnings=("blurred: Some tiles are out of focus.",),
    )


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["napari-aln", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_bad_slides_are_named_and_the_others_done(cohort, tmp_path, monkeypatch, capsys):
    _, nuclei = cohort
    shutil.copytree(nuclei, tmp_path / "nuclei")
    kept = feature_bags.read_nuclei(nuclei / "3.parquet")
    none = tmp_path / "nuclei" / "3.parquet"
    write_nuclei(kept.table.iloc[:0], none, mpp=kept.mpp, slide_hash=kept.slide_hash)
    kept = feature_bags.read_nuclei(nuclei / "4.parquet")
    fine = tmp_path / "nuclei" / "4.parquet"
    write_nuclei(kept.table, fine, mpp=Mpp(0.25, 0.25), slide_hash=kept.slide_hash)
    kept = feature_bags.read_nuclei(nuclei / "6.parquet")
    part = tmp_path / "nuclei" / "6.parquet"
    corner = kept.table[(kept.table["x"] < 256) & (kept.table["y"] < 256)]
    write_nuclei(corner, part, mpp=kept.mpp, slide_hash=kept.slide_hash)
    unknown = draw(tmp_path / "no mpp.tif", 99, mpp=None)

    def change(rows):
        bad = {5: unknown, 7: tmp_path / "gone.tif"}
        return [row.model_copy(update={"slide": bad.get(i, row.slide)}) for i, row in enumerate(rows)]

    arguments = ("--out", tmp_path / "out", "--epochs", 2, "--bootstraps", 100)
    code, said, errors = call(
        *(monkeypatch, capsys, "interpret", copied(cohort, tmp_path, change)),
        *("--nuclei", tmp_path / "nuclei", *arguments),
    )
    assert code == 1
    lines = {line.split(":")[0]: line for line in errors.splitlines()}
    assert "has 0 nuclei in 4 patches: too few" in lines["Patient P03"]
    assert "was measured at 0.25 x 0.25" in lines["Patient P04"]
    assert "does not state a usable µm/px" in lines["Patient P05"]
    assert "no nuclei in 75%" in lines["Patient P06"]
    assert "gone.tif" in lines["Patient P07"]
    assert "Left out: 5 slides." in errors
    assert "Nucleus features of N0 and N(+)" in said
    assert RESEARCH_NOTICE in said
    assert len(read_slides(tmp_path / "out" / SLIDES_NAME)) == 15


def test_options_out_of_bounds_are_refused(cohort, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    code, _, errors = call(monkeypatch, capsys, "interpret", cohort[0], "--out", out, "--bins", 1)
    assert code == 2
    assert "--bins 1" in errors


@pytest.mark.slow
def test_slides_are_measured_once_and_a_cancelled_run_goes_on(tmp_path, monkeypatch):
    """With the program's own segmentation of drawn slides, from the pixels on."""
    drawn = SynthesizeSettings(
        core_width_um=(400, 420), core_length_um=(600, 620), train_share=0.5, val_share=0.25
    )
    table = drain(synthesize(tmp_path / "cohort", 4, 5, drawn))
    rows = sorted(read_cohort(table), key=lambda row: row.is_positive)
    write_cohort(
        tmp_path / "four.csv",
        [row.model_copy(update={"split": ("train", "val")[i % 2]}) for i, row in enumerate(rows)],
    )
    few = SETTINGS.model_copy(update={"patches_per_slide": 2, "epochs": 2})
    measured = []
    really = feature_bags.measure_nuclei

    def counted(slide, *arguments, **named):
        measured.append(slide.info.quick_hash)
        return really(slide, *arguments, **named)

    monkeypatch.setattr(feature_bags, "measure_nuclei", counted)
    work = interpret(tmp_path / "four.csv", tmp_path / "out", few, NucleiSettings())
    for step in work:
        if step.done == 1:
            break
    work.close()
    first = drain(interpret(tmp_path / "four.csv", tmp_path / "out", few, NucleiSettings()))
    assert len(measured) == len(set(measured)) == 4
    assert [one.n_patches for one in first.slides] == [2] * 4
    assert all(20 < one.n_nuclei < 300 for one in first.slides)
    assert all(20 < one.value["area_um2"] < 120 for one in first.slides)
    kept = sorted((tmp_path / "out" / "nuclei").glob("*.json"))
    kept[0].write_text(json.dumps({"warnings": ["not_he: Not H&E as far as colour tells."]}))
    again = drain(interpret(tmp_path / "four.csv", tmp_path / "out", few, NucleiSettings()))
    assert len(measured) == 4
    assert again.slides == first.slides
    assert again.notes[0].startswith("1 of 4 slides are not H&E as far as colour tells")
    other = few.model_copy(update={"seed": 1})
    next(
        step
        for step in interpret(tmp_path / "four.csv", tmp_path / "out", other, NucleiSettings())
        if len(measured) > 4  # other patches
    )


def test_the_table_of_slides_is_one_of_scores(done):
    with (done[1] / SLIDES_NAME).open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0])[:4] == ["patient", "split", "label", "score"]
    assert {line["label"] for line in lines} == {"N0", "N(+)"}
