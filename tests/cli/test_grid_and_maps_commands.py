"""``train --grid`` and ``evaluate-maps`` as a user meets them: what is said, refused, counted."""

import pytest

from napari_aln.evaluation.grid_tables import GridRow, grid_table
from napari_aln.evaluation.tables import PaperTable
from napari_aln.records import RESEARCH_NOTICE, Progress
from napari_aln.workflows.evaluation.evaluate_maps import MapEvaluation
from napari_aln.workflows.training.patients import LeftOut
from napari_aln.workflows.training.train_grid import GridResult

GRID = 'modes = ["dlcnbc-ws"]\nencoders = ["resnet18"]\n[recipe]\ndownload = true\n'


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_a_grid_gets_the_recipe_of_file_and_flags_and_names_what_failed(call, grid, tmp_path, monkeypatch):
    asked = []

    def workflow(cohort, combinations, out, gpus, *, private):
        asked.append((combinations, gpus))
        yield Progress("train", 0, 1)
        row = GridRow("resnet18", "none", "dlcnbc-ws", 0, failed="No network.")
        return GridResult((grid_table([row]),), 0, {combinations[0].name: "No network."})

    monkeypatch.setattr("napari_aln.workflows.training.train_grid.train_grid", workflow)
    code, said, errors = call(
        *("train", "c.csv", "--grid", grid, "--out", tmp_path / "out"),
        *("--epochs", 7, "--min-entropy-bits", 4.5),
    )
    assert code == 1
    ((combination,), gpus) = asked[0]
    assert (combination.recipe.epochs, combination.recipe.download) == (7, True)
    assert combination.recipe.patches.min_entropy_bits == 4.5
    assert gpus == ()  # frozen: on the processor
    assert "dlcnbc-ws resnet18 none seed 0 failed: No network." in errors
    assert "0 of 1 training;" in said
    assert RESEARCH_NOTICE in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--mode", "dlcnb"), "file says modes and trainer"),
        (("--frozen",), "file says modes and trainer"),
        (("--encoder", "vgg11"), "cannot say encoder"),
        (("--device", "cuda"), "device"),
    ],
)
def test_flags_that_a_grid_says_itself_are_refused(call, grid, tmp_path, flags, said):
    code, _, errors = call("train", "c.csv", "--grid", grid, "--out", tmp_path / "out", *flags)
    assert code == 2
    assert said in errors
    assert not (tmp_path / "out").exists()


def test_train_without_mode_or_grid_says_what_to_give(call, tmp_path):
    code, _, errors = call("train", "c.csv", "--frozen", "--out", tmp_path / "m.alnmodel")
    assert code == 2
    assert "Give --mode, or --grid FILE." in errors


def test_maps_are_shown_and_slides_that_failed_are_named(call, tmp_path, ws_bundle, monkeypatch):
    asked = []

    def workflow(cohort, bundles, out, settings, predicting, cache, *, private):
        asked.append((settings, predicting, cache))
        yield Progress("maps", 0, 1)
        table = PaperTable("maps", "How faithful", ("Map", "n"), (("contribution", "3"),))
        return MapEvaluation(tables=[table], left_out=[LeftOut("P1", "a.svs", "It is damaged.")])

    monkeypatch.setattr("napari_aln.workflows.evaluation.evaluate_maps.evaluate_maps", workflow)
    code, said, errors = call(
        *("evaluate-maps", "c.csv", "--model", ws_bundle, "--out", tmp_path / "out"),
        *("--split", "all", "--random-orders", 3, "--device", "cpu", "--cache", "off"),
    )
    assert code == 1
    settings, predicting, cache = asked[0]
    assert (settings.split, settings.random_orders) == ("all", 3)
    assert predicting.engine.device == "cpu"
    assert cache is None
    assert "contribution" in said
    assert "Patient P1: a.svs was left out. It is damaged." in errors
    code, _, errors = call("evaluate-maps", "c.csv", "--model", ws_bundle, "--out", "o", "--random-orders", 0)
    assert code == 2
    assert "--random-orders" in errors
