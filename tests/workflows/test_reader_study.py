"""The reader study: the published table comes out of a work list, and what is exported is safe to open."""

import csv
import json
from dataclasses import replace

import pytest
from tests_shared import drain

from napari_aln.errors import StoreError
from napari_aln.geometry import Mpp, Rect
from napari_aln.records import THREE_CLASSES, Clinical, Level, RunRecord, SlideInfo, SlideResult
from napari_aln.store.result import document_of, write_document
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide, Patient, RunSummary
from napari_aln.workflows.evaluation.reader_study import export_reader_study, performances, reader_cases
from napari_aln.workflows.review.worklist import patient_runs
from napari_aln.workflows.verify import verify


def run(probability, sha="a" * 64, threshold=0.5, mode="dlcnbc-ws"):
    return RunSummary(
        run=mode,
        mode=mode,
        model_name="=cmd|' /C calc'!A0",
        model_sha256=sha,
        card_sha256="c" * 64,
        classes=("N0", "N(+)"),
        probabilities={"N0": 1 - probability, "N(+)": probability},
        bag_spread={"N0": 0.1, "N(+)": 0.1},
        prediction="N(+)" if probability >= threshold else "N0",
        threshold=threshold,
        operating_point="as on the card",
        seed=0,
    )


def cells_of(counts):
    """Return (truth, call) of N(+) for tp, fp, fn, tn."""
    kinds = ((True, True), (False, True), (True, False), (False, False))
    return [kind for kind, n in zip(kinds, counts, strict=True) for _ in range(n)]


LI_READER_A, LI_MODEL = (5, 10, 6, 28), (6, 3, 5, 35)


@pytest.fixture
def li_2023(tmp_path):
    """Reader A and the model of Li et al. 2023, table 3, on its 49 patients; blinded."""
    reader = sorted(cells_of(LI_READER_A))
    model = sorted(cells_of(LI_MODEL))
    with WorkList.create(tmp_path / "li.alnlist", blinded=True) as work_list:
        truths = ["N(+)" if truth else "N0" for truth, _ in reader]
        slides = [NewSlide(tmp_path / f"secret name {i}.svs", f"{i:03}") for i in range(49)]
        work_list.add(slides, [Patient(f"{i:03}", Clinical(), truth) for i, truth in enumerate(truths)])
        for i, (_, positive) in enumerate(model, start=1):
            work_list.record_runs(i, [run(0.8 if positive else 0.3)])
        for i, (_, positive) in enumerate(reader, start=1):
            work_list.store_call(i, "A", "N(+)" if positive else "N0", 0.7)
        yield work_list


def test_table_3_of_li_et_al_comes_out_of_a_work_list(li_2023):
    first, final, model = performances(reader_cases(li_2023))
    assert first.rater == "reader A, first read (blind)"
    assert first.counts == final.counts == LI_READER_A
    assert model.counts == LI_MODEL
    assert round(first.metrics["kappa"].value, 3) == pytest.approx(0.169, abs=0.001)
    assert round(model.metrics["acc"].value, 4) == 0.8367


def test_both_tables_are_written_without_paths_and_names(tmp_path, li_2023):
    table, cases = export_reader_study(li_2023, tmp_path / "out" / "study.csv")
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["n"] for row in rows] == ["49", "49", "49"]
    assert (rows[0]["sensitivity"], rows[0]["kappa"]) == ("0.4545", "0.1695")
    assert (rows[2]["npv"], rows[2]["npv_low"]) == ("0.875", "0.7845")
    with cases.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 49
    assert rows[0]["patient"] == "000"
    assert rows[0]["first_read_blind"] == "yes"
    for path in (table, cases):
        text = path.read_text(encoding="utf-8-sig")
        assert "secret name" not in text
        assert str(tmp_path) not in text


