import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from napari_aln.errors import DeviceError
from napari_aln.mil.bag_statistics import BagStatisticsNetwork
from napari_aln.mil.encoder_table import feature_count
from napari_aln.mil.encoders import build_encoder
from napari_aln.mil.network import AttentionHead, PatchNetwork
from napari_aln.runtimes import choice
from napari_aln.runtimes.base import compile_network
from napari_aln.runtimes.choice import Choice
from napari_aln.runtimes.torch_runtime import TorchNetwork, exact_fp32
from napari_aln.settings.engine import EngineSettings
from napari_aln.workflows.slide.networks import ReadyNetworks

PX = 96
PIXELS = np.random.default_rng(0).integers(0, 256, (7, PX, PX, 3), dtype=np.uint8)
RUNTIMES = ["torch", "openvino", "winograd"]
CPU = Choice("torch", "cpu", "fp32")


def patch_network(encoder, seed=0):
    """A network with BatchNorm statistics of its own, as after training."""
    torch.manual_seed(seed)
    head = AttentionHead(feature_count(encoder), attention_width=3 if encoder == "alexnet" else 1)
    network = PatchNetwork(build_encoder(encoder), head, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        for module in network.train().modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network(torch.from_numpy(PIXELS))
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return patch_network("resnet18")


def compiled(network, runtime, **settings):
    return compile_network(network, PX, EngineSettings(runtime=runtime, device="cpu", **settings), threads=1)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "encoder", ["alexnet", "squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"]
)
def test_runtimes_give_what_the_module_gives(encoder, runtime):
    if runtime == "winograd" and encoder not in ("alexnet", "resnet18"):
        pytest.skip("it has no 3 x 3 convolutions of many channels")
    network = patch_network(encoder)
    run = compiled(network, runtime, precision="fp32")
    h, e = run(PIXELS[:3])
    with torch.inference_mode():
        h_plain, e_plain = (output.numpy() for output in network(torch.from_numpy(PIXELS[:3])))
    assert np.ptp(h_plain, axis=0).max() > 0.01
    np.testing.assert_allclose(h, h_plain, rtol=1e-4, atol=1e-4 * np.abs(h_plain).max())
    np.testing.assert_allclose(e, e_plain, rtol=1e-4, atol=1e-4)
    assert (h.dtype, e.dtype, run.name, run.device, run.precision) == (
        *(np.float32, np.float32), runtime, "cpu", "fp32"
    )  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_patch_does_not_depend_on_its_batch_bit_for_bit(network, runtime, precision):
    try:
        run = compiled(network, runtime, precision=precision)
    except DeviceError:
        pytest.skip(f"this processor has no {precision} on {runtime}")
    h, e = run(PIXELS)
    order = np.array([5, 0, 6, 3])
    for where in (order, order[:1], np.array([2, 2, 2])):
        h_again, e_again = run(PIXELS[where])
        np.testing.assert_array_equal(h_again, h[where])
        np.testing.assert_array_equal(e_again, e[where])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_patches_give_empty_arrays_of_the_right_width(network, runtime):
    h, e = compiled(network, runtime)(PIXELS[:0])
    assert (h.shape, e.shape) == ((0, 256), (0,))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_module_is_left_as_it_was(network, runtime):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    compiled(network, runtime)(PIXELS[:1])
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_network_nobody_holds_is_freed_with_its_weights(network, runtime):
    run = compiled(network, runtime)
    run(PIXELS)
    gone = weakref.ref(run)
    del run
    gc.collect()
    assert gone() is None


class Counted(nn.Module):
    """Notes each time its Python is run."""

    seen: list[int] = []  # noqa: RUF012 - of the copies too

    def forward(self, x):
        self.seen.append(len(x))
        return (x.float().mean((1, 2)),)


def test_a_network_is_traced_once_since_torch_keeps_each_trace():
    Counted.seen.clear()
    run = compiled(Counted(), "openvino")
    assert Counted.seen == [1]
    np.testing.assert_allclose(run(PIXELS)[0], PIXELS.astype(float).mean((1, 2)), rtol=1e-5)


