"""Networks on torch with Winograd convolutions, a few patches a thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numba
import numpy as np
import torch
from torch import nn

from napari_aln.errors import DeviceError
from napari_aln.runtimes.torch_runtime import (
    fused,
    lay_channels_last,
    thread_count,
    torch_errors,
    torch_threads,
)
from napari_aln.runtimes.winograd_conv import with_winograd

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOGETHER = 8
"""Patches of one thread: their products read the deepest layers' weights together, up to a sixth faster.

However many threads there are: with other numbers of rows MKL rounds a row by its place.
"""


class WinogradNetwork:
    """A network whose 3 x 3 convolutions are done with a quarter of the products.

    Parameters
    ----------
    module
        Takes uint8 (n, S, S, 3), returns a tuple of tensors with n rows. Left as it is.
    input_px
        S, or height and width.
    precision
        "fp32" or "bf16".
    threads
        CPU threads; None: as many as torch takes.

    Notes
    -----
    Everything but these convolutions is torch's. Threads have patches of their own, always as many at once:
    few are filled up, so that what a patch gives depends neither on its neighbours nor on the threads.
    """

    name = "winograd"
    device = "cpu"

    def __init__(
        self,
        module: nn.Module,
        input_px: int | tuple[int, int],
        precision: str,
        *,
        threads: int | None = None,
    ) -> None:
        self.precision = precision
        self.version = f"torch {torch.__version__}, numba {numba.__version__}"
        network = with_winograd(fused(module), torch.bfloat16 if precision == "bf16" else torch.float32)
        if network is None:
            raise DeviceError(
                "Winograd convolutions have no place in this network.", "Choose runtime openvino or torch."
            )
        self._module = network
        lay_channels_last(network)
        if precision == "bf16":  # autocast would round their weights anew in each call
            for part in network.modules():
                if isinstance(part, nn.Linear):
                    part.bfloat16()
        threads = threads or thread_count()
        self.patches_at_once = threads * _TOGETHER
        self._turn = threading.Lock()
        self._workers = ThreadPoolExecutor(threads, "winograd")
        height, width = (input_px, input_px) if isinstance(input_px, int) else input_px
        self(np.zeros((0, height, width, 3), np.uint8))  # compiles what numba has not kept from before

    def __call__(self, batch: NDArray[np.uint8] | torch.Tensor) -> tuple[NDArray[np.float32], ...]:
        """Run the network; see `base.CompiledNetwork`."""
        pixels = np.asarray(batch)
        starts = range(0, max(len(pixels), 1), _TOGETHER)  # no patches still tell the widths
        some = [pixels[start : start + _TOGETHER] for start in starts]
        # The threads set torch's number of threads, so all must be done when the caller's comes back.
        with self._turn, torch_errors("computing patches"), torch_threads(1):
            at_work = [self._workers.submit(self._some, patches) for patches in some]
            wait(at_work)
            parts = [one.result() for one in at_work]
        return tuple(np.concatenate(output) for output in zip(*parts, strict=True))

    @torch.inference_mode()
    def _some(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        torch.set_num_threads(1)  # in each, as they are all of this network's
        filled = np.zeros((_TOGETHER, *pixels.shape[1:]), np.uint8)
        filled[: len(pixels)] = pixels
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            outputs = self._module(torch.from_numpy(filled))
        return [output[: len(pixels)].float().numpy() for output in outputs]
