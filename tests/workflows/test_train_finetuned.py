"""Training end to end on a tiny synthetic cohort: what it writes, and what it refuses."""

import json
import shutil

import numpy as np
import pytest
from bcnb_download import write_download
from tests_shared import collect, drain
from typer.testing import CliRunner

import napari_aln
from napari_aln.cli.app import app
from napari_aln.cohort.table import read_cohort, write_cohort
from napari_aln.errors import BundleError, CohortError, UsageError
from napari_aln.mil.bundle import open_bundle, save_bundle
from napari_aln.mil.card import PrecisionCheck
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.training import FinetuneSettings, RecipeSettings
from napari_aln.store.training_patches import PatchStore
from napari_aln.workflows.evaluation.score_table import read_scores
from napari_aln.workflows.training.encoder_weights import fresh_encoder
from napari_aln.workflows.training.epochs import EpochProgress
from napari_aln.workflows.training.measure_model import Checked
from napari_aln.workflows.training.train_finetuned import train_finetuned
from napari_aln.workflows.training.train_frozen import train_frozen

RECIPE = FinetuneSettings(
    encoder="squeezenet1_1",
    fresh=True,
    epochs=2,
    bag_size=4,
    bags_per_epoch=1,
    augmentation="rotation",
    device="cpu",
)


@pytest.fixture(scope="module")
def table(tiny_cohort):
    return tiny_cohort


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return PatchStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Leave out what is measured on training slides: the frozen trainer's tests have it."""

    def unchecked(bundle, rows):
        yield from ()
        return Checked(bundle.card.precision_check, "attention_slide", ())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("napari_aln.workflows.training.bundle.checked_on", unchecked)
        yield


