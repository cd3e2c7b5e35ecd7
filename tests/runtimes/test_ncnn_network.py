import gc
import importlib.util
import itertools
import platform
import sys
import threading

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from napari_aln.errors import DeviceError
from napari_aln.heap import return_freed
from napari_aln.mil.card import IMAGENET_MEAN, IMAGENET_STD, ModelCard, PrecisionCheck, TimmNetwork
from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.runtimes import choice
from napari_aln.runtimes.base import compile_network
from napari_aln.runtimes.ncnn_graph import TRUNK, with_trunk, written
from napari_aln.runtimes.torch_runtime import fused
from napari_aln.settings.engine import EngineSettings
from napari_aln.workflows.slide.networks import settings_for_card

PX = 31
PIXELS = np.random.default_rng(0).integers(0, 256, (5, PX, PX, 3), dtype=np.uint8)


class Residual(nn.Module):
    """Blocks of a ResNet in small: odd sizes, strides, dilation, groups, a value that three layers read."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, (5, 3), stride=2, padding=(2, 1), bias=False),
            *(nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)),
        )
        self.first = nn.Conv2d(16, 16, 3, padding=1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4)
        self.down = nn.Conv2d(16, 24, 1, stride=2)
        self.last = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.stem(x)
        y = self.relu(self.first(x))
        y += self.grouped(x)
        y = torch.relu(y + x)
        z = self.last(y)
        z += self.down(y)
        return self.relu(z).mean((2, 3))


def like_vgg():
    layers = []
    for width, before in ((32, 3), (32, 32), (64, 32)):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def network_of(encoder, width):
    torch.manual_seed(0)
    network = PatchNetwork(encoder, AttentionHead(width), IMAGENET_MEAN, IMAGENET_STD)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(PIXELS))  # statistics of its own, as after training
    return network.eval()


NETWORKS = {"vgg": network_of(like_vgg(), 256), "residual": network_of(Residual(), 24)}


def on(runtime, network, threads=1, **settings):
    return compile_network(network, PX, EngineSettings(runtime=runtime, **settings), threads=threads)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_what_it_says_is_what_torch_says(network):
    ours = on("ncnn", network)
    theirs = on("torch", network, device="cpu", precision="fp32")
    for found, wanted in zip(ours(PIXELS), theirs(PIXELS), strict=True):
        assert np.ptp(wanted) > 0.01
        assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert (ours.name, ours.device, ours.precision) == ("ncnn", "cpu", "fp32")


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_neither_order_nor_batch_nor_threads_change_a_bit(network):
    h, e = on("ncnn", network)(PIXELS)
    two = on("ncnn", network, threads=2)
    for where in ([4, 0, 3, 1, 2], [2], [1, 1], list(range(5)) * 4):
        for found, wanted in zip(two(PIXELS[where]), (h, e), strict=True):
            np.testing.assert_array_equal(found, wanted[where])
    assert [one.shape for one in two(PIXELS[:0])] == [(0, 256), (0,)]
    np.testing.assert_array_equal(two(torch.from_numpy(PIXELS[::2].copy()))[0], h[::2])


def test_the_caller_keeps_its_threads_of_torch_and_others_get_theirs():
    before = torch.get_num_threads()
    on("ncnn", NETWORKS["vgg"], threads=2)(PIXELS)
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *elsewhere] == [before, before]


def test_all_convolutions_are_in_the_trunk_and_each_value_is_read_once():
    split = with_trunk(fused(NETWORKS["residual"]))
    inside = split.get_submodule(TRUNK)
    assert sum(isinstance(one, nn.Conv2d) for one in split.modules()) == 5
    assert sum(isinstance(one, nn.Conv2d) for one in inside.modules()) == 5
    lines = [line.split() for line in written(inside).text.splitlines()[2:]]
    reads = [name for line in lines for name in line[4 : 4 + int(line[2])]]
    makes = [name for line in lines for name in line[4 + int(line[2]) :][: int(line[3])]]
    assert len(reads) == len(set(reads))
    assert set(makes) - set(reads) == {"features"}
    assert [line[0] for line in lines].count("ReLU") == 2  # two are done by the convolution before them


class Wired(nn.Module):
    """A network of one strange step between two convolutions."""

    def __init__(self, step):
        super().__init__()
        self.a, self.b, self.step = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), step

    def forward(self, x):
        x = x.permute(0, 3, 1, 2).float()
        return (self.b(self.step(self.a(x))).mean((2, 3)),)


class Branching(Wired):
    """Cannot be traced: its way depends on its values."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else (x,)


class TwoEnds(Wired):
    def forward(self, x):
        a = self.a(x.permute(0, 3, 1, 2).float())
        return self.b(a).mean((2, 3)), a.mean((2, 3))


class OverWritten(Wired):
    """Reads a value again after a ReLU in place."""

    def forward(self, x):
        a = self.a(x.permute(0, 3, 1, 2).float())
        return (self.b(self.step(a) + a).mean((2, 3)),)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (Wired(nn.SiLU()), "SiLU stands between"),
        (Wired(nn.MaxPool2d(3, 2, ceil_mode=True)), "MaxPool2d stands between"),
        (Wired(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")), "Conv2d stands between"),
        (Wired(nn.BatchNorm2d(4, track_running_stats=False)), "BatchNorm2d stands between"),
        (Branching(nn.Identity()), "cannot be traced"),
        (TwoEnds(nn.Identity()), "mean stands between"),
        (OverWritten(nn.ReLU(inplace=True)), "ReLU stands between"),
        (nn.Flatten(), "no convolutions"),
    ],
)
def test_what_it_cannot_take_is_refused_with_its_name_and_another_runtime(network, why):
    with pytest.raises(DeviceError, match=why) as told:
        on("ncnn", network)
    assert "runtime openvino or torch" in told.value.next_step


