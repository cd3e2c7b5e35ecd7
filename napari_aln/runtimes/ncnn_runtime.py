"""Networks on ncnn: Winograd convolutions, one patch a thread."""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import ncnn
import numpy as np
import torch
from torch import fx, nn

from napari_aln.errors import DeviceError
from napari_aln.runtimes.ncnn_graph import INPUT, OUTPUT, TRUNK, NcnnGraph, with_trunk, written
from napari_aln.runtimes.torch_runtime import fused, torch_threads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_address_in = ctypes.pythonapi.PyCapsule_GetPointer
_address_in.restype = ctypes.c_void_p
_address_in.argtypes = [ctypes.py_object, ctypes.c_char_p]


class _Weights(ncnn.DataReader):  # type: ignore[misc]
    """Hands ncnn its weights from memory, each piece once.

    Its own `load_model_mem` keeps pointing into memory that Python frees; a file would lie on the disk.
    """

    def __init__(self, pieces: Iterable[NDArray[np.generic]]) -> None:
        super().__init__()
        self._pieces = iter(pieces)

    def read(self, buffer: object, size: int) -> int:
        """Copy the next piece to where ncnn wants it; return how many bytes that were."""
        piece = next(self._pieces, None)
        if piece is None or piece.nbytes != size:
            return 0  # ncnn then says that it cannot load
        ctypes.memmove(_address_in(buffer, None), piece.ctypes.data, size)
        return size


class _Trunk(nn.Module):
    """A trunk on ncnn; takes and gives float32 (1, C, H, W). Several threads may ask it at once."""

    def __init__(self, graph: NcnnGraph) -> None:
        super().__init__()
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = 1
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        # Tiles of 6 x 6 are no faster than those of 4 x 4 and round more coarsely (Lavin & Gray 2016).
        options.use_winograd63_convolution = False
        if self._net.load_param_mem(graph.text) or self._net.load_model(_Weights(graph.weights)):
            raise RuntimeError("it does not load")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute one patch."""
        picture = x[0].contiguous().numpy()  # ncnn reads this very memory
        extractor = self._net.create_extractor()
        failed = extractor.input(INPUT, ncnn.Mat(picture))
        if not failed:
            failed, found = extractor.extract(OUTPUT)
        if failed:
            raise RuntimeError(f"ncnn stopped with {failed}")
        # A copy: the memory is the net's. And one where torch puts it: products may round by its alignment.
        features = torch.from_numpy(np.asarray(found)).clone(memory_format=torch.contiguous_format)
        return features[None]


class NcnnNetwork:
    """A network on ncnn, in fp32.

    Parameters
    ----------
    module
        Takes uint8 (n, S, S, 3), returns a tuple of tensors with n rows. Left as it is.
    input_px
        S, or height and width.
    threads
        CPU threads; None: as many as torch takes.

    Notes
    -----
    Convolutions of 3 x 3 are done with 2.25 to 4 times fewer products, by Winograd's minimal filtering.
    What stands before and after the convolutions is left to torch. Each thread has a patch of its own, so
    what a patch gives cannot depend on its neighbours; and some 115 MiB to compute in (VGG at 224 px).
    """

    name = "ncnn"
    device = "cpu"
    precision = "fp32"

    def __init__(
        self, module: nn.Module, input_px: int | tuple[int, int], *, threads: int | None = None
    ) -> None:
        self.version = str(ncnn.__version__)
        self._module = with_trunk(fused(module))
        trunk = cast("fx.GraphModule", self._module.get_submodule(TRUNK))
        try:
            self._module.set_submodule(TRUNK, _Trunk(written(trunk)))
        except RuntimeError as error:
            raise DeviceError(
                f"ncnn cannot take this network: {error}.", "Choose runtime openvino or torch."
            ) from error
        self._turn = threading.Lock()
        # One thread of torch in each: they are all of this network's.
        self._workers = ThreadPoolExecutor(
            threads or torch.get_num_threads(), "ncnn", initializer=torch.set_num_threads, initargs=(1,)
        )
        height, width = (input_px, input_px) if isinstance(input_px, int) else input_px
        blank = self(np.zeros((1, height, width, 3), np.uint8))
        self._nothing = tuple(output[:0] for output in blank)  # tells the widths

    def __call__(self, batch: NDArray[np.uint8] | torch.Tensor) -> tuple[NDArray[np.float32], ...]:
        """Run the network; see `base.CompiledNetwork`."""
        if not len(batch):
            return self._nothing
        try:
            # As the threads set torch's number of threads, the caller's comes back at the end.
            with self._turn, torch_threads(1):
                rows = list(self._workers.map(self._patch, np.asarray(batch)))
        except RuntimeError as error:
            raise DeviceError(
                f"ncnn gave up while computing patches: {str(error).splitlines()[0]}.",
                "Choose runtime openvino or torch, or close other programs if memory is short.",
            ) from error
        return tuple(np.stack(output) for output in zip(*rows, strict=True))

    @torch.inference_mode()
    def _patch(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        outputs = self._module(torch.from_numpy(np.ascontiguousarray(pixels))[None])
        return [output[0].float().numpy() for output in outputs]