@pytest.fixture(scope="module")
def trained(table, store, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "ws.alnmodel"
    return collect(train_finetuned(table, "dlcnbc-ws", path, RECIPE, store))


def test_the_card_is_whole_and_scores_lie_beside(trained):
    seen, result = trained
    card = open_bundle(result.bundle.path).card
    assert (card.mode, card.pool, card.bag_size, card.norm_statistics) == ("dlcnbc-ws", "gap", 4, "running")
    assert [t.operating_point for t in card.thresholds] == ["Youden", "0.5", "SENS ≥ 0.9"]
    assert card.temperature == result.fitted.temperature
    assert card.training_cohort.n_per_class == {"N0": 2, "N(+)": 2}
    assert card.training_cohort.stain is not None
    assert card.clinical is not None
    assert {("AUC", "test"), ("AUC", "validation")} <= {(m.name, m.cohort) for m in card.metrics}
    assert "end to end" in card.description
    assert "augmentation rotation" in card.description
    assert [step.done for step in seen if isinstance(step, EpochProgress)] == [1, 2]
    assert len((result.folder / "metrics.csv").read_text("utf-8-sig").splitlines()) == 3
    assert not (result.folder / "checkpoint.pt").exists()
    record = json.loads((result.folder / "training.json").read_text("utf-8"))
    assert FinetuneSettings.model_validate(record["recipe"]) == RECIPE
    assert (record["trainer"], record["bundle_sha256"]) == ("--finetune", result.bundle.sha256)
    assert record["fitted"]["best_epoch"] == result.fitted.best_epoch
    assert len({one["slide_quick_hash"] for one in record["slides"]}) == 8
    splits = [one["split"] for one in record["slides"]]
    assert sorted(splits) == ["test"] * 2 + ["train"] * 4 + ["val"] * 2
    assert record["slides"][0]["mpp"] == pytest.approx([0.5, 0.5], rel=0.2)
    assert record["card_sha256"] == result.bundle.card_sha256
    assert {"processor", "system"} <= set(record["machine"])
    assert {"lightning-fabric", "napari-aln", "torch"} <= set(record["versions"])


def test_the_scores_are_those_of_predict(trained, table, tmp_path):
    _, result = trained
    exact = result.bundle.card.model_copy(update={"precision_check": PrecisionCheck()})  # so not in bf16
    bundle = save_bundle(exact, result.bundle.tensors, tmp_path / "exact.alnmodel")
    scored = read_scores(result.folder / "scores.csv", "ours")
    rows = {row.patient_id: row for row in read_cohort(table)}
    patient, score = scored.patients[-1], scored.positive_scores[-1]
    with napari_aln.open_slide(rows[patient].slide) as slide:
        run = napari_aln.predict(slide, bundle, clinical=rows[patient].clinical).runs[0]
    assert run.probabilities["N(+)"] == pytest.approx(score, abs=1e-6)


def test_the_second_training_decodes_no_patch_and_gives_the_same_weights(
    trained, table, store, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_aln.workflows.training.pixels.decoded", None)
    monkeypatch.setattr("napari_aln.workflows.training.pixels.survey", None)
    again = drain(train_finetuned(table, "dlcnbc-ws", tmp_path / "m.alnmodel", RECIPE, store))
    assert again.bundle.sha256 == trained[1].bundle.sha256


def test_reference_patching_trains_on_regions_cut_out_on_white(table, store, tmp_path):
    patches = PatchSettings(roi_patching="reference")
    recipe = RECIPE.model_copy(update={"patches": patches, "epochs": 1})
    work = train_finetuned(table, "dlcnbc", tmp_path / "m.alnmodel", recipe, store)
    card = drain(work).bundle.card
    assert "ROI patching reference" in card.description
    whites = [
        float((np.fromfile(folder / "pixels.u8", np.uint8) == 255).mean()) for folder, *_ in store.entries()
    ]
    assert max(whites) > 0.02


def test_encoders_end_as_asked_for_or_as_in_the_reference(table, store, tmp_path):
    recipe = RECIPE.model_copy(update={"encoder": "alexnet", "pool": "gap", "epochs": 1})
    card = drain(train_finetuned(table, "dlcnb", tmp_path / "m.alnmodel", recipe, store)).bundle.card
    assert (card.encoder, card.pool) == ("alexnet", "gap")
    assert fresh_encoder("vgg11_bn", None, 0).fields == {"pool": "7x7"}


def test_a_slide_that_fails_is_named_and_counted(table, store, tmp_path):
    folder = tmp_path / "cohort"
    shutil.copytree(table.parent, folder)
    rows = read_cohort(folder / table.name)
    bad = next(row for row in rows if row.split == "train")
    size = bad.slide.stat().st_size
    with bad.slide.open("r+b") as file:  # opens, and fails while its patches are read
        file.seek(size // 3)
        file.write(b"\0" * (size // 2))
    once = RECIPE.model_copy(update={"epochs": 1})
    work = train_finetuned(folder / table.name, "dlcnbc-ws", tmp_path / "m.alnmodel", once, store)
    result = drain(work)
    assert [(lost.patient_id, lost.slide) for lost in result.left_out] == [(bad.patient_id, bad.slide.name)]
    assert "1 slide of the whole cohort" in result.bundle.card.training_cohort.remarks


def test_what_cannot_be_trained_is_refused(table, ws_bundle, tmp_path):
    out = tmp_path / "m.alnmodel"

    def refused(error, match, mode="dlcnbc-ws", path=table, **change):
        with pytest.raises(error, match=match):
            drain(train_finetuned(path, mode, out, RECIPE.model_copy(update=change)))

    refused(UsageError, "What the encoder shall begin with", fresh=False)
    refused(UsageError, "no weights to take over", encoder_from=ws_bundle)
    refused(BundleError, "cannot end in pool '7x7'", pool="7x7")
    refused(UsageError, "is dlcnb", mode="dlcnbc", image_only=True)
    write_cohort(
        tmp_path / "one.csv",
        [row for row in read_cohort(table) if row.split != "val" or not row.is_positive],
    )
    refused(CohortError, r"val split .* no patient who is N\(\+\)", path=tmp_path / "one.csv")
    cut = RecipeSettings(encoder_from=ws_bundle, patches=PatchSettings(roi_patching="reference"))
    with pytest.raises(UsageError, match="reference's patches"):
        drain(train_frozen(table, "dlcnb", out, cut))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "not said"),
        (["--frozen", "--finetune"], "at once"),
        (["--frozen", "--augmentation", "hue"], "--augmentation has no meaning with --frozen"),
    ],
)
def test_the_command_wants_one_way(table, tmp_path, flags, told):
    given = ["train", str(table), "--mode", "dlcnb", "--out", str(tmp_path / "m.alnmodel"), *flags]
    result = CliRunner().invoke(app, given)
    assert told in str(result.exception)


def test_the_documented_way_from_the_download_to_the_papers_tables(tmp_path):
    write_download(tmp_path / "bcnb")
    table, of_task = tmp_path / "cohort.csv", tmp_path / "type-0.csv"
    model, scores = tmp_path / "dlcnb.alnmodel", tmp_path / "dlcnb.training" / "scores.csv"
    train = "--mode dlcnb --finetune --roi-patching reference --fresh --mpp 0.5 --encoder squeezenet1_1"
    small = "--epochs 1 --bag-size 2 --device cpu"
    for command in (
        f"cohort import-bcnb {tmp_path / 'bcnb'} {table} --mpp 0.5",
        f"cohort split {table} {of_task} --method official --task type-0",
        f"train {of_task} {train} {small} --out {model}",
        f"evaluate {scores} --published --out {tmp_path / 'evaluation'}",
    ):
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 0, (command, result.output, result.exception)
    assert (tmp_path / "evaluation" / "evaluation.html").exists()
    assert open_bundle(model).card.mpp == 0.5


def test_patients_without_a_split_take_no_part_and_are_counted(table, store, tmp_path):
    rows = read_cohort(table)
    rows[0] = rows[0].model_copy(update={"split": None})
    write_cohort(tmp_path / "cohort.csv", rows)
    work = train_finetuned(tmp_path / "cohort.csv", "dlcnb", tmp_path / "m.alnmodel", RECIPE, store)
    next(step for step in work if isinstance(step, EpochProgress))
    (tmp_path / "cohort.csv").unlink()  # nothing is lost by what happens to the table meanwhile
    result = drain(work)
    assert result.bundle.card.training_cohort.n_patients == 3
    assert any(remark.startswith("1 patient of") for remark in result.remarks)