def test_beside_each_table_stands_what_made_it(tmp_path):
    """Of a result whose folder is gone or was used again, what the list knows of it; else all."""
    known = vars(run(0.9)) | {"n_bags": 12, "settings": {"bags": {"seed": 0}}, "clinical_filled": {}}
    known |= {"device": "cpu", "precision": "fp32", "runtime": "torch", "default_map": "attention_slide"}
    known |= {"n_patches": 5, "n_partitions": 3, "bag_probabilities": (), "mpp_used": 0.5, "patch_px": 256}
    known |= {"clinical": None, "norm_statistics": "running", "seconds": {}, "warnings": ()}
    fields = RunRecord.__dataclass_fields__
    asked = RunRecord(**{name: value for name, value in known.items() if name in fields})
    levels = (Level(40, 30, (1.0, 1.0)),)
    placed = {"mpp": Mpp(0.5, 0.5), "mpp_origin": "file", "bounds": Rect(0, 0, 40, 30)}
    info = SlideInfo(
        tmp_path / "doe.svs",
        "aperio",
        "openslide",
        levels,
        **placed,
        background_rgb=(255,) * 3,
        quick_hash="0",
    )
    for name, record in (("kept", asked), ("used again", replace(asked, seed=7))):
        (tmp_path / name).mkdir()
        result = SlideResult(info, "a", (record,))
        write_document(document_of(result, private=True), tmp_path / name)
    with WorkList.create(tmp_path / "doe.alnlist", blinded=True) as work_list:
        work_list.add([NewSlide(tmp_path / f"doe {n}.svs", f"{n}", quick_hash=f"{n}" * 8) for n in range(5)])
        for item, folder in ((1, "kept"), (2, "used again"), (3, "gone"), (4, "kept")):
            work_list.record_runs(item, [RunSummary.of(asked)], tmp_path / folder)
            if item < 4:
                work_list.store_call(item, "R", "N0")
        tables = export_reader_study(work_list, tmp_path / "out" / "study.csv")
    made, of_cases = (json.loads(table.with_name(f"{table.name}.json").read_bytes()) for table in tables)
    assert made == of_cases
    settings = made["settings"]
    assert (settings["readers"], settings["blinded"], settings["classes"]) == (["R"], True, ["N0", "N(+)"])
    assert made["versions"]["napari-aln"]
    assert [slide["slide_quick_hash"] for slide in made["slides"]] == [f"{n}" * 8 for n in range(5)]
    whole, *parts = (slide["runs"][0] for slide in made["slides"][:3])
    assert (whole["mpp"], whole["mpp_origin"]) == ([0.5, 0.5], "file")
    assert (whole["device"], whole["precision"], whole["n_bags"]) == ("cpu", "fp32", asked.n_bags)
    assert whole["settings"] == asked.settings
    for part in (whole, *parts):
        assert (part["model_sha256"], part["card_sha256"], part["seed"]) == (
            asked.model_sha256,
            asked.card_sha256,
            asked.seed,
        )
    assert all("device" not in part for part in parts)
    assert [slide["runs"] for slide in made["slides"][3:]] == [[], []]  # withheld; none there
    assert "doe" not in json.dumps(made)


