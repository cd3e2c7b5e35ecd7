"""A grid of trainings on a tiny synthetic cohort: its table, going on, failures, processes."""

import hashlib
import json
import os

import pytest
from tests_shared import collect, drain

from napari_aln.errors import DeviceError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import RESEARCH_NOTICE, Progress
from napari_aln.runtimes.gpus import visible_gpus
from napari_aln.workflows.training.curves import training_folder
from napari_aln.workflows.training.grid_plan import combinations, read_grid
from napari_aln.workflows.training.train_grid import train_grid

RECIPE = "[recipe]\nepochs = 2\nbags_per_epoch = 1\n"


@pytest.fixture(scope="module")
def table(tiny_cohort):
    return tiny_cohort


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _shared_cache(cache, monkeypatch):
    """Let the trainings of this module share features."""
    monkeypatch.setenv("NAPARI_ALN_CACHE", str(cache))


@pytest.fixture
def unchecked(monkeypatch):
    """Leave out the check of bf16 and maps, which reads pixels."""
    from napari_aln.workflows.training import bundle as training_bundle
    from napari_aln.workflows.training.measure_model import Checked

    def checked_on(bundle, rows):
        yield from ()
        return Checked(bundle.card.precision_check, "attention_slide", ())

    monkeypatch.setattr(training_bundle, "checked_on", checked_on)


@pytest.fixture
def make_grid(tmp_path, ws_bundle):
    """Return a maker of grids whose squeezenet is there and whose resnet18 is not."""

    def make(lines, weights=True):
        path = tmp_path / "grid.toml"
        known = (
            f'[weights]\nsqueezenet1_1 = "{ws_bundle}"\nresnet18 = "gone.safetensors"\n' if weights else ""
        )
        path.write_text(f"{lines}\n{RECIPE}{known}", encoding="utf-8")
        return path

    return make


def trainings(path, **given):
    return combinations(read_grid(path), given)


def test_a_grid_combines_each_with_each(make_grid, ws_bundle, tmp_path):
    found = trainings(
        make_grid(
            'modes = ["dlcnbc", "dlcnbc-ws"]\nencoders = ["squeezenet1_1", "resnet18"]\nseeds = [0, 3]',
        ),
        learning_rate=0.01,
    )
    assert len(found) == 8
    assert [one.mode for one in found] == ["dlcnbc"] * 4 + ["dlcnbc-ws"] * 4
    first, *_, last = found
    assert first.name == "dlcnbc squeezenet1_1 none seed 0"
    assert first.recipe.encoder_from == ws_bundle
    assert last.recipe.encoder_weights == tmp_path / "gone.safetensors"
    assert (last.recipe.seed, last.recipe.epochs, last.recipe.learning_rate) == (3, 2, 0.01)
    assert len({one.stem for one in found}) == 8


def test_end_to_end_trainings_differ_in_augmentation(make_grid):
    lines = 'trainer = "finetune"\nmodes = ["dlcnbc"]\nencoders = ["vgg13_bn"]\n'
    path = make_grid(f'{lines}augmentations = ["none", "rotation", "augmix"]', weights=False)
    assert [one.recipe.augmentation for one in trainings(path)] == ["none", "rotation", "augmix"]


@pytest.mark.slow
def test_end_to_end_trainings_go_to_their_own_trainer(make_grid, table, tmp_path, monkeypatch):
    asked = []

    def train_finetuned(cohort, mode, out, recipe, *, private):
        asked.append((cohort, mode, out.name, recipe.augmentation, private))
        yield Progress("epoch 1", 0, 1)
        raise DeviceError("The memory is too small.", "Lower --batch.")

    monkeypatch.setattr("napari_aln.workflows.training.train_finetuned.train_finetuned", train_finetuned)
    lines = 'trainer = "finetune"\nmodes = ["dlcnb"]\nencoders = ["vgg13_bn"]\naugmentations = ["shear"]'
    found = drain(train_grid(table, trainings(make_grid(lines, weights=False)), tmp_path / "out"))
    assert asked == [(table, "dlcnb", "dlcnb-vgg13_bn-shear-seed-0.alnmodel", "shear", False)]
    assert found.failed == {"dlcnb vgg13_bn shear seed 0": "The memory is too small. Lower --batch."}


@pytest.mark.parametrize(
    ("lines", "given", "said"),
    [
        ('modes = ["dlcnb"]\nencoders = []', {}, "encoders"),
        ('modes = ["roi"]\nencoders = ["resnet18"]', {}, "modes.*dlcnbc-ws"),
        ('modes = ["dlcnb"]\nencoders = ["resnet18", "resnet18"]', {}, "twice"),
        ('modes = ["dlcnb"]\nencoders = ["resnet18"]\naugmentations = ["rotation"]', {}, "finetune"),
        ('modes = ["dlcnb"]\nencoders = ["resnet18"]\ncolour = 3', {}, "colour"),
        ('modes = ["dlcnb"]\nencoders = ["resnet18"]', {"encoder": "vgg11"}, "cannot say encoder"),
        ('modes = ["dlcnb"]\nencoders = ["resnet18"]', {"epochs": 0}, "epochs"),
        ("modes = [", {}, "no TOML"),
    ],
)
def test_what_is_no_grid_is_refused(make_grid, lines, given, said):
    with pytest.raises(UsageError, match=f"(?s){said}"):
        trainings(make_grid(lines, weights="resnet18" not in lines), **given)


def test_weights_of_no_encoder_and_a_missing_file_are_refused(make_grid, tmp_path):
    with pytest.raises(UsageError, match="squeezenet1_1, no encoder of the grid"):
        trainings(make_grid('modes = ["dlcnb"]\nencoders = ["resnet18"]'))
    with pytest.raises(UsageError, match="cannot be read"):
        read_grid(tmp_path / "none.toml")


