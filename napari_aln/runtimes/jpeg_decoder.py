"""JPEG decoding on a GPU by NVIDIA's nvImageCodec, where that is installed.

cuCIM, which could do the same, is not used: nothing of it runs without a GPU, so it could not be tested.
Imports torch: nothing imports this module from a package's ``__init__``.
"""

from __future__ import annotations

import importlib
import os
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from napari_aln.allowance import processors
from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

INSTALL = 'pip install "nvidia-nvimgcodec-cu12[all]"'
"""With its extra: the bare package brings no nvJPEG, and then decodes on the processor only."""

_OUT_OF_MEMORY = "'#2'"  # cudaErrorMemoryAllocation, as the library's RuntimeError spells it
_CPU_THREADS = 8  # parsing and Huffman decoding stay on the processor


class JpegDecoder(Protocol):
    """Decodes many JPEGs at once into the memory of one device."""

    @property
    def name(self) -> str:
        """What decodes: part of what features depend on."""

    @property
    def device(self) -> str:
        """Where the pixels come to lie: "cuda" or "cpu"."""

    def __call__(self, streams: Sequence[bytes], *, stores_rgb: bool) -> list[torch.Tensor | None]:
        """Decode.

        Parameters
        ----------
        streams
            Whole JPEGs of three components and 8 bits.
        stores_rgb
            The components are red, green and blue and stay as they are; else they are converted from YCbCr.

        Returns
        -------
        For each: uint8 (height, width, 3), RGB, on the device; None where it cannot be decoded.

        Raises
        ------
        torch.OutOfMemoryError
            The device's memory is used up.
        DeviceError
            The decoder gave up.
        """


class NvImageCodec:
    """nvImageCodec on the current CUDA device, or on the processor for tests.

    Parameters
    ----------
    device
        "cuda" or "cpu".

    Raises
    ------
    DeviceError
        The library is not installed, or finds no device or driver that it can use.

    Notes
    -----
    On CUDA only nvJPEG's CUDA decoder takes part: neither the hardware decoder nor the processor, which round
    otherwise, so that a tile gives the same pixels in whatever batch it stands. Chroma is upsampled smoothly,
    as libjpeg does it.
    """

    name = "nvimgcodec"

    def __init__(self, device: str = "cuda") -> None:
        self.device = device
        self._codec = nv = _nvimgcodec()
        kinds = [nv.GPU_ONLY, nv.HYBRID_CPU_GPU] if device == "cuda" else [nv.CPU_ONLY]
        try:
            self._decoder = nv.Decoder(
                device_id=torch.cuda.current_device() if device == "cuda" else nv.NVIMGCODEC_DEVICE_CPU_ONLY,
                max_num_cpu_threads=min(_CPU_THREADS, processors().threads),
                backends=[nv.Backend(kind) for kind in kinds],
                options=":fancy_upsampling=1",
            )
        except RuntimeError as error:
            raise DeviceError(
                f"nvImageCodec cannot be used: {_line(error)}.", "Update the NVIDIA driver."
            ) from error
        self._as_stored = nv.DecodeParams(
            apply_exif_orientation=False, color_spec=nv.ColorSpec.SYCC, sample_format=nv.SampleFormat.P_YUV
        )
        self._as_rgb = nv.DecodeParams(apply_exif_orientation=False, color_spec=nv.ColorSpec.SRGB)
        self._lock = threading.Lock()  # the library does not promise that decoders bear several threads

    def __call__(self, streams: Sequence[bytes], *, stores_rgb: bool) -> list[torch.Tensor | None]:
        """Decode; see `JpegDecoder`."""
        try:
            return self._decode(streams, stores_rgb)
        except RuntimeError as error:
            if _OUT_OF_MEMORY in str(error):
                raise torch.OutOfMemoryError(str(error)) from error
            raise DeviceError(
                f"nvImageCodec gave up: {_line(error)}.", "Choose JPEG decoding cpu."
            ) from error

    def _decode(self, streams: Sequence[bytes], stores_rgb: bool) -> list[torch.Tensor | None]:
        # All work of this program is on one CUDA stream, so pixels are there when later work asks for them.
        stream = torch.cuda.current_stream().cuda_stream if self.device == "cuda" else 0
        with self._lock:
            images = self._decoder.decode(
                [self._codec.CodeStream(data) for data in streams],
                params=self._as_stored if stores_rgb else self._as_rgb,
                cuda_stream=stream,
            )
        if len(images) != len(streams):  # releases before None stood for a failure
            return [None] * len(streams)
        # The library takes components as they are for YCbCr; asked for that, it hands them out unconverted.
        return [
            None if i is None else self._tensor(i).permute(1, 2, 0) if stores_rgb else self._tensor(i)
            for i in images
        ]

    def _tensor(self, image: Any) -> torch.Tensor:  # noqa: ANN401 - an image of the untyped library
        if self.device == "cuda":
            return from_dlpack(image)
        return torch.from_numpy(np.asarray(image))  # its DLPack needs a driver even then


def installed() -> bool:
    """Whether nvImageCodec's package is there; says nothing of a device."""
    try:
        return find_spec("nvidia.nvimgcodec") is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _nvimgcodec() -> ModuleType:
    # Damaged tiles are told by this program, not by the library on the terminal; set before it is loaded.
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")
    try:
        return importlib.import_module("nvidia.nvimgcodec")
    except (ImportError, OSError) as error:
        raise DeviceError(f"nvImageCodec cannot be loaded: {error}.", f"Try: {INSTALL}") from error


def _line(error: RuntimeError) -> str:
    return str(error).partition(" at /")[0].splitlines()[0]
