"""Trainings and interpretations in private mode name no table, folder, slide, picture or patient."""

import json

import pytest
from marked_slides import MARK
from planted import N_PATIENTS, marked_cohort, marked_folder, marked_model, marked_pictures
from written import leaks

from napari_aln.mil.bundle import open_bundle
from napari_aln.nuclei.bundle import open_nucleus_bundle
from napari_aln.workflows.evaluation.score_table import read_scores
from napari_aln.workflows.interpretation.slide_weights import SLIDES_NAME, read_slides
from napari_aln.workflows.training.bundle import RECORD_NAME, SCORES_NAME
from napari_aln.workflows.training.curves import training_folder


@pytest.fixture
def cohort(tiny_cohort, tmp_path):
    return marked_cohort(tiny_cohort, marked_folder(tmp_path))


@pytest.fixture
def unchecked(monkeypatch):
    """Leave out the check of bf16 and maps, which reads pixels."""
    from napari_aln.workflows.training import bundle as training_bundle
    from napari_aln.workflows.training.measure_model import Checked

    def checked_on(bundle, rows):
        yield from ()
        return Checked(bundle.card.precision_check, "attention_slide", ())

    monkeypatch.setattr(training_bundle, "checked_on", checked_on)


@pytest.mark.slow
def test_trainings_name_nobody(cohort, ws_bundle, call, unchecked, tmp_path):
    encoder = marked_model(ws_bundle, cohort.parent)
    grid = cohort.parent / f"{MARK}.toml"
    weights = f'squeezenet1_1 = "{encoder}"\nresnet18 = "{MARK}.safetensors"\n'
    which = 'modes = ["dlcnbc-ws"]\nencoders = ["squeezenet1_1", "resnet18"]\n'
    grid.write_text(f"{which}[recipe]\nepochs = 1\nbags_per_epoch = 1\n[weights]\n{weights}")
    out, many = tmp_path / "out" / "m.alnmodel", tmp_path / "out" / "grid"
    assert call("train", cohort, "--grid", grid, "--out", many, "--private") == 1
    asked = ["--mode", "dlcnbc-ws", "--frozen", "--encoder", "squeezenet1_1", "--encoder-from", encoder]
    assert call("train", cohort, *asked, "--epochs", 1, "--out", out, "--private") == 1
    assert leaks(tmp_path / "out") == []
    assert leaks(tmp_path / "cache") == []

    record = json.loads((training_folder(out) / RECORD_NAME).read_bytes())
    assert (record["cohort"]["name"], record["cohort"]["slides_left_out"]) == (None, 1)
    assert len(record["cohort"]["sha256"]) == 64
    card = open_bundle(out).card
    assert (card.training_cohort.name, card.training_cohort.n_patients) == ("", 4)
    assert card.description.startswith("Encoder from weights ")
    # One alias a patient, the same in every training, so that models can be compared.
    (one,) = (path for path in many.glob("*.training") if (path / SCORES_NAME).exists())
    first, second = (read_scores(path / SCORES_NAME, "") for path in (training_folder(out), one))
    assert len(set(first.patients)) == 4
    assert first.patients == second.patients

    # The same grid with names is another one.
    assert call("train", cohort, "--grid", grid, "--out", many) == 2


@pytest.mark.slow
def test_an_interpretation_names_nobody(cohort, call, tmp_path):
    out = tmp_path / "out"
    few = ["--patches-per-slide", 2, "--epochs", 2, "--bootstraps", 100, "--method", "classical"]
    assert call("interpret", cohort, "--out", out, "--private", *few) == 1
    assert leaks(out) == []
    patients = {one.patient_id for one in read_slides(out / SLIDES_NAME)}
    assert len(patients) == N_PATIENTS
    made_by = json.loads((out / f"{SLIDES_NAME}.json").read_bytes())
    assert made_by["input"]["name"] is None


def test_a_nucleus_model_names_no_picture(call, tmp_path):
    images = marked_pictures(tmp_path / MARK)
    asked = ["--steps", 2, "--batch", 2, "--square-px", 64, "--device", "cpu", "--held-out", 0.34]
    cards = {}
    for name, private in (("private", ["--private"]), ("named", [])):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "m.alnmodel"
        assert call("nuclei", "train", images, "--out", path, *asked, *private) == 0
        cards[name] = open_nucleus_bundle(path).card
    assert leaks(tmp_path / "private") == []
    assert leaks(tmp_path / "named") != []
    card, named = cards["private"], cards["named"]
    assert card.weights_sha256 == named.weights_sha256
    assert card.training.pictures_sha256 == named.training.pictures_sha256
    assert [one.name for one in card.sources] == ["set 1"]
    assert card.held_out[0].startswith("picture-")
