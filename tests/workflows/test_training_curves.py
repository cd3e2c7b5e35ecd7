import math

import pytest

from napari_aln.errors import CohortError, StoreError
from napari_aln.settings.training import FinetuneSettings, RecipeSettings
from napari_aln.workflows.training import train_frozen as frozen_module
from napari_aln.workflows.training.curves import Curves, can_go_on, read_curves, training_folder
from napari_aln.workflows.training.train_in_window import TrainingPlan, train_in_window

HEAD = "epoch,loss,validation_auc,validation_loss,learning_rate"


def write(path, *lines, mark="\ufeff"):
    path.write_text(mark + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


def test_curves_are_read_with_the_columns_there_are(tmp_path):
    path = write(
        tmp_path / "metrics.csv", f"{HEAD},training_auc", "1,0.7,0.5,0.69,0.001,0.6", "2,0.6,,0.7,0.001,"
    )
    curves = read_curves(path)
    assert (curves.epochs, curves.loss, curves.validation_loss) == ((1, 2), (0.7, 0.6), (0.69, 0.7))
    assert curves.validation_auc[0] == 0.5
    assert math.isnan(curves.validation_auc[1])
    assert curves.training_auc[0] == 0.6
    older = read_curves(write(tmp_path / "old.csv", HEAD, "1,0.7,0.5,0.69,0.001", mark=""))
    assert (len(older), older.training_auc) == (1, ())


def test_a_training_that_has_no_epoch_yet_has_no_curves(tmp_path):
    assert read_curves(tmp_path / "metrics.csv") == Curves()
    assert Curves().best is None


def test_the_kept_epoch_has_the_best_auc_and_of_equals_the_lowest_loss():
    def kept(auc, loss):
        n = len(auc)
        return Curves(tuple(range(1, n + 1)), (0.5,) * n, tuple(loss), tuple(auc)).best

    assert kept([0.5, 0.8, 0.7], [0.6, 0.9, 0.1]) == 1
    assert kept([0.8, 0.8, 0.8], [0.6, 0.4, 0.5]) == 1
    assert kept([0.8, 0.8], [0.5, 0.5]) == 0
    assert kept([math.nan, 0.2], [0.1, 0.9]) == 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["patient,label,score", "a,1,0.3"], "no column epoch, so it is no table of a training"),
        ([HEAD, "1,much,0.5,0.6,0.1"], "is no epoch of a training"),
        ([HEAD, "1,0.5"], "is no epoch of a training|0.5"),
        ([""], "no column epoch"),
    ],
)
def test_other_tables_are_refused(tmp_path, lines, told):
    path = write(tmp_path / "table.csv", *lines)
    if lines[-1] == "1,0.5":  # a line that is still being written: what is missing is not defined
        assert math.isnan(read_curves(path).validation_auc[0])
        return
    with pytest.raises(StoreError, match=told):
        read_curves(path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(StoreError, match="cannot be read"):
        read_curves(path)


def test_a_cut_off_training_is_known_by_its_checkpoint(tmp_path):
    out = tmp_path / "model.alnmodel"
    assert training_folder(out) == tmp_path / "model.training"
    assert not can_go_on(out)
    (tmp_path / "model.training").mkdir()
    (tmp_path / "model.training" / "checkpoint.pt").touch()
    plan = TrainingPlan("frozen", tmp_path / "c.csv", "dlcnb", out, RecipeSettings())
    assert plan.goes_on
    anew = TrainingPlan("frozen", tmp_path / "c.csv", "dlcnb", out, RecipeSettings(restart=True))
    assert not anew.goes_on


@pytest.mark.parametrize("private", [False, True])
def test_a_private_training_names_no_slide(tmp_path, monkeypatch, private):
    table = tmp_path / "cohort.csv"
    table.write_text("patient_id,slide,label\np1,jane doe 1961.svs,N0\n")
    asked = []

    def fail(*_, private):
        yield from ()
        asked.append(private)
        fact = (
            f"The slide {tmp_path / 'jane doe 1961.svs'} of p1 cannot be read: jane doe 1961.svs is cut off."
        )
        raise CohortError(fact, "Take it out.")

    monkeypatch.setattr(frozen_module, "train_frozen", fail)
    plan = TrainingPlan("frozen", table, "dlcnb", tmp_path / "m.alnmodel", RecipeSettings(), private=private)
    with pytest.raises(CohortError) as told:
        list(train_in_window(plan))
    assert asked == [private]  # what is written is the trainer's to keep names out of
    for word in ("jane", "doe", "1961", "p1"):
        assert (word in str(told.value)) == (not private)
    assert ("of no. 1 cannot be read" in str(told.value)) == private  # by its place in the table
    assert told.value.next_step == "Take it out."


def test_each_way_takes_its_own_settings(tmp_path):
    plan = TrainingPlan("finetune", tmp_path / "c.csv", "dlcnb", tmp_path / "m.alnmodel", RecipeSettings())
    with pytest.raises(TypeError, match="FinetuneSettings"):
        list(train_in_window(plan))
    whole = TrainingPlan("finetune", tmp_path / "c.csv", "dlcnb", tmp_path / "m.alnmodel", FinetuneSettings())
    with pytest.raises(CohortError):
        list(train_in_window(whole))