def test_patches_of_another_shape_are_refused_and_the_network_goes_on():
    run = on("ncnn", NETWORKS["vgg"], threads=2)
    with pytest.raises(DeviceError, match="ncnn gave up"):
        run(np.zeros((4, PX, PX, 4), np.uint8))
    assert np.isfinite(run(PIXELS)[0]).all()


def test_it_prints_nothing_and_makes_no_gpu_instance(capfd):
    run = on("ncnn", NETWORKS["residual"])
    run(PIXELS)
    del run
    gc.collect()
    assert capfd.readouterr() == ("", "")


def test_networks_nobody_holds_give_their_memory_and_threads_back():
    layers = nn.Conv2d(3, 512, 1), nn.Conv2d(512, 512, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    wide = network_of(nn.Sequential(*layers), 512)

    def held_mib():
        on("ncnn", wide, threads=2)(PIXELS)
        gc.collect()
        if not return_freed():
            pytest.skip("this C library keeps what was freed as it likes")
        return psutil.Process().memory_info().rss / 2**20

    held_mib()
    before, threads = held_mib(), threading.active_count()
    assert max(held_mib() for _ in range(2)) - before < 30  # each one holds 36 MiB of transformed weights
    assert threading.active_count() <= threads + 2


def test_bf16_and_cuda_are_not_offered(monkeypatch):
    with pytest.raises(DeviceError, match="bf16 was asked for, but ncnn runs in fp32 alone") as told:
        on("ncnn", NETWORKS["vgg"], precision="bf16")
    assert "precision fp32 or auto" in told.value.next_step
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(DeviceError, match="ncnn does not run on CUDA"):
        on("ncnn", NETWORKS["vgg"], device="cuda")
    assert on("ncnn", NETWORKS["vgg"]).device == "cpu"  # device auto, where there is a GPU


def without(monkeypatch, *packages):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else real(name))


def test_where_it_is_not_installed_the_way_to_it_is_told(monkeypatch):
    without(monkeypatch, "ncnn")
    with pytest.raises(DeviceError, match="ncnn is not installed") as told:
        on("ncnn", NETWORKS["vgg"])
    assert "pip install ncnn" in told.value.next_step


def card(encoder="vgg13_bn", pool="gap", **fields):
    return ModelCard(name="x", mode="dlcnbc-ws", encoder=encoder, pool=pool, mpp=1.0, **fields)


def chosen(of, **settings):
    on_cpu = EngineSettings.model_validate({"device": "cpu"} | settings)
    settings = settings_for_card(of, on_cpu)
    return tuple(choice.choose(settings, bf16_safe_on=of.bf16_safe_on))


SAFE = PrecisionCheck(bf16_max_change=0.001, n_patches=50, runtime="openvino", device="cpu")


class TestAuto:
    @pytest.fixture(autouse=True)
    def _x86(self, monkeypatch):
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(choice, "_has_bf16", lambda runtime, _device: runtime != "ncnn")
        monkeypatch.setattr(choice, "_multiplies_bf16", lambda: False)

    @pytest.mark.parametrize(
        ("encoder", "runtime"),
        [("vgg16", "ncnn"), ("resnet18", "ncnn"), ("resnet50", "openvino"), ("densenet121", "openvino")],
    )
    def test_it_is_taken_for_the_encoders_that_it_runs_faster(self, encoder, runtime):
        assert chosen(card(encoder)) == (runtime, "cpu", "fp32")

    def test_bf16_that_is_safe_on_openvino_stays_there(self):
        safe = card(precision_check=SAFE)
        assert chosen(safe) == ("openvino", "cpu", "bf16")
        assert chosen(safe, precision="fp32") == ("ncnn", "cpu", "fp32")
        assert chosen(card(), precision="bf16") == ("openvino", "cpu", "bf16")

    def test_bf16_that_this_processor_has_not_leaves_fp32_and_so_ncnn(self, monkeypatch):
        monkeypatch.setattr(choice, "_has_bf16", lambda *_: False)
        assert chosen(card(precision_check=SAFE)) == ("ncnn", "cpu", "fp32")

    def test_a_named_runtime_is_kept(self):
        for encoder, runtime in itertools.product(("vgg16", "resnet50"), ("openvino", "torch", "ncnn")):
            assert chosen(card(encoder), runtime=runtime)[0] == runtime

    def test_other_processors_and_installations_without_it_go_on_as_before(self, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "ncnn", None)  # not there, or its library does not load
            assert chosen(card())[0] == "openvino"
        with monkeypatch.context() as patch:
            without(patch, "openvino")
            assert chosen(card())[0] == "ncnn"
            assert chosen(card("resnet50"))[0] == "torch"
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
        assert chosen(card())[0] == "torch"

    def test_encoders_of_timm_are_left_to_openvino_and_torch(self):
        timm = TimmNetwork(version="1.0", features=512)
        assert chosen(card("timm:vgg13_bn", timm=timm))[0] == "openvino"
        assert chosen(card("timm:vgg13_bn", timm=timm.model_copy(update={"openvino": False})))[0] == "torch"
