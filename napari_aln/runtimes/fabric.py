"""Training on whatever device there is, by Lightning Fabric: precision, several GPUs, gradients.

Only its device handling is used. Checkpoints are our own (`store.checkpoint`), so that nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from napari_aln.errors import DeviceError
from napari_aln.runtimes.choice import choose
from napari_aln.runtimes.torch_runtime import is_out_of_memory, torch_errors
from napari_aln.settings.engine import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_aln.settings.training import FinetuneSettings

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets at each start


def fabric_for(settings: FinetuneSettings) -> Fabric:
    """Return what runs a training, on one machine; nothing is launched yet.

    Raises
    ------
    DeviceError
        The machine has not got what was asked for.
    """
    device = _device(settings)
    if device == "cuda":
        # Read when CUDA starts: without it cuBLAS may add in another order each time.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if settings.gpus > torch.cuda.device_count():
            raise DeviceError(
                f"{settings.gpus} GPUs were asked for and {torch.cuda.device_count()} are here.",
                "Lower --gpus.",
            )
    elif settings.gpus > 1 and device == "mps":
        raise DeviceError("This machine has one GPU.", "Leave --gpus out.")
    many = settings.gpus > 1
    if many and threading.current_thread() is not threading.main_thread():
        # The others are started as this program was, with its command line: a window would open again.
        raise DeviceError("Several GPUs can train from the command line only.", "Leave --gpus out.")
    return Fabric(
        accelerator=device,
        devices=settings.gpus,
        strategy="ddp" if many else "auto",
        precision="bf16-mixed" if _takes_bf16(settings, device) else "32-true",
        plugins=[LightningEnvironment()] if many else None,  # one machine, whatever a cluster's variables say
    )


def _device(settings: FinetuneSettings) -> str:
    if settings.device == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("MPS was asked for, and this machine has none.", "Choose device cpu or auto.")
        return "mps"
    wanted = EngineSettings(device=settings.device, precision="fp32", runtime="torch")
    return choose(wanted, bf16_safe_on=()).device


def _takes_bf16(settings: FinetuneSettings, device: str) -> bool:
    if settings.precision == "auto":
        return device == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if settings.precision == "fp32":
        return False
    if device == "mps":
        raise DeviceError("bf16 was asked for, and MPS has no mixed precision.", "Choose precision fp32.")
    wanted = EngineSettings.model_validate({"device": device, "precision": "bf16", "runtime": "torch"})
    return choose(wanted, bf16_safe_on=()).precision == "bf16"  # or it says why not


@contextlib.contextmanager
def training_errors(fabric: Fabric, patches: int) -> Iterator[None]:
    """Name what to do where the memory of the device does not hold a step of so many patches."""
    try:
        with torch_errors("training"):
            yield
    except DeviceError as error:
        if is_out_of_memory(error.__cause__):
            raise DeviceError(
                f"The memory of {fabric.device} is too small for a step of {patches} patches.",
                "Lower --batch or --bag-size, use --precision bf16, or choose a smaller encoder; an "
                "unfinished training goes on only with the settings it began with.",
            ) from error
        raise


@contextlib.contextmanager
def repeatable(fabric: Fabric) -> Iterator[None]:
    """Let a step give the same numbers each time, as far as the device can."""
    if fabric.device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def part_from_others() -> None:
    """Leave the group of processes that trained together; one that ends while it is in it may crash."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def end_others(fabric: Fabric) -> None:
    """End the processes that this one started, where they are still there."""
    launcher: Any = getattr(fabric.strategy, "launcher", None)
    for process in getattr(launcher, "procs", ()):
        if process.poll() is None:
            process.terminate()
