import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_aln.errors import BundleError, UsageError
from napari_aln.mil.architecture import build_network
from napari_aln.mil.bundle import open_bundle, save_bundle
from napari_aln.mil.card import ModelCard, TimmArguments, parse_card
from napari_aln.mil.timm_encoders import build_timm, describe_timm
from napari_aln.runtimes.base import compile_network
from napari_aln.runtimes.torch_runtime import fused
from napari_aln.settings.engine import EngineSettings
from napari_aln.workflows.training.timm_files import published_config

# A transformer as foundation models are: layer scale, registers, gated layers, made small by its arguments.
PATHOLOGY = TimmArguments(
    img_size=64,
    embed_dim=48,
    depth=2,
    num_heads=3,
    init_values=1e-5,
    reg_tokens=4,
    mlp_ratio=5.3375,
    mlp_layer="SwiGLUPacked",
    act_layer="silu",
)
TINY = TimmArguments(img_size=64, embed_dim=48, depth=2, num_heads=3)


@pytest.fixture(autouse=True)
def _timm():
    pytest.importorskip("timm", reason="timm is optional: pip install 'napari-aln[timm]'")


def card_of(name, arguments):
    return ModelCard(
        name="small",
        mode="dlcnb",
        encoder=name,
        mpp=0.5,
        hidden=16,
        **describe_timm(name, arguments, {})._asdict(),
    )


def saved(name, arguments, folder, seed=0):
    torch.manual_seed(seed)
    card = card_of(name, arguments)
    network = build_network(card)
    return network, save_bundle(card, network.state_dict(), folder / "m.alnmodel")


