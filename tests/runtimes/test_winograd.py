"""Convolutions by Winograd's way: the same as torch's but for rounding."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from napari_aln.errors import DeviceError
from napari_aln.runtimes import choice, winograd_kernels
from napari_aln.runtimes.base import compile_network
from napari_aln.runtimes.winograd_conv import ReluConv, WinogradConv, is_taken, with_winograd
from napari_aln.runtimes.winograd_kernels import transformed_weights
from napari_aln.settings.engine import EngineSettings

BF16 = torch.bfloat16
# Relative root mean square; a result is the sum of products that are rounded, and of transforms of such.
MOST = {torch.float32: 3e-6, BF16: 6 * 2**-8}
HAS_BF16 = torch.cpu._is_avx512_bf16_supported()
_bf16_here = pytest.mark.skipif(not HAS_BF16, reason="torch has no bf16 on this processor")
DTYPES = [torch.float32, pytest.param(BF16, marks=_bf16_here)]
PRECISIONS = {"fp32": torch.float32, "bf16": BF16}
PX = 24
CHANNELS = 64
PIXELS = np.random.default_rng(0).integers(0, 256, (7, PX, PX, 3), dtype=np.uint8)


def convolution(channels=CHANNELS, filters=CHANNELS, *, bias=True, seed=0, **other):
    torch.manual_seed(seed)
    made = nn.Conv2d(channels, filters, 3, **({"padding": 1} | other), bias=bias)
    nn.init.kaiming_normal_(made.weight)
    return made.eval()


def relative_error(got, exact) -> float:
    return float((got.float() - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(8, 8), (14, 14), (5, 7), (1, 1), (3, 9)])
@pytest.mark.parametrize(("relu", "pool"), [(False, False), (True, False), (False, True), (True, True)])
@torch.inference_mode()
def test_it_is_the_convolution_with_what_follows(size, relu, pool, dtype):
    if pool and min(size) < 2:
        pytest.skip("there is nothing to pool")
    own = convolution(2 * CHANNELS, CHANNELS)
    x = torch.randn(3, 2 * CHANNELS, *size)
    exact = own(x.to(dtype).float())
    exact = functional.relu(exact) if relu else exact
    exact = functional.max_pool2d(exact, 2) if pool else exact
    got = WinogradConv(own, dtype, relu=relu, pool=pool)(x)
    assert got.dtype == dtype
    assert got.shape == exact.shape
    assert relative_error(got, exact) < MOST[dtype]
    assert not relu or (got >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_more_tiles_than_one_product_takes_and_no_bias(dtype):
    own = convolution(CHANNELS, 2 * CHANNELS, bias=False)
    x = torch.randn(2, CHANNELS, 66, 62)  # 544 tiles, in products of 109, the last one not full
    got = WinogradConv(own, dtype, relu=False, pool=False)(x)
    assert relative_error(got, own(x.to(dtype).float())) < MOST[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_what_lay_in_memory_before_is_not_read(dtype):
    own = convolution()
    conv = WinogradConv(own, dtype, relu=False, pool=False)
    x = torch.randn(1, CHANNELS, 8, 8)
    before = conv(x)
    conv(torch.full((5, CHANNELS, 30, 30), 3e38))  # leaves infinities where the products are computed
    assert torch.equal(conv(x), before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pool", [False, True])
@torch.inference_mode()
def test_what_is_no_number_stays_so(dtype, pool):
    x = torch.randn(1, CHANNELS, 8, 8)
    x[0, 5, 6, 1] = torch.nan
    got = WinogradConv(convolution(), dtype, relu=True, pool=pool)(x)
    tile = 2 if pool else 4  # results of one tile along a side; the window of the tile beside it holds it not
    assert got[..., tile:, :tile].isnan().all()
    assert got[..., tile:].isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "other",
    [{}, {"stride": 2}, {"padding": (2, 0), "dilation": (1, 2)}, {"groups": 2, "bias": False}],
)
@torch.inference_mode()
def test_other_convolutions_with_a_relu(dtype, other):
    own = convolution(6, 10, **other)
    conv = ReluConv(own, dtype)
    for n in (2, 1, 3):
        x = torch.randn(n, 6, 13, 9)
        exact = functional.relu(own(x.to(dtype).float()))
        got = conv(x)
        assert (got.dtype, got.shape) == (dtype, exact.shape)
        assert relative_error(got, exact) < MOST[dtype]


@pytest.mark.parametrize(
    "conv", [ReluConv(convolution()), WinogradConv(convolution(), relu=True, pool=False)]
)
@torch.inference_mode()
def test_results_share_memory_once_nobody_reads_them(conv):
    x = torch.randn(2, CHANNELS, 8, 8)
    first = conv(x)
    part, exact = first[1:], first[1:].clone()
    del first
    where = {conv(-x).data_ptr() for _ in range(10)}  # each is gone when the next is made
    assert torch.equal(part, exact)
    assert part.untyped_storage().data_ptr() not in where
    assert len(where) < 5


def test_the_points_make_the_transforms_exact_but_for_rounding():
    """One filter that copies a pixel: all that is left are the transforms of pixels and products."""
    own = convolution()
    with torch.no_grad():
        own.weight.zero_()
        own.bias.zero_()
        own.weight[torch.arange(CHANNELS), torch.arange(CHANNELS), 1, 1] = 1.0
        x = torch.randn(1, CHANNELS, 8, 8)
        assert relative_error(WinogradConv(own, relu=False, pool=False)(x), x) < MOST[torch.float32]
    seen = transformed_weights(own.weight.detach().numpy())
    assert seen.shape == (36, CHANNELS, CHANNELS)
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
        {"filters": CHANNELS + 1},
    ],
)
def test_other_convolutions_are_left_to_torch(other):
    assert is_taken(convolution())
    assert not is_taken(convolution(**other))


class Small(nn.Module):
    """A small VGG with a residual end, as the engine takes networks: h and e of uint8 patches."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.deep = nn.Sequential(
            convolution(seed=1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            convolution(seed=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.last = convolution(seed=3)
        self.head, self.one = nn.Linear(CHANNELS, 5), nn.Linear(CHANNELS, 1)

    def forward(self, pixels):
        x = self.deep(functional.relu(self.first(pixels.permute(0, 3, 1, 2).float() / 255)))
        features = (x + functional.relu(self.last(x))).mean((2, 3))
        return self.head(features), self.one(features)[:, 0]


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(params=["fp32", pytest.param("bf16", marks=_bf16_here)])
def precision(request):
    return request.param


def compiled(network, precision="fp32", threads=2):
    settings = EngineSettings(runtime="winograd", precision=precision, device="cpu")
    return compile_network(network, PX, settings, threads=threads)


class TestNetwork:
    @pytest.mark.parametrize("threads", [1, 2, 9])
    def test_it_gives_what_the_module_gives(self, small, precision, threads):
        run = compiled(small, precision, threads)
        with torch.inference_mode():
            exact = small(torch.from_numpy(PIXELS))
        for got, wanted in zip(run(PIXELS), exact, strict=True):
            assert got.dtype == np.float32
            assert relative_error(torch.from_numpy(got), wanted) < MOST[PRECISIONS[precision]]
        assert (run.name, run.device, run.precision) == ("winograd", "cpu", precision)
        assert "numba" in run.version

    def test_a_patch_does_not_depend_on_its_batch_or_thread_bit_for_bit(self, small, precision):
        run, *others = (compiled(small, precision, threads) for threads in (2, 1, 3, 9))
        h, e = run(PIXELS)
        for where in (np.array([5, 0, 6, 3]), np.array([4]), np.array([2, 2, 2]), np.arange(25) % 7):
            for again in (run, *others):
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
        assert isinstance(traced.first, ReluConv)
        done = {name: one for name, one in traced.named_modules() if isinstance(one, WinogradConv)}
        # Where a BatchNorm stands between, as it is not folded here, no ReLU follows the convolution.
        assert {name: (one._least[0] == 0, one._pool) for name, one in done.items()} == {
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

        strange, x = Strange().eval(), torch.randn(1, CHANNELS, 12, 12)
        exact = strange(x)
        traced = with_winograd(fx.symbolic_trace(strange))
        assert isinstance(traced.twice, nn.Conv2d)
        assert (traced.once._least[0], traced.once._pool) == (-np.inf, False)
        with torch.inference_mode():
            assert relative_error(traced(x), exact) < MOST[torch.float32]

    def test_a_network_without_such_convolutions_is_refused(self):
        class Flat(nn.Module):
            def forward(self, pixels):
                return (pixels.float().mean((1, 2)),)

        with pytest.raises(DeviceError, match="no place in this network") as told:
            compiled(Flat())
        assert "openvino or torch" in told.value.next_step

    def test_what_a_call_gave_stays_when_another_follows(self):
        class OfTheFirst(Small):
            def forward(self, pixels):
                first = functional.relu(self.first(pixels.permute(0, 3, 1, 2).float() / 255))
                return first, self.last(first)

        run = compiled(OfTheFirst().eval(), threads=1)
        before = run(PIXELS)
        copied = [output.copy() for output in before]
        run(255 - PIXELS)
        for output, copy in zip(before, copied, strict=True):
            np.testing.assert_array_equal(output, copy)

    def test_patches_of_another_shape_are_refused_and_the_network_goes_on(self, small):
        run = compiled(small)
        with pytest.raises(DeviceError, match="torch gave up"):
            run(np.zeros((4, PX, PX, 4), np.uint8))
        assert np.isfinite(run(PIXELS)[0]).all()

    def test_the_number_of_threads_decides_how_many_patches_are_done_together(self, small):
        assert [compiled(small, threads=threads).patches_at_once for threads in (1, 3)] == [8, 24]

    def test_networks_nobody_holds_give_their_memory_and_threads_back(self, small):
        def held_mib():
            gc.collect()
            return sum(one.nbytes for one in gc.get_objects() if issubclass(type(one), torch.Tensor)) / 2**20

        before, threads = held_mib(), set(threading.enumerate())
        networks = [compiled(small) for _ in range(3)]
        for network in networks:
            network(PIXELS)
        assert held_mib() - before > 3  # their transformed weights, and what their threads wrote to
        begun = set(threading.enumerate()) - threads
        started = [thread for thread in begun if thread.name.startswith("winograd")]
        assert started
        del networks, network
        gc.collect()
        for thread in started:
            thread.join(10)
        assert not any(thread.is_alive() for thread in started)
        assert held_mib() - before < 0.1

    def test_without_numba_the_way_to_it_is_told(self, small, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(DeviceError, match="numba is not installed") as told:
            compiled(small)
        assert "pip install numba" in told.value.next_step


def test_other_processors_than_those_of_x86_are_told(small, monkeypatch):
    monkeypatch.setattr(choice, "_is_x86", lambda: False)
    with pytest.raises(DeviceError, match="x86 processors alone"):
        compiled(small)


def test_a_processor_without_such_products_is_told(small, monkeypatch):
    monkeypatch.setattr(choice, "_multiplies_bf16", lambda: False)
    with pytest.raises(DeviceError, match="bf16 was asked for"):
        compiled(small, "bf16")


OTHER_PROCESSOR = """
import torch
from napari_aln.runtimes.winograd_conv import WinogradConv
from napari_aln.runtimes.winograd_kernels import _rounds_bf16
assert not _rounds_bf16()
torch.manual_seed(0)
conv = torch.nn.Conv2d(64, 64, 3, padding=1).bfloat16().float()
x = torch.randn(1, 64, 8, 8).bfloat16()
x[0, 0, 0, 7] = torch.nan
with torch.inference_mode():
    got = WinogradConv(conv, torch.bfloat16, relu=True, pool=False)(x).float()
    exact = conv(x.float()).relu()
assert got[..., :4, 4:].isnan().all()
print(float((got - exact)[..., 4:, :4].square().mean().sqrt() / exact[..., 4:, :4].square().mean().sqrt()))
"""


@_bf16_here
def test_numba_may_compile_for_a_processor_that_does_not_round_to_bf16():
    env = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < MOST[BF16]


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), EOFError("Ran out of input")])
def test_kernels_that_cannot_be_kept_are_compiled_all_the_same(trouble, monkeypatch):
    def fail(*_arguments):
        raise trouble

    called = []
    kernel = winograd_kernels._kernel(lambda x: x + 1)
    monkeypatch.setattr(numba.core.caching.Cache, "load_overload", lambda *a: called.append(a) or fail())
    assert kernel(1) == 2
    assert called


def test_a_numba_that_cannot_be_loaded_is_told(small, monkeypatch):
    monkeypatch.setattr(choice, "_loads", lambda package: package != "numba")
    with pytest.raises(DeviceError, match="cannot be loaded") as told:
        compiled(small)
    assert "--upgrade numba" in told.value.next_step
