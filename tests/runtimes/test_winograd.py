"""Convolutions by Winograd's way in bf16: the same as torch's but for rounding, and when they are chosen."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from napari_aln.errors import DeviceError
from napari_aln.mil.card import ModelCard, PrecisionCheck
from napari_aln.runtimes import choice
from napari_aln.runtimes.base import compile_network
from napari_aln.runtimes.winograd_conv import WinogradConv, is_taken, with_winograd
from napari_aln.runtimes.winograd_kernels import LANES, transformed_weights
from napari_aln.settings.engine import EngineSettings
from napari_aln.workflows.slide.networks import settings_for_card

BF16_STEP = 2**-8  # relative; a result is the sum of products that are rounded, and of transforms of such
PX = 24
PIXELS = np.random.default_rng(0).integers(0, 256, (7, PX, PX, 3), dtype=np.uint8)


def convolution(channels=LANES, filters=LANES, *, bias=True, seed=0, **other):
    torch.manual_seed(seed)
    made = nn.Conv2d(channels, filters, 3, **({"padding": 1} | other), bias=bias)
    nn.init.kaiming_normal_(made.weight)
    return made.eval()


def relative_error(got, exact) -> float:
    return float((got.float() - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("size", [(8, 8), (14, 14), (5, 7), (1, 1), (3, 9)])
@pytest.mark.parametrize(("relu", "pool"), [(False, False), (True, False), (False, True), (True, True)])
@torch.inference_mode()
def test_it_is_the_convolution_with_what_follows(size, relu, pool):
    if pool and min(size) < 2:
        pytest.skip("there is nothing to pool")
    own = convolution(2 * LANES, LANES)
    x = torch.randn(3, 2 * LANES, *size)
    exact = own(x.bfloat16().float())
    exact = functional.relu(exact) if relu else exact
    exact = functional.max_pool2d(exact, 2) if pool else exact
    got = WinogradConv(own, relu=relu, pool=pool)(x)
    assert got.dtype == torch.bfloat16
    assert got.shape == exact.shape
    assert relative_error(got, exact) < 6 * BF16_STEP
    assert not relu or (got >= 0).all()


@torch.inference_mode()
def test_more_tiles_than_one_product_takes_and_no_bias():
    own = convolution(LANES, 2 * LANES, bias=False)
    x = torch.randn(2, LANES, 66, 62)  # 544 tiles, in products of 109, the last one not full
    assert (
        relative_error(WinogradConv(own, relu=False, pool=False)(x), own(x.bfloat16().float()))
        < 6 * BF16_STEP
    )


@torch.inference_mode()
def test_what_lay_in_memory_before_is_not_read():
    own = convolution()
    conv = WinogradConv(own, relu=False, pool=False)
    x = torch.randn(1, LANES, 8, 8)
    before = conv(x)
    conv(torch.full((5, LANES, 30, 30), 3e38))  # leaves infinities where the products are computed
    assert torch.equal(conv(x), before)


def test_the_points_make_the_transforms_exact_but_for_rounding():
    """One filter that copies a pixel: all that is left are the transforms of pixels and products."""
    own = convolution()
    with torch.no_grad():
        own.weight.zero_()
        own.bias.zero_()
        own.weight[torch.arange(LANES), torch.arange(LANES), 1, 1] = 1.0
        x = torch.randn(1, LANES, 8, 8)
        got = WinogradConv(own, relu=False, pool=False)(x)
    assert relative_error(got, x) < 6 * BF16_STEP
    seen = transformed_weights(own.weight.detach().numpy())
    assert seen.shape == (36, LANES, LANES)
    np.testing.assert_allclose(seen[35], 0, atol=0)  # the last row and column alone count at infinity


@pytest.mark.parametrize(
    "other",
    [
        {"stride": 2},
        {"padding": 0},
        {"dilation": 2, "padding": 2},
        {"groups": 2},
        {"padding_mode": "reflect"},
        {"channels": 3},
        {"filters": LANES + 1},
    ],
)
def test_other_convolutions_are_left_to_torch(other):
    assert is_taken(convolution())
    assert not is_taken(convolution(**other))


class Small(nn.Module):
    """A small VGG with a residual end, as the engine takes networks: h and e of uint8 patches."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, LANES, 3, padding=1)
        self.deep = nn.Sequential(
            convolution(seed=1),
            nn.BatchNorm2d(LANES),
            nn.ReLU(),
            convolution(seed=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.last = convolution(seed=3)
        self.head = nn.Linear(LANES, 5)

    def forward(self, pixels):
        x = self.deep(functional.relu(self.first(pixels.permute(0, 3, 1, 2).float() / 255)))
        h = self.head((x + functional.relu(self.last(x))).mean((2, 3)))
        return h, h[:, 0]


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture
def _multiplies(monkeypatch):
    """A processor that multiplies bf16, and whole matrices of them not."""
    monkeypatch.setattr(choice, "_multiplies_bf16", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)


def compiled(network, threads=2):
    settings = EngineSettings(runtime="winograd", precision="bf16", device="cpu")
    return compile_network(network, PX, settings, threads=threads)


@pytest.mark.usefixtures("_multiplies")
class TestNetwork:
    @pytest.mark.parametrize("threads", [1, 2, 9])
    def test_it_gives_what_the_module_gives(self, small, threads):
        run = compiled(small, threads)
        with torch.inference_mode():
            exact = small(torch.from_numpy(PIXELS))
        for got, wanted in zip(run(PIXELS), exact, strict=True):
            assert got.dtype == np.float32
            assert relative_error(torch.from_numpy(got), wanted) < 6 * BF16_STEP
        assert (run.name, run.device, run.precision) == ("winograd", "cpu", "bf16")
        assert "numba" in run.version

    def test_a_patch_does_not_depend_on_its_batch_or_thread_bit_for_bit(self, small):
        run, other = compiled(small), compiled(small, threads=1)
        h, e = run(PIXELS)
        for where in (np.array([5, 0, 6, 3]), np.array([4]), np.array([2, 2, 2])):
            for again in (run, other):
                h_again, e_again = again(PIXELS[where])
                np.testing.assert_array_equal(h_again, h[where])
                np.testing.assert_array_equal(e_again, e[where])

    def test_no_patches_give_empty_arrays_of_the_right_width(self, small):
        assert [output.shape for output in compiled(small)(PIXELS[:0])] == [(0, 5), (0,)]

    def test_torchs_threads_are_as_before(self, small):
        before = torch.get_num_threads()
        compiled(small)(PIXELS)
        assert torch.get_num_threads() == before

    def test_relu_and_pooling_are_done_with_the_convolution_where_nothing_else_reads_it(self, small):
        traced = with_winograd(fx.symbolic_trace(small))
        done = {name: one for name, one in traced.named_modules() if isinstance(one, WinogradConv)}
        # Where a BatchNorm stands between, as it is not folded here, no ReLU follows the convolution.
        assert {name: (one._relu, one._pool) for name, one in done.items()} == {
            "deep.0": (False, False), "deep.3": (True, True), "last": (True, False)
        }  # fmt: skip

    def test_what_is_called_twice_or_pooled_in_another_way_is_not_done_together(self):
        class Strange(nn.Module):
            def __init__(self):
                super().__init__()
                self.twice, self.once = convolution(seed=1), convolution(seed=2)
                self.apart = nn.MaxPool2d(2, 2, dilation=2)

            def forward(self, x):
                return self.apart(self.once(self.twice(functional.relu(self.twice(x)))))

        strange, x = Strange().eval(), torch.randn(1, LANES, 12, 12)
        exact = strange(x)
        traced = with_winograd(fx.symbolic_trace(strange))
        assert isinstance(traced.twice, nn.Conv2d)
        assert (traced.once._relu, traced.once._pool) == (False, False)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            assert relative_error(traced(x), exact) < 6 * BF16_STEP

    def test_a_network_without_such_convolutions_is_refused(self):
        class Flat(nn.Module):
            def forward(self, pixels):
                return (pixels.float().mean((1, 2)),)

        with pytest.raises(DeviceError, match="no place in this network") as told:
            compiled(Flat())
        assert "openvino or torch" in told.value.next_step

    def test_fp32_is_refused(self, small):
        for precision in ("fp32", "auto"):
            settings = EngineSettings(runtime="winograd", precision=precision, device="cpu")
            with pytest.raises(DeviceError, match="bf16 alone"):
                compile_network(small, PX, settings)

    def test_without_numba_the_way_to_it_is_told(self, small, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(DeviceError, match="numba is not installed") as told:
            compiled(small)
        assert "pip install numba" in told.value.next_step


def test_a_processor_without_such_products_is_told(small, monkeypatch):
    monkeypatch.setattr(choice, "_multiplies_bf16", lambda: False)
    with pytest.raises(DeviceError, match="bf16 was asked for"):
        compiled(small)


def card(encoder="vgg13_bn", safe_on=None):
    check = PrecisionCheck(bf16_max_change=0.001, n_patches=50, runtime=safe_on, device="cpu")
    given = {} if safe_on is None else {"precision_check": check}
    return ModelCard(name="x", mode="dlcnbc-ws", encoder=encoder, pool="gap", mpp=1.0, **given)


def chosen(of, **settings):
    on_cpu = EngineSettings.model_validate({"device": "cpu"} | settings)
    return tuple(choice.choose(settings_for_card(of, on_cpu), bf16_safe_on=of.bf16_safe_on))


class TestAuto:
    @pytest.fixture(autouse=True)
    def _machine(self, monkeypatch):
        monkeypatch.setattr(choice, "_is_x86", lambda: True)
        monkeypatch.setattr(choice, "_multiplies_bf16", lambda: True)
        monkeypatch.setattr(choice, "_has_bf16", lambda runtime, _device: runtime != "ncnn")
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)

    def test_it_is_taken_where_bf16_is_asked_for_or_was_shown_to_be_safe_so(self):
        by_winograd = ("winograd", "cpu", "bf16")
        assert chosen(card(), precision="bf16") == by_winograd
        assert chosen(card(safe_on="winograd")) == by_winograd
        assert chosen(card(safe_on="openvino")) == (
            "openvino",
            "cpu",
            "bf16",
        )
        assert chosen(card()) == ("ncnn", "cpu", "fp32")
        assert chosen(card(safe_on="winograd"), precision="fp32") == ("ncnn", "cpu", "fp32")

    def test_encoders_it_does_not_make_faster_are_left_alone(self):
        for encoder in ("resnet18", "resnet50"):
            assert chosen(card(encoder), precision="bf16") == ("openvino", "cpu", "bf16")

    def test_so_are_processors_with_matrices_of_bf16_those_without_any_and_installations_without_numba(
        self, monkeypatch
    ):
        elsewhere = {
            "amx": lambda patch: patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True),
            "no products": lambda patch: patch.setattr(choice, "_multiplies_bf16", lambda: False),
            "no numba": lambda patch: patch.setattr(choice, "_is_installed", lambda name: name != "numba"),
        }
        for (_, change), of in itertools.product(elsewhere.items(), (card(), card(safe_on="winograd"))):
            with monkeypatch.context() as patch:
                change(patch)
                assert chosen(of, precision="bf16") == ("openvino", "cpu", "bf16")
