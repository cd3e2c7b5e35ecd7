import subprocess
import sys

import pytest
import torch

from napari_aln.errors import BundleError
from napari_aln.mil.encoder_table import ENCODERS, encoder_spec, feature_count
from napari_aln.mil.encoders import build_encoder, encoder_skeleton
from napari_aln.runtimes.torchvision_import import models

# The reference's sizes, and the width of each network's last feature map in its paper.
SIZES = {
    "alexnet": 9216, "vgg11": 25088, "vgg13": 25088, "vgg16": 25088, "vgg19": 25088,
    "vgg11_bn": 25088, "vgg13_bn": 25088, "vgg16_bn": 25088, "vgg19_bn": 25088,
    "googlenet": 1024, "inception_v3": 2048,
    "resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048,
    "densenet121": 1024 * 49, "densenet161": 2208 * 49, "densenet169": 1664 * 49, "densenet201": 1920 * 49,
    "squeezenet1_0": 512, "squeezenet1_1": 512,
    "resnext50_32x4d": 2048, "resnext101_32x8d": 2048, "resnext101_64x4d": 2048,
    "wide_resnet50_2": 2048, "wide_resnet101_2": 2048,
    "mobilenet_v2": 1280, "mobilenet_v3_small": 576, "mobilenet_v3_large": 960,
    "shufflenet_v2_x0_5": 1024, "shufflenet_v2_x1_0": 1024, "shufflenet_v2_x1_5": 1024,
    "shufflenet_v2_x2_0": 2048,
    "efficientnet_b0": 1280, "efficientnet_b1": 1280, "efficientnet_b2": 1408, "efficientnet_b3": 1536,
    "efficientnet_b4": 1792, "efficientnet_b5": 2048, "efficientnet_b6": 2304, "efficientnet_b7": 2560,
    "efficientnet_v2_s": 1280, "efficientnet_v2_m": 1280, "efficientnet_v2_l": 1280,
}  # fmt: skip


def test_table_holds_exactly_the_45_encoders():
    assert len(SIZES) == 45
    assert set(ENCODERS) == set(SIZES)


QUICK = {"alexnet", "vgg13_bn", "googlenet", "resnet18", "resnet50", "squeezenet1_1", "densenet121",
         "resnext50_32x4d", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"}  # fmt: skip


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SIZES]
)
def test_encoder_gives_as_many_features_as_the_table_says(name):
    features = encoder_skeleton(name)(torch.zeros(1, 3, 96, 96, device="meta"))
    assert features.shape == (1, SIZES[name])
    assert feature_count(name) == SIZES[name]


@pytest.mark.parametrize(("name", "channels"), [("vgg11_bn", 512), ("alexnet", 256), ("densenet121", 1024)])
def test_grid_encoders_can_end_in_global_pooling(name, channels):
    features = encoder_skeleton(name, "gap")(torch.zeros(2, 3, 96, 96, device="meta"))
    assert features.shape == (2, channels)
    assert feature_count(name, "gap") == channels


def test_a_network_is_built_and_filled_without_torchs_compiler():
    code = (
        "import sys\n"
        "from napari_aln.mil.bundle import open_bundle\n"
        "from napari_aln.mil.encoders import encoder_skeleton\n"
        "from napari_aln.nuclei.bundle import open_nucleus_bundle\n"
        "from napari_aln.shipped import sample_path\n"
        "assert open_bundle(sample_path('dlcnbc-ws-demo.alnmodel')).network()\n"
        "assert open_nucleus_bundle(sample_path('nuclei.alnmodel')).network()\n"
        "for name in ('vgg13_bn', 'resnet18', 'densenet121', 'efficientnet_b0', 'googlenet'):\n"
        "    weights = encoder_skeleton(name).state_dict().values()\n"
        "    assert {value.device.type for value in weights} == {'meta'}\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_global_pooling_is_the_mean_of_the_grid():
    torch.manual_seed(0)
    grid = build_encoder("vgg11_bn")
    gap = build_encoder("vgg11_bn", "gap", grid.state_dict())
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        expected = grid(x).view(1, 512, 49).mean(2)
        torch.testing.assert_close(gap(x), expected)


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "resnet18"])
def test_weights_of_torchvision_give_its_own_features(name):
    torch.manual_seed(0)
    whole = models.get_model(name, weights=None).eval()
    seen = {}
    hooked = whole.features if name == "squeezenet1_1" else whole.avgpool
    hooked.register_forward_hook(lambda _, __, output: seen.update(out=output))
    x = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        whole(x)
        features = build_encoder(name, weights=whole.state_dict())(x)
    torch.testing.assert_close(features, seen["out"].mean((2, 3)))


def test_densenet_grid_is_cut_before_the_relu_as_in_the_reference():
    torch.manual_seed(0)
    with torch.inference_mode():
        assert (build_encoder("densenet121")(torch.rand(1, 3, 96, 96)) < 0).any()


def test_unknown_encoder_is_refused_by_name():
    with pytest.raises(BundleError, match="resnet17"):
        encoder_spec("resnet17")


def test_pool_the_encoder_cannot_end_in_is_refused():
    with pytest.raises(BundleError, match="resnet18 cannot end in pool '7x7'"):
        build_encoder("resnet18", "7x7")


def test_weights_of_another_encoder_are_refused():
    with pytest.raises(BundleError, match=r"not those of resnet34: layer1\.2\.conv1\.weight"):
        build_encoder("resnet34", weights=build_encoder("resnet18").state_dict())