def test_a_training_that_fails_is_named_and_the_rest_is_kept_and_gone_on_with(
    make_grid, table, tmp_path, unchecked
):
    out = tmp_path / "out"
    path = make_grid('modes = ["dlcnbc-ws"]\nencoders = ["resnet18", "squeezenet1_1"]\nseeds = [0, 1]')
    steps, found = collect(train_grid(table, trainings(path), out))
    assert any("3 of 4, dlcnbc-ws squeezenet1_1 none seed 0: " in step.step for step in steps)
    assert list(found.failed) == ["dlcnbc-ws resnet18 none seed 0", "dlcnbc-ws resnet18 none seed 1"]
    assert "gone.safetensors" in found.failed["dlcnbc-ws resnet18 none seed 0"]
    assert found.n_kept == 0
    bundle = open_bundle(out / "dlcnbc-ws-squeezenet1_1-none-seed-0.alnmodel")
    auc = next(m for m in bundle.card.metrics if (m.name, m.cohort) == ("AUC", "test"))
    rows = {(row[0], row[3]): row for row in found.tables[0].rows}
    assert rows["squeezenet1_1", "0"][6].startswith(f"{auc.value:.3f} [")
    assert rows["resnet18", "1"][4:] == ("–",) * 11
    text = (out / "grid.md").read_text(encoding="utf-8")
    assert "Failed: dlcnbc-ws, resnet18, none, seed 1" in text
    assert RESEARCH_NOTICE in text
    made_by = json.loads((out / "grid.csv.json").read_text(encoding="utf-8"))
    assert made_by["input"]["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    assert made_by["settings"]["dlcnbc-ws resnet18 none seed 1"]["seed"] == 1
    record = json.loads((training_folder(bundle.path) / "training.json").read_text(encoding="utf-8"))
    assert record["bundle_sha256"] == bundle.sha256
    assert {one["mpp_origin"] for one in record["slides"]} == {"file"}
    by_seeds = (out / "grid-seeds.csv").read_text(encoding="utf-8-sig").splitlines()
    assert by_seeds[1].startswith("resnet18,none,dlcnbc-ws,0 of 2,–")
    assert by_seeds[2].startswith("squeezenet1_1,none,dlcnbc-ws,2 of 2,")
    assert "±" in by_seeds[2]

    made = (out / "dlcnbc-ws-squeezenet1_1-none-seed-0.alnmodel").stat().st_mtime_ns
    (out / "dlcnbc-ws-squeezenet1_1-none-seed-1.json").unlink()  # as if it had been cut off
    path.write_text(path.read_text().replace('"resnet18", ', "").replace('resnet18 = "gone.safetensors"', ""))
    steps, again = collect(train_grid(table, trainings(path), out))
    assert (again.n_kept, again.failed) == (1, {})
    assert any("1 of 1, dlcnbc-ws squeezenet1_1 none seed 1: " in step.step for step in steps)
    assert (out / "dlcnbc-ws-squeezenet1_1-none-seed-0.alnmodel").stat().st_mtime_ns == made

    with pytest.raises(UsageError, match=r"of another grid: epochs is 3 and was 2.*--restart"):
        drain(train_grid(table, trainings(path, epochs=3), out))


def test_a_training_that_was_cut_off_goes_on_from_its_checkpoint(make_grid, table, tmp_path, unchecked):
    path = make_grid('modes = ["dlcnbc-ws"]\nencoders = ["squeezenet1_1"]')
    path.write_text(path.read_text().replace('resnet18 = "gone.safetensors"', ""))
    whole = drain(train_grid(table, trainings(path), tmp_path / "whole"))
    work = train_grid(table, trainings(path), tmp_path / "cut")
    checkpoint = tmp_path / "cut" / "dlcnbc-ws-squeezenet1_1-none-seed-0.training" / "checkpoint.pt"
    assert any(checkpoint.exists() for _ in work)  # stops there, after the first epoch
    work.close()
    gone_on = drain(train_grid(table, trainings(path), tmp_path / "cut"))
    name = "dlcnbc-ws-squeezenet1_1-none-seed-0.alnmodel"
    assert open_bundle(tmp_path / "cut" / name).sha256 == open_bundle(tmp_path / "whole" / name).sha256
    assert gone_on.tables[0].rows[0][:-1] == whole.tables[0].rows[0][:-1]
    assert gone_on.tables[0].rows[0][-1].startswith("> ")  # the seconds before the cut are not known
    assert not whole.tables[0].rows[0][-1].startswith(">")
    outcome = json.loads((tmp_path / "cut" / f"{name[:-9]}.json").read_text())
    assert outcome["went_on"] is True


@pytest.mark.slow
def test_each_gpu_gets_a_process_and_one_that_fails_stops_no_other(make_grid, table, tmp_path):
    path = make_grid('modes = ["dlcnbc-ws"]\nencoders = ["resnet18", "squeezenet1_1"]')
    steps, found = collect(train_grid(table, trainings(path), tmp_path / "out", gpus=("0", "1")))
    assert list(found.failed) == ["dlcnbc-ws resnet18 none seed 0"]
    assert "gone.safetensors" in found.failed["dlcnbc-ws resnet18 none seed 0"]
    assert steps[-1].total == 2
    bundle = open_bundle(tmp_path / "out" / "dlcnbc-ws-squeezenet1_1-none-seed-0.alnmodel")
    assert bundle.card.map_faithfulness


def test_the_gpus_a_scheduler_gave_are_taken(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-a1b2")
    assert visible_gpus() == ("3", "GPU-a1b2")
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ()