def test_verify_says_where_the_tables_makers_are_told(tmp_path, li_2023):
    table, _ = export_reader_study(li_2023, tmp_path / "study.csv")
    with pytest.raises(StoreError, match=r"no result of a slide.*stands in study\.csv\.json"):
        drain(verify(table))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\t=1", "'\t'=1"),
        ("＝1", "'＝1"),
        ('seen;=HYPERLINK("x")', 'seen;\'=HYPERLINK("x")'),
        ("first line\n=1+1", "first line\n'=1+1"),
        ("dense, N+ likely - see 2x", "dense, N+ likely - see 2x"),
        ('"quoted", µm 切片', '"quoted", µm 切片'),
    ],
)
def test_text_that_a_spreadsheet_would_compute_is_disarmed(tmp_path, text, written):
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        work_list.add([NewSlide(tmp_path / "a.svs", text)], [Patient(text, Clinical(), "N0")])
        work_list.store_call(1, text, "N0", comment=text)
        _, cases = export_reader_study(work_list, tmp_path / "s.csv")
    with cases.open(encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["first_comment"] == row["patient"] == row["reader"] == written


def test_a_models_name_cannot_become_a_formula_either(tmp_path, li_2023):
    table, _ = export_reader_study(li_2023, tmp_path / "s.csv")
    assert ",=cmd" not in table.read_text(encoding="utf-8-sig").replace(" ", "")
    assert "model DLCNBC-WS,' =cmd" in table.read_text(encoding="utf-8-sig")


def test_what_a_blinded_list_keeps_back_is_not_exported(tmp_path):
    with WorkList.create(tmp_path / "l.alnlist", blinded=True) as work_list:
        slides = [NewSlide(tmp_path / f"{name}.svs", name) for name in "ab"]
        work_list.add(slides, [Patient(name, Clinical(), "N(+)") for name in "ab"])
        for item in (1, 2):
            work_list.record_runs(item, [run(0.987)])
        work_list.store_call(1, "r1", "N(+)")
        work_list.store_call(1, "r2", "N0")
        work_list.store_call(2, "r1", "N0")
        by_case = {(c.case, c.reader_id): c for c in reader_cases(work_list)}
        assert by_case["a", "r1"].runs[0].probabilities["N(+)"] == 0.987
        for reader in ("r1", "r2"):  # r2 has yet to call b: not through r1's rows either
            assert by_case["b", reader].withheld
            assert by_case["b", reader].runs == ()
            assert by_case["b", reader].reference is None
        _, cases = export_reader_study(work_list, tmp_path / "s.csv")
        assert cases.read_text(encoding="utf-8-sig").count("0.987") == 2
        assert work_list.store_call(2, "r2", "N0").model_seen_at is None
        alone = {c.case: c for c in reader_cases(work_list, ["r1"])}
        assert alone["b"].runs


def test_a_patients_reads_are_the_last_made_and_the_first_read_is_kept(tmp_path):
    with WorkList.create(tmp_path / "l.alnlist") as work_list:
        work_list.add(
            [NewSlide(tmp_path / f"{i}.svs", "p") for i in range(2)], [Patient("p", Clinical(), "N(+)")]
        )
        work_list.record_runs(1, [run(0.9)])
        work_list.record_runs(2, [run(0.4)])
        work_list.store_call(2, "r", "N0")
        assert [row.rater for row in performances(reader_cases(work_list))] == []  # slide 1 waits
        work_list.store_call(1, "r", "N0")
        work_list.store_call(2, "r", "N(+)")
        (case,) = reader_cases(work_list)
        assert (case.first.aln_class, case.final.aln_class) == ("N0", "N(+)")
        assert case.runs[0].probabilities["N(+)"] == pytest.approx(0.65)
        first, final, model = performances([case])
        assert first.counts == (0, 0, 1, 0)
        assert final.counts == model.counts == (1, 0, 0, 0)


def test_three_classes_count_as_n_positive_together(tmp_path):
    with WorkList.create(tmp_path / "l.alnlist", classes=THREE_CLASSES) as work_list:
        work_list.add([NewSlide(tmp_path / "a.svs", "p")], [Patient("p", Clinical(), "N+(>2)")])
        work_list.store_call(1, "r", "N+(1-2)")
        assert performances(reader_cases(work_list))[0].counts == (1, 0, 0, 0)


def test_patients_combine_slides_by_mean_at_the_models_own_threshold():
    other = "b" * 64
    runs = patient_runs({1: [run(0.2, threshold=0.3), run(0.1, sha=other)], 2: [run(0.5, threshold=0.3)]})
    assert len(runs) == 2
    assert runs[0].probabilities["N(+)"] == pytest.approx(0.35)
    assert (runs[0].prediction, runs[0].slides, runs[0].slides_agree) == ("N(+)", (1, 2), False)
    assert (runs[1].prediction, runs[1].slides, runs[1].slides_agree) == ("N0", (1,), True)
    assert patient_runs({1: []}) == ()
