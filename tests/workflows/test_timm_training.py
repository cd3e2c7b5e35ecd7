"""A head on the features of an encoder of timm, end to end: trained, shown, predicted with."""

import importlib.util
import json
import re
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from tests_shared import drain
from typer.testing import CliRunner

import napari_aln
from napari_aln.cli.app import app
from napari_aln.cohort.table import read_cohort
from napari_aln.errors import BundleError, DeviceError, UsageError
from napari_aln.mil.bundle import open_bundle, save_bundle
from napari_aln.mil.card import PrecisionCheck
from napari_aln.runtimes import openvino_runtime
from napari_aln.runtimes.timm_import import import_timm
from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.training import FinetuneSettings, RecipeSettings
from napari_aln.store.training_features import TrainingStore
from napari_aln.store.training_patches import PatchStore
from napari_aln.workflows.evaluation.score_table import read_scores
from napari_aln.workflows.slide.networks import engine_for
from napari_aln.workflows.training.encoder_weights import trained_encoder
from napari_aln.workflows.training.train_finetuned import train_finetuned
from napari_aln.workflows.training.train_frozen import train_frozen

ENCODER = "timm:vit_tiny_patch16_224"
SMALL = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2, "init_values": 1e-5, "reg_tokens": 1}


@pytest.fixture(autouse=True, scope="module")
def timm():
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is optional: pip install 'napari-aln[timm]'")
    return import_timm("these tests")


@pytest.fixture(scope="module")
def table(tiny_cohort):
    return tiny_cohort