@pytest.mark.parametrize(
    ("name", "arguments", "pool", "width", "side"),
    [
        ("timm:test_resnet", TimmArguments(), "gap", 96, 160),
        ("timm:test_vit", TimmArguments(), "token", 64, 160),
        ("timm:vit_tiny_patch16_224", TINY, "token", 48, 64),
        ("timm:vit_tiny_patch16_224", TINY.model_copy(update={"global_pool": "avg"}), "gap", 48, 64),
        ("timm:vit_huge_patch14_224", PATHOLOGY.model_copy(update={"img_size": 56}), "token", 48, 56),
        ("timm:vit_tiny_patch16_224", TINY.model_copy(update={"global_pool": ""}), "token+gap", 96, 64),
        ("timm:test_efficientnet", TimmArguments(), "gap", 256, 160),
        ("timm:test_convnext", TimmArguments(), "gap", 64, 160),
    ],
)
def test_a_card_rebuilds_the_network_to_the_last_bit(name, arguments, pool, width, side, tmp_path):
    network, bundle = saved(name, arguments, tmp_path)
    card = open_bundle(bundle.path).card
    assert (card.encoder, card.pool, card.timm.features, card.input_px) == (name, pool, width, side)
    assert card == parse_card(card.model_dump_json(), "again")
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8))
    with torch.inference_mode():
        for expected, got in zip(network(pixels), open_bundle(bundle.path).network()(pixels), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_token_and_mean_are_what_the_network_gives_them(tmp_path):
    arguments = TINY.model_copy(update={"global_pool": "", "reg_tokens": 2})
    encoder = build_timm("timm:vit_tiny_patch16_224", arguments, None)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        tokens = encoder.net.forward_features(x)
        got = encoder(x)
    assert tokens.shape == (2, 1 + 2 + 16, 48)
    torch.testing.assert_close(got[:, :48], tokens[:, 0])
    torch.testing.assert_close(got[:, 48:], tokens[:, 3:].mean(dim=1))


def test_tensors_that_no_file_holds_are_kept(tmp_path):
    """Positions of a rotary embedding are computed, not stored: built without values they would be noise."""
    name = "timm:eva02_tiny_patch14_224"
    arguments = TimmArguments(img_size=56, embed_dim=48, depth=1, num_heads=3)
    network, bundle = saved(name, arguments, tmp_path)
    stored = set(network.encoder.state_dict())
    assert [key for key, _ in network.encoder.named_buffers() if key not in stored]
    pixels = torch.zeros(1, 56, 56, 3, dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(bundle.network()(pixels)[0], network(pixels)[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_resnet"])
def test_all_runtimes_give_the_same_features(name, tmp_path):
    _, bundle = saved(name, TimmArguments(), tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 160, 160, 3), np.uint8)
    h = [
        compile_network(
            bundle.network(), 160, EngineSettings(device="cpu", precision="fp32", runtime=runtime)
        )(pixels)[0]
        for runtime in ("torch", "openvino")
    ]
    assert np.abs(h[0] - h[1]).max() < 1e-3 * np.abs(h[0]).max()


@pytest.mark.slow
def test_a_graph_with_constants_of_five_axes_runs_on_torch():
    name = "timm:swin_tiny_patch4_window7_224"
    network = build_network(card_of(name, TimmArguments(img_size=112, embed_dim=12)))
    assert any(tensor.ndim == 5 for tensor in fused(network).buffers())
    runs = compile_network(network, 112, EngineSettings(device="cpu", precision="fp32", runtime="torch"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels))[0].numpy()
    np.testing.assert_allclose(runs(pixels)[0], expected, atol=1e-4)


def test_weights_with_a_classifier_fit_and_half_precision_is_widened():
    import timm

    whole = timm.create_model("test_vit", num_classes=7).eval()
    half = {key: value.half() for key, value in whole.state_dict().items()}
    encoder = build_timm("timm:test_vit", TimmArguments(), half)
    x = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        expected = whole.forward_head(whole.forward_features(x), pre_logits=True)
        torch.testing.assert_close(encoder(x), expected, rtol=1e-2, atol=1e-2)
    assert next(encoder.parameters()).dtype == torch.float32


def test_weights_of_another_network_are_refused():
    other = build_timm("timm:test_resnet", TimmArguments(), None).state_dict()
    with pytest.raises(BundleError, match="not those of timm:test_vit: cls_token is missing"):
        build_timm("timm:test_vit", TimmArguments(), other)


def test_weights_that_the_network_would_leave_out_are_refused():
    """Without its layer scale a foundation model would run, and compute something else."""
    scaled = TINY.model_copy(update={"init_values": 1e-5})
    name = "timm:vit_tiny_patch16_224"
    weights = build_timm(name, scaled, None).state_dict()
    with pytest.raises(BundleError, match=r"blocks\.0\.ls1\.gamma is not part of it.*config\.json"):
        build_timm(name, TINY, weights)
    build_timm(name, scaled, weights)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("timm:vit_tiny_patch16_225", TimmArguments(), r"knows no network .*vit_tiny_patch16_224"),
        ("timm:/etc/passwd", TimmArguments(), "knows no network"),
        ("timm:hf-hub:someone/model", TimmArguments(), "knows no network"),
        ("timm:test_resnet", TimmArguments(reg_tokens=2), "cannot make test_resnet with reg_tokens=2"),
        ("timm:vit_tiny_patch16_224", TINY.model_copy(update={"num_heads": 5}), "cannot make"),
        ("timm:vit_base_patch16_siglip_224", TimmArguments(), "ends in the pooling 'map'"),
    ],
)
def test_networks_that_cannot_be_made(name, arguments, told):
    with pytest.raises(BundleError, match=told):
        describe_timm(name, arguments, {})


def test_a_card_that_does_not_tell_its_network(tmp_path):
    _, bundle = saved("timm:test_vit", TimmArguments(), tmp_path)
    card = json.loads(bundle.card.model_dump_json())
    for changes in (
        {"timm": None},
        {"encoder": "resnet18"},
        {"timm": card["timm"] | {"arguments": {"checkpoint_path": "/tmp/x.pth"}}},
        {"timm": card["timm"] | {"arguments": {"depth": 10**9}}},
        {"timm": card["timm"] | {"arguments": {"img_size": 224}}},
    ):
        with pytest.raises(BundleError, match="not usable"):
            parse_card(json.dumps(card | changes), "a card")
    other = bundle.card.model_copy(update={"timm": bundle.card.timm.model_copy(update={"features": 65})})
    with pytest.raises(BundleError, match=r"ends in 'token' with 64 values .* 'token' with 65"):
        save_bundle(other, bundle.tensors, tmp_path / "other.alnmodel")


def test_without_timm_the_extra_is_named(tmp_path, monkeypatch):
    _, bundle = saved("timm:test_resnet", TimmArguments(), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UsageError, match=r"timm:test_resnet .*napari-aln\[timm\]"):
        open_bundle(bundle.path).network()


def test_a_config_beside_the_weights_tells_what_differs(tmp_path):
    weights = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(1)}, weights)
    assert published_config(weights, "timm:test_vit").arguments == TimmArguments()
    config = {
        "architecture": "vit_huge_patch14_224",
        "num_classes": 0,
        "global_pool": "",
        "model_args": {"img_size": 224, "reg_tokens": 4, "mlp_ratio": 5.3375, "dynamic_img_size": True},
        "pretrained_cfg": {"mean": [0.7, 0.5, 0.7], "std": [0.2, 0.2, 0.2], "license": "CC-BY-NC-ND-4.0"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = published_config(weights, "timm:vit_huge_patch14_224.any_tag")
    assert found.arguments == TimmArguments(img_size=224, reg_tokens=4, mlp_ratio=5.3375, global_pool="")
    assert found.data == {"mean": [0.7, 0.5, 0.7], "std": [0.2, 0.2, 0.2]}
    assert found.licence == "CC-BY-NC-ND-4.0"
    with pytest.raises(UsageError, match="those of vit_huge_patch14_224, not of vit_tiny"):
        published_config(weights, "timm:vit_tiny_patch16_224")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        ('{"model_args": {"pretrained_cfg": {"file": "/x.pth"}}}', "pretrained_cfg .* is not usable"),
        ('{"model_args": {"depth": "many"}}', "depth .* is not usable"),
    ],
)
def test_configs_that_cannot_be_used(text, told, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BundleError, match=told):
        published_config(tmp_path / "model.safetensors", "timm:test_vit")