def test_ready_networks_are_kept_the_ones_used_last():
    class Engine:
        choice, settings, made = CPU, EngineSettings(), []

        def compile(self, bundle):
            self.made.append(bundle.sha256)
            return object()

    class Bundle:
        card_sha256 = "card"

        def __init__(self, sha256):
            self.sha256 = sha256

    engine, networks = Engine(), ReadyNetworks(most=2)
    a, b, c = map(Bundle, "abc")
    first = networks.of(engine, a)
    for bundle in (b, a, c, a, b):
        networks.of(engine, bundle)
    assert networks.of(engine, a) is first
    assert engine.made == ["a", "b", "c", "b"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_network_answers_several_threads_as_it_answers_one(network, runtime):
    run = compiled(network, runtime)
    alone = [run(PIXELS[number : number + 3]) for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda number: run(PIXELS[number % 4 : number % 4 + 3]), range(24)))
    for number, answer in enumerate(together):
        for got, wanted in zip(answer, alone[number % 4], strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_training_module_is_run_in_eval_mode(network, runtime):
    expected = compiled(network, runtime)(PIXELS[:2])
    network.train()
    try:
        for got, wanted in zip(compiled(network, runtime)(PIXELS[:2]), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
    finally:
        network.eval()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_patches_of_the_wrong_shape_become_a_device_error(network, runtime):
    with pytest.raises(DeviceError, match="gave up"):
        compiled(network, runtime)(np.zeros((2, PX, PX, 4), dtype=np.uint8))


def test_batchnorm_is_folded(network):
    run = compiled(network, "torch")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in run._module.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


class Hungry(nn.Module):
    """Runs out of memory above a number of patches."""

    def __init__(self, at_most, error):
        super().__init__()
        self.at_most = at_most
        self.error = error
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.at_most:
            raise self.error
        return x.float().mean((1, 2)), x.float().amax((1, 2, 3))


def hungry(at_most, error, batch):
    run = TorchNetwork(nn.Identity(), Choice("torch", "cpu", "fp32"))
    run._module = Hungry(at_most, error)
    run.batch = batch
    return run


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you…"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(error):
    run = hungry(3, error, batch=8)
    mean, high = run(PIXELS)
    np.testing.assert_allclose(mean, PIXELS.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(high, PIXELS.max((1, 2, 3)))
    assert run.batch == 2
    assert run._module.seen == [8, 4, 2, 2, 2, 2]  # the last one filled up
    run(PIXELS[:1])
    assert run._module.seen[-1] == 2  # it stays small


def test_out_of_memory_on_a_single_patch_is_an_error():
    with pytest.raises(DeviceError, match="too small for a single patch"):
        hungry(0, torch.OutOfMemoryError("CUDA out of memory"), batch=4)(PIXELS)


def test_other_runtime_errors_become_device_errors_with_their_text():
    with pytest.raises(DeviceError, match="mat1 and mat2 shapes"):
        hungry(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore"), batch=4)(PIXELS)


def test_preparation_runs_before_the_module_and_adds_its_outputs():
    def prepare(pixels):
        return pixels[:, ::2], pixels.float().sum((1, 2, 3))

    run = TorchNetwork(Hungry(99, None), Choice("torch", "cpu", "fp32"), prepare=prepare)
    mean, _, total = run(PIXELS)
    np.testing.assert_allclose(mean, PIXELS[:, ::2].mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(total, PIXELS.sum((1, 2, 3)))


def test_preparation_needs_cuda(network):
    with pytest.raises(DeviceError, match="on CUDA only"):
        compile_network(network, PX, EngineSettings(device="cpu"), prepare=lambda x: (x,))


def test_a_thread_count_is_kept_to_the_call(network):
    before = torch.get_num_threads()
    run = compile_network(network, PX, EngineSettings(runtime="torch", device="cpu"), threads=1)
    run(PIXELS[:1])
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_bf16_is_taken_unasked_only_on_the_runtime_and_device_that_were_checked(monkeypatch, runtime):
    monkeypatch.setattr(choice, "_has_bf16", lambda _runtime, _device: True)
    other = {"torch": "openvino", "openvino": "torch"}[runtime]

    def chosen(*checked_on, precision="auto"):
        settings = EngineSettings(runtime=runtime, device="cpu", precision=precision)
        return choice.choose(settings, bf16_safe_on=checked_on).precision

    assert chosen((runtime, "cpu")) == "bf16"
    assert chosen((other, "cpu"), (runtime, "cuda")) == "fp32"
    assert chosen() == "fp32"
    assert chosen((runtime, "cpu"), precision="fp32") == "fp32"
    assert chosen(precision="bf16") == "bf16"


class Numerics(nn.Module):
    """Tells under which settings of cuDNN it was run."""

    def forward(self, x):
        cudnn = torch.backends.cudnn
        seen = torch.tensor([float(cudnn.allow_tf32), float(cudnn.deterministic)])
        return seen.expand(len(x), 2), seen.expand(len(x), 2)[:, 0]


def test_fp32_on_cuda_is_exact_and_the_settings_of_others_come_back():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        with exact_fp32("cuda"):
            assert Numerics()(PIXELS[:1])[0].tolist() == [[0.0, 1.0]]
        assert torch.backends.cudnn.allow_tf32
        with exact_fp32("cpu"):
            assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("make", [BagStatisticsNetwork, lambda module: TorchNetwork(module, CPU)])
def test_bags_and_patches_are_computed_under_the_same_exact_settings(monkeypatch, make):
    run = make(Numerics())
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)  # as if on a CUDA device
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    run.device = "cuda"
    assert run(PIXELS[:1])[0].tolist() == [[0.0, 1.0]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_agrees_with_the_cpu(network, precision):
    run = compile_network(network, PX, EngineSettings(device="cuda", precision=precision, batch=4))
    h, e = run(PIXELS)
    h_cpu, e_cpu = compiled(network, "torch", precision="fp32")(PIXELS)
    tolerance = 2e-3 if precision == "fp32" else 6e-2
    np.testing.assert_allclose(h, h_cpu, atol=tolerance * np.abs(h_cpu).max())
    np.testing.assert_allclose(e, e_cpu, atol=tolerance)
    np.testing.assert_array_equal(run(PIXELS[2:5])[0], h[2:5])
