"""A head on frozen features, end to end on a tiny synthetic cohort: what it writes, and what it refuses."""

import shutil

import numpy as np
import pytest
from tests_shared import collect, drain

import napari_aln
from napari_aln.cohort.table import read_cohort, write_cohort
from napari_aln.errors import BundleError, CohortError, StoreError, UsageError
from napari_aln.mil.bundle import open_bundle, save_bundle
from napari_aln.mil.card import PrecisionCheck
from napari_aln.settings.training import RecipeSettings
from napari_aln.store.training_features import TrainingStore
from napari_aln.workflows.evaluation.score_table import read_scores
from napari_aln.workflows.training.bundle import Order
from napari_aln.workflows.training.epochs import EpochProgress
from napari_aln.workflows.training.find_tumour import NAMES
from napari_aln.workflows.training.measure_model import Checked
from napari_aln.workflows.training.train_frozen import train_frozen


@pytest.fixture(scope="module")
def table(tiny_cohort):
    return tiny_cohort


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return TrainingStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def recipe(ws_bundle):
    return RecipeSettings(encoder_from=ws_bundle, epochs=3, bags_per_epoch=2)


@pytest.fixture(scope="module")
def trained(table, store, recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "ws.alnmodel"
    return collect(train_frozen(table, "dlcnbc-ws", path, recipe, store))


def test_the_card_is_whole_and_scores_lie_beside(trained, table):
    seen, result = trained
    card = open_bundle(result.bundle.path).card
    assert (card.mode, card.pool, card.pooling, card.classes) == (
        "dlcnbc-ws",
        "gap",
        "attention",
        ("N0", "N(+)"),
    )
    assert [t.operating_point for t in card.thresholds] == ["Youden", "0.5", "SENS ≥ 0.9"]
    assert [t.chosen_on for t in card.thresholds] == ["validation", "convention", "validation"]
    assert card.temperature == result.fitted.temperature
    assert card.training_cohort.n_per_class == {"N0": 2, "N(+)": 2}
    assert card.training_cohort.stain is not None
    assert card.clinical is not None
    metrics = {(m.name, m.cohort): m for m in card.metrics}
    assert {("AUC", "test"), ("SENS", "test"), ("AUC", "validation")} <= set(metrics)
    auc = metrics["AUC", "test"]
    assert auc.n == 2
    assert auc.low <= auc.value <= auc.high
    assert card.precision_check.n_patches > 0
    gains = [one.gain for one in card.map_faithfulness]
    assert card.map_faithfulness[0].name == card.default_map
    assert gains == sorted(gains, reverse=True)
    assert {one.n for one in card.map_faithfulness} == {4}
    assert not result.left_out
    assert not result.remarks
    epochs = [step for step in seen if isinstance(step, EpochProgress)]
    assert [step.done for step in epochs] == [1, 2, 3]
    lines = (result.folder / "metrics.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "epoch,loss,validation_auc,validation_loss,learning_rate,training_auc"
    assert float(lines[2].split(",")[2]) == epochs[1].validation_auc
    scored = read_scores(result.folder / "scores.csv", "ours")
    assert (len(scored), scored.cohorts) == (4, ("val", "test"))
    rows = {row.patient_id: row for row in read_cohort(table)}
    assert scored.columns["er"] == tuple(rows[patient].er for patient in scored.patients)
    assert [float(cell) for cell in scored.columns["tumor_size_cm"]] == [
        rows[patient].tumor_size_cm for patient in scored.patients
    ]
    assert not (result.folder / "checkpoint.pt").exists()


def test_the_scores_are_those_of_predict(trained, table, tmp_path):
    _, result = trained
    exact = result.bundle.card.model_copy(update={"precision_check": PrecisionCheck()})  # so not in bf16
    bundle = save_bundle(exact, result.bundle.tensors, tmp_path / "exact.alnmodel")
    scored = read_scores(result.folder / "scores.csv", "ours")
    rows = {row.patient_id: row for row in read_cohort(table)}
    for patient, score in zip(scored.patients, scored.positive_scores, strict=True):
        row = rows[patient]
        with napari_aln.open_slide(row.slide) as slide:
            run = napari_aln.predict(slide, bundle, clinical=row.clinical).runs[0]
        assert run.probabilities["N(+)"] == pytest.approx(score, abs=1e-6)


def test_the_second_training_reads_no_patch_and_gives_the_same_weights(
    trained, table, store, recipe, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_aln.workflows.slide.extract.decoded", None)
    monkeypatch.setattr("napari_aln.workflows.training.bundle.checked_on", _unchecked)
    again = drain(train_frozen(table, "dlcnbc-ws", tmp_path / "m.alnmodel", recipe, store))
    assert again.bundle.sha256 == trained[1].bundle.sha256
    other = recipe.model_copy(update={"seed": 1})
    assert (
        drain(train_frozen(table, "dlcnbc-ws", tmp_path / "o.alnmodel", other, store)).bundle.sha256
        != again.bundle.sha256
    )


def test_a_finished_model_is_replaced_only_on_request(trained, table, recipe, tmp_path):
    path = trained[1].bundle.path
    other = recipe.model_copy(update={"seed": 1, "epochs": 4})
    with pytest.raises(StoreError, match="another training: seed is 1 and was 0; epochs is 4 and was 3"):
        Order(table, "dlcnbc-ws", path, other).rows()
    with pytest.raises(StoreError, match="mode is dlcnb and was dlcnbc-ws"):
        Order(table, "dlcnb", path, recipe).rows()
    write_cohort(tmp_path / "fewer.csv", read_cohort(table)[:-1])
    with pytest.raises(StoreError, match="another training: cohort is"):
        Order(tmp_path / "fewer.csv", "dlcnbc-ws", path, recipe).rows()
    elsewhere = shutil.copy(path, tmp_path / "passed-on.alnmodel")
    with pytest.raises(StoreError, match="not the model of this training"):
        Order(table, "dlcnbc-ws", elsewhere, recipe).rows()
    for again in (other.model_copy(update={"restart": True}), recipe.model_copy(update={"threads": 2})):
        assert Order(table, "dlcnbc-ws", path, again).rows()


def _unchecked(bundle, rows):
    yield from ()
    return Checked(bundle.card.precision_check, "attention_slide", ())


@pytest.mark.parametrize(
    ("mode", "fields"),
    [
        ("dlcnb", {"pooling": "mean"}),
        ("dlcnbc", {"pooling": "random", "optimiser": "sgd", "l1": 1e-6, "batch": 1}),
        ("dlcnbc-ws", {"image_only": True}),
        ("dlcnbc-ws", {"pooling": "max"}),
    ],
)
def test_baselines_are_recorded_and_predicted_with_or_refused(
    table, store, recipe, tmp_path, monkeypatch, mode, fields
):
    monkeypatch.setattr("napari_aln.workflows.training.bundle.checked_on", _unchecked)
    recipe = recipe.model_copy(update=fields)
    result = drain(train_frozen(table, mode, tmp_path / "m.alnmodel", recipe, store))
    card = result.bundle.card
    assert card.pooling == fields.get("pooling", "attention")
    assert (card.clinical is None) == (mode == "dlcnb" or recipe.image_only)
    scored = read_scores(result.folder / "scores.csv", "ours")
    row = next(row for row in read_cohort(table) if row.patient_id == scored.patients[0])
    with napari_aln.open_slide(row.slide) as slide:
        roi = None if mode == "dlcnbc-ws" else row.roi
        if card.pooling == "max":
            with pytest.raises(UsageError, match="pools by the maximum"):
                napari_aln.predict(slide, result.bundle, roi, row.clinical)
            return
        answer = napari_aln.predict(slide, result.bundle, roi, row.clinical)
    assert answer.runs[0].probabilities["N(+)"] == pytest.approx(scored.positive_scores[0], abs=1e-4)
    if card.pooling == "mean":
        np.testing.assert_allclose(answer.scores[mode].attention_slide, 1.0)
    if card.pooling == "random":
        assert np.ptp(answer.scores[mode].attention_slide) > 0.05


def test_three_classes(table, store, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_aln.workflows.training.bundle.checked_on", _unchecked)
    rows = read_cohort(table)
    classes = {"train": ["N0", "N+(1-2)", "N+(>2)", "N0"], "val": ["N0", "N+(1-2)", "N+(>2)"], "test": ["N0"]}
    order = [(split, c) for split, names in classes.items() for c in names]
    rows = [
        row.model_copy(
            update={
                "split": split,
                "aln_class": c,
                "label": "N0" if c == "N0" else "N(+)",
                "n_positive_nodes": None,
            }
        )
        for row, (split, c) in zip(rows, order, strict=True)
    ]
    write_cohort(tmp_path / "three.csv", rows)
    recipe = recipe.model_copy(update={"n_classes": 3})
    result = drain(train_frozen(tmp_path / "three.csv", "dlcnbc-ws", tmp_path / "m.alnmodel", recipe, store))
    card = result.bundle.card
    assert card.classes == ("N0", "N+(1-2)", "N+(>2)")
    assert not card.thresholds
    names = {m.name for m in card.metrics}
    assert {"AUC", "ACC", "KAPPA", "AUC N+(1-2)"} <= names
    assert {m.cohort for m in card.metrics if m.name not in NAMES} == {"validation"}
    assert "The AUC on test is not defined: of 1 patient none is N+(1-2) or N+(>2)." in result.remarks


def test_a_test_split_of_one_class_or_of_trained_slides_is_told(table, store, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_aln.workflows.training.bundle.checked_on", _unchecked)
    rows = [row for row in read_cohort(table) if row.split != "test" or not row.is_positive]
    tested = next(row for row in rows if row.split == "test")
    trained_on = next(row for row in rows if row.split == "train" and not row.is_positive)
    same = shutil.copy(trained_on.slide, tmp_path / "same.tif")  # another name, the same patient's tissue
    rows[rows.index(tested)] = tested.model_copy(update={"slide": same})
    write_cohort(tmp_path / "cohort.csv", rows)
    result = drain(train_frozen(tmp_path / "cohort.csv", "dlcnbc-ws", tmp_path / "m.alnmodel", recipe, store))
    assert ("AUC", "test") not in {(m.name, m.cohort) for m in result.bundle.card.metrics}
    assert "The AUC on test is not defined: of 1 patient none is N(+)." in result.remarks
    both = f"Patients {trained_on.patient_id} (train) and {tested.patient_id} (test) have a slide of the same"
    assert [remark for remark in result.remarks if remark.startswith(both)]


def test_a_slide_that_fails_is_named_and_counted(table, store, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_aln.workflows.training.bundle.checked_on", _unchecked)
    folder = tmp_path / "cohort"
    shutil.copytree(table.parent, folder)
    rows = read_cohort(folder / table.name)
    bad = next(row for row in rows if row.split == "test")
    bad.slide.write_bytes(b"not a slide")
    result = drain(train_frozen(folder / table.name, "dlcnbc-ws", tmp_path / "m.alnmodel", recipe, store))
    assert [(lost.patient_id, lost.slide) for lost in result.left_out] == [(bad.patient_id, bad.slide.name)]
    assert "1 slide of the whole cohort" in result.bundle.card.training_cohort.remarks
    worse = next(row for row in rows if row.split == "val" and row.is_positive)
    worse.slide.unlink()
    with pytest.raises(CohortError, match=r"val split .*2 slides left out.* no patient who is N\(\+\)"):
        drain(train_frozen(folder / table.name, "dlcnbc-ws", tmp_path / "n.alnmodel", recipe, store))


def test_features_that_are_not_finite_leave_their_slide_out(table, recipe, tmp_path, monkeypatch):
    from napari_aln.workflows.training import patients as training_patients

    def spoilt(*args, **kwargs):
        extraction = yield from real(*args, **kwargs)
        extraction.features[0].h[0, 0] = np.nan
        return extraction

    real = training_patients.extract
    monkeypatch.setattr(training_patients, "extract", spoilt)
    with pytest.raises(CohortError, match=r"8 slides left out.*1 of its \d+ patches are not finite"):
        drain(train_frozen(table, "dlcnbc-ws", tmp_path / "m.alnmodel", recipe))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split": "test"}, r"train split .* has no patient who is N0 or N\(\+\) \(0 in all\)"),
        ({"label": None, "n_positive_nodes": None, "aln_class": None}, "has no label"),
        ({"slide": None}, "has no slide"),
    ],
)
def test_tables_that_cannot_be_trained_on(table, recipe, tmp_path, change, told):
    write_cohort(tmp_path / "cohort.csv", [row.model_copy(update=change) for row in read_cohort(table)])
    with pytest.raises(CohortError, match=told):
        drain(train_frozen(tmp_path / "cohort.csv", "dlcnbc-ws", tmp_path / "m.alnmodel", recipe))


def test_labels_must_be_of_the_classes(table, recipe, tmp_path):
    unknown = {"aln_class": None, "n_positive_nodes": None}
    write_cohort(tmp_path / "cohort.csv", [row.model_copy(update=unknown) for row in read_cohort(table)])
    three = recipe.model_copy(update={"n_classes": 3})
    with pytest.raises(CohortError, match=r"is N\(\+\), and the classes are N0, N\+\(1-2\), N\+\(>2\)"):
        drain(train_frozen(tmp_path / "cohort.csv", "dlcnbc-ws", tmp_path / "m.alnmodel", three))


def test_the_encoder_needs_one_source_of_weights(table, recipe, tmp_path):
    out = tmp_path / "m.alnmodel"
    with pytest.raises(UsageError, match="none is named"):
        drain(train_frozen(table, "dlcnbc-ws", out, RecipeSettings()))
    with pytest.raises(UsageError, match="several sources are named"):
        drain(train_frozen(table, "dlcnbc-ws", out, recipe.model_copy(update={"download": True})))
    pickled = tmp_path / "weights.pth"
    pickled.write_bytes(b"\x80\x04N.")
    with pytest.raises(BundleError, match="pickled files"):
        drain(train_frozen(table, "dlcnbc-ws", out, RecipeSettings(encoder_weights=pickled)))
    with pytest.raises(UsageError, match="is dlcnb"):
        drain(train_frozen(table, "dlcnbc", out, recipe.model_copy(update={"image_only": True})))
