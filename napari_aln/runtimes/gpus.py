"""NVIDIA's GPUs as processes are handed them."""

from __future__ import annotations

import os

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process, and those it starts, may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get(GPU_VARIABLE)
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count()))