@pytest.fixture(scope="module")
def weights(timm, tmp_path_factory):
    """Return a file as makers of encoders publish it, its config beside it."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SMALL)
    save_file(net.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "vit_tiny_patch16_224",
        "global_pool": "token",
        "model_args": SMALL,
        "pretrained_cfg": {
            "mean": [0.7, 0.58, 0.7],
            "std": [0.21, 0.23, 0.18],
            "input_size": [3, 32, 32],
            "license": "cc-by-nc-nd-4.0",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def recipe(weights):
    return RecipeSettings(encoder=ENCODER, encoder_weights=weights, epochs=2, bags_per_epoch=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return TrainingStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def trained(table, recipe, store, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "vit.alnmodel"
    return drain(train_frozen(table, "dlcnbc-ws", out, recipe, store))


@pytest.mark.slow
def test_card_scores_and_prediction_belong_together(trained, table, tmp_path):
    card = open_bundle(trained.bundle.path).card
    assert (card.encoder, card.pool, card.input_px, card.timm.features) == (ENCODER, "token", 32, 24)
    assert (card.mean, card.std) == ((0.7, 0.58, 0.7), (0.21, 0.23, 0.18))
    assert card.timm.arguments.model_dump(exclude_none=True) == SMALL | {"global_pool": "token"}
    assert card.licence == "cc-by-nc-nd-4.0"
    assert card.timm.openvino
    scored = read_scores(trained.folder / "scores.csv", "ours")
    row = next(row for row in read_cohort(table) if row.patient_id == scored.patients[0])
    fp32 = card.model_copy(update={"precision_check": PrecisionCheck()})
    exact = save_bundle(fp32, trained.bundle.tensors, tmp_path / "exact.alnmodel")
    with napari_aln.open_slide(row.slide) as slide:
        run = napari_aln.predict(slide, exact, clinical=row.clinical).runs[0]
    # Features of random weights hardly vary, so that standardising them makes much of rounding.
    assert run.probabilities["N(+)"] == pytest.approx(scored.positive_scores[0], abs=1e-4)


@pytest.mark.slow
def test_the_command_line_trains_shows_and_verifies(table, weights, tmp_path):
    out = tmp_path / "m.alnmodel"
    arguments = ["train", table, "--mode", "dlcnb", "--frozen", "--out", out, "--epochs", "1"]
    arguments += ["--encoder", ENCODER, "--encoder-weights", weights]
    run = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert run.exit_code == 0, run.output
    shown = CliRunner().invoke(app, ["model", "show", str(out)], env={"COLUMNS": "200"})
    assert ENCODER in shown.output
    assert re.search(r"reg_tokens +1\b", shown.output)
    verified = CliRunner().invoke(app, ["model", "verify", str(out)])
    assert verified.exit_code == 0, verified.output


@pytest.mark.slow
def test_another_training_takes_the_encoder_of_the_bundle(trained, recipe):
    again = recipe.model_copy(update={"encoder_weights": None, "encoder_from": trained.bundle.path})
    first, second = trained_encoder(recipe, "gap"), trained_encoder(again, "gap")
    assert (second.sha256, second.fields) == (first.sha256, first.fields)
    with pytest.raises(UsageError, match=r"holds a timm:vit_tiny_patch16_224 \(token\), not a resnet18"):
        trained_encoder(again.model_copy(update={"encoder": "resnet18"}), "gap")


@pytest.mark.slow
def test_it_learns_end_to_end_too(table, recipe, tmp_path):
    given = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    whole = FinetuneSettings(**(given | {"epochs": 1, "bags_per_epoch": 1, "bag_size": 4, "device": "cpu"}))
    steps = train_finetuned(
        table, "dlcnbc-ws", tmp_path / "m.alnmodel", whole, PatchStore(tmp_path / "store")
    )
    card = drain(steps).bundle.card
    assert (card.encoder, card.pool, card.input_px, card.timm.openvino) == (ENCODER, "token", 32, True)


def test_what_openvino_cannot_take_runs_on_torch_and_the_card_says_so(
    table, recipe, store, tmp_path, monkeypatch
):
    def refuse(*_):
        raise openvino_runtime.frontend.OpConversionFailure("No conversion rule found for aten::x")

    with monkeypatch.context() as patch:
        patch.setattr(openvino_runtime, "_converted", refuse)
        once = recipe.model_copy(update={"epochs": 1})
        bundle = drain(train_frozen(table, "dlcnbc-ws", tmp_path / "m.alnmodel", once, store)).bundle
        with pytest.raises(DeviceError, match="OpenVINO cannot take this network: No conversion rule"):
            engine_for(bundle, EngineSettings(device="cpu", runtime="openvino")).compile(bundle)
    assert bundle.card.timm.openvino is False
    assert engine_for(bundle, EngineSettings(device="cpu")).choice.runtime == "torch"


def test_weights_that_cannot_be_used(recipe, weights, tmp_path):
    from safetensors.torch import load_file

    (tmp_path / "config.json").write_bytes(weights.with_name("config.json").read_bytes())
    broken = load_file(weights)
    broken["norm.weight"][0] = float("nan")
    save_file(broken, tmp_path / "nan.safetensors")
    with pytest.raises(BundleError, match=r"nan\.safetensors hold NaN or infinity \(in norm\.weight\)"):
        trained_encoder(recipe.model_copy(update={"encoder_weights": tmp_path / "nan.safetensors"}), "gap")
    plain = tmp_path / "alone" / "model.safetensors"
    plain.parent.mkdir()
    plain.write_bytes(weights.read_bytes())
    with pytest.raises(BundleError, match="not those of timm:vit_tiny_patch16_224"):
        trained_encoder(recipe.model_copy(update={"encoder_weights": plain}), "gap")
    (tmp_path / "torch.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(BundleError, match="pickled files"):
        trained_encoder(recipe.model_copy(update={"encoder_weights": tmp_path / "torch.bin"}), "gap")


def test_nothing_is_fetched_but_by_download_and_then_as_safetensors(timm, tmp_path, monkeypatch):
    asked = []
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "model.safetensors")

    def fetch(repository, name):
        asked.append((repository, name))
        return str(tmp_path / "model.safetensors")

    hub = types.SimpleNamespace(hf_hub_download=fetch)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    recipe = RecipeSettings(encoder="timm:test_vit.r160_in1k", encoder_weights=tmp_path / "model.safetensors")
    trained_encoder(recipe, "gap")
    assert not asked
    found = trained_encoder(recipe.model_copy(update={"encoder_weights": None, "download": True}), "gap")
    assert asked == [("timm/test_vit.r160_in1k", "model.safetensors")]
    assert found.origin == "the Hugging Face hub (timm)"

    def fail(*_):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    with pytest.raises(BundleError, match="could not be downloaded: no route to host"):
        trained_encoder(recipe.model_copy(update={"encoder_weights": None, "download": True}), "gap")
    with pytest.raises(BundleError, match="names no weights for timm:nothing"):
        trained_encoder(RecipeSettings(encoder="timm:nothing", download=True), "gap")
