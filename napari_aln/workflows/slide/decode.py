"""Reading ahead: threads decode and resize patches while the network works on the ones before."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_aln.geometry import Rect
from napari_aln.patches.entropy import entropy_bits
from napari_aln.slides import read_patch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

    from napari_aln.records import PatchTable
    from napari_aln.slides import Slide
    from napari_aln.workflows.slide.device_patches import DevicePatches

    Pixels = NDArray[np.uint8] | torch.Tensor

RESIZE_KERNEL = "pil-bilinear-antialias"
CHUNKS_AHEAD_PER_THREAD = 3


@dataclass(frozen=True)
class Chunk:
    """Some consecutive patches of a table, ready for the network."""

    rows: NDArray[np.int64]  # (n,) indices into the table
    pixels: Pixels  # (n, input_px, input_px, 3) uint8, or (n, patch_px, patch_px, 3) as read; see `decoded`
    entropy: NDArray[np.float32] | None  # (n,) bits, of the patch before it was resized; None: as read


def resized(patch: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resize a square RGB patch as the encoders were trained: PIL's antialiased bilinear filter."""
    if patch.shape[0] == side_px:
        return patch
    return np.asarray(Image.fromarray(patch).resize((side_px, side_px), Image.Resampling.BILINEAR))


def join_pixels(parts: list[Pixels]) -> Pixels:
    """Join the pixels of chunks: on the device if all lie there, else as one array.

    Raises
    ------
    DeviceError
        The device has no memory left for them.
    """
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    import torch

    from napari_aln.runtimes.torch_runtime import torch_errors

    with torch_errors("joining patches"):
        tensors = [torch.as_tensor(part) for part in parts]
        return torch.cat([tensor.cpu() for tensor in tensors] if arrays else tensors)


def decoded(
    slide: Slide,
    table: PatchTable,
    input_px: int | None,
    *,
    threads: int,
    chunk: int,
    on_device: DevicePatches | None = None,
) -> Iterator[Chunk]:
    """Yield all patches of a table in order, read by `threads` threads that stay a bounded way ahead.

    Parameters
    ----------
    slide
        Where to read.
    table
        Which patches; they are read at the table's own µm/px and size, then resized to `input_px`.
    input_px
        Side of the network's input in pixels. None: patches stay as read and their entropy is left to the
        device that resizes them.
    threads
        How many threads read.
    chunk
        How many patches one thread reads at a time.
    on_device
        Makes patches on the device, as tensors; only where they stay as read. Chunks that find no memory
        there are read as arrays.

    Raises
    ------
    SlideError
        A patch could not be read.
    DeviceError
        The device gave up while patches were made there.
    """
    size_px = table.grid.patch_px
    step = table.grid.step_l0
    l0_xy = table.l0_xy

    def read(rows: NDArray[np.int64]) -> Chunk:
        places = [Rect(float(x), float(y), *step) for x, y in l0_xy[rows]]
        made = on_device.read(places, size_px) if on_device else None
        if made is not None:
            return Chunk(rows, made, None)
        patches = np.stack([read_patch(slide, place, size_px) for place in places])
        if input_px is None:
            return Chunk(rows, patches, None)
        pixels = np.stack([resized(patch, input_px) for patch in patches])
        return Chunk(rows, pixels, entropy_bits(patches).astype(np.float32))

    starts = iter(range(0, len(table), chunk))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    ahead: deque[Future[Chunk]] = deque()

    def submit_next() -> None:
        start = next(starts, None)
        if start is not None:
            ahead.append(pool.submit(read, np.arange(start, min(start + chunk, len(table)))))

    try:
        for _ in range(threads * CHUNKS_AHEAD_PER_THREAD):
            submit_next()
        while ahead:
            ready = ahead.popleft().result()
            submit_next()
            yield ready
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
