"""Networks on torch: one patch at a time on the CPU, fixed batches on CUDA and MPS."""

from __future__ import annotations

import copy
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx
from torch.fx.experimental.optimization import fuse

from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_aln.runtimes.choice import Choice

    Prepare = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


_tracing = threading.Lock()
_asking_for_threads = threading.Lock()
_found_by: list[int] = []  # torch's number of threads, as found by each that is at work


def fused(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy in eval mode, BatchNorm folded into the convolutions where the graph can be traced."""
    module = copy.deepcopy(module).eval()
    try:
        with _tracing:  # two at once would leave torch's modules replaced for good
            graph = _Tracer().trace(module)
        return fuse(fx.GraphModule(module, graph), inplace=True, no_trace=True)
    except (fx.proxy.TraceError, RuntimeError):  # cannot be traced; the result is the same, only slower
        return module


class _Tracer(fx.Tracer):
    """Traces what its own thread calls: torch replaces calls of modules for all threads meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self, m: torch.nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401 - as torch has it
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ANN401
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def lay_channels_last(module: torch.nn.Module) -> None:
    """Lay kernels out channels last; ``Module.to`` stops at constants of five axes, as in Swin's graph."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def thread_count() -> int:
    """Return how many CPU threads torch has, whatever a network that is at work has set."""
    with _asking_for_threads:
        return _found_by[0] if _found_by else torch.get_num_threads()


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Have torch compute with so many CPU threads for a while; None: with those it has.

    The number is this thread's own and what threads to come begin with, so who comes while another is at work
    takes over what that one found.
    """
    with _asking_for_threads:
        before = _found_by[0] if _found_by else torch.get_num_threads()
        _found_by.append(before)
    try:
        torch.set_num_threads(before if threads is None else threads)
        yield
    finally:
        with _asking_for_threads:
            _found_by.pop()
            torch.set_num_threads(before)


@contextmanager
def torch_errors(what: str) -> Iterator[None]:
    """Torch raises RuntimeError for everything, which Qt workers swallow."""
    try:
        yield
    except RuntimeError as error:
        raise DeviceError(
            f"torch gave up while {what}: {str(error).splitlines()[0]}.",
            "Try device cpu, precision fp32 or a smaller batch.",
        ) from error


@contextmanager
def exact_fp32(device: str) -> Iterator[None]:
    """Make fp32 on CUDA mean fp32, not TF32, and the same patch give the same bits wherever it stands."""
    if device == "cuda":
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    else:
        yield


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether torch gave up for lack of memory."""
    # The CPU allocator raises a bare RuntimeError, so there its text is all there is to know it by.
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


class TorchNetwork:
    """A network on torch.

    Parameters
    ----------
    module
        Takes uint8 (n, S, S, 3), returns a tuple of tensors with n rows. Copied, not changed.
    choice
        Device and precision.
    batch
        Patches that go through the device at once. The CPU takes one at a time: that is fastest there.
    prepare
        See `base.compile_network`.
    threads
        CPU threads; None leaves torch's number.

    Notes
    -----
    Short batches are filled up, since another batch size may choose another kernel and so other rounding.
    """

    name = "torch"

    def __init__(
        self,
        module: torch.nn.Module,
        choice: Choice,
        *,
        batch: int = 16,
        prepare: Prepare | None = None,
        threads: int | None = None,
    ) -> None:
        self.device = choice.device
        self.precision = choice.precision
        self.version = str(torch.__version__)
        self.batch = 1 if self.device == "cpu" else batch
        self.patches_at_once = 4 * self.batch
        self._threads = threads
        self._prepare = prepare
        self._turn = threading.Lock()
        with torch_errors(f"moving the network to {self.device}"):
            self._module = fused(module).to(self.device)
            lay_channels_last(self._module)

    def __call__(self, batch: NDArray[np.uint8] | torch.Tensor) -> tuple[NDArray[np.float32], ...]:
        """Run the network; see `base.CompiledNetwork`. Halves the batch when memory runs out."""
        with self._turn, torch_errors("computing patches"), torch_threads(self._threads):
            while True:
                try:
                    return self._run(batch)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    if self.batch == 1:
                        raise DeviceError(
                            f"The memory of the {self.device} device is too small for a single patch.",
                            "Close other programs, or choose a smaller encoder.",
                        ) from error
                self.batch = self.batch // 2  # outside the handler: the traceback would hold tensors
                if self.device == "cuda":
                    torch.cuda.empty_cache()

    @contextmanager
    def _numerics(self) -> Iterator[None]:
        bf16 = torch.autocast(self.device, torch.bfloat16) if self.precision == "bf16" else nullcontext()
        with exact_fp32(self.device), bf16:
            yield

    @torch.inference_mode()
    def _run(self, batch: NDArray[np.uint8] | torch.Tensor) -> tuple[NDArray[np.float32], ...]:
        parts = []
        for start in range(0, max(len(batch), 1), self.batch):  # no patches still tell the widths
            some = batch[start : start + self.batch]
            pixels = some if isinstance(some, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(some))
            parts.append([output[: len(pixels)] for output in self._forward(pixels)])
        # One copy at the end: the device works on while the next batch is sent.
        return tuple(torch.cat(outputs).float().cpu().numpy() for outputs in zip(*parts, strict=True))

    def _forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if len(pixels) < self.batch:
            pixels = torch.cat([pixels, pixels.new_zeros((self.batch - len(pixels), *pixels.shape[1:]))])
        if self.device == "cuda" and pixels.device.type == "cpu":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.device, non_blocking=True)
        prepared, *extra = self._prepare(pixels) if self._prepare else (pixels,)
        with self._numerics():
            outputs = self._module(prepared)
        return (*outputs, *extra)
