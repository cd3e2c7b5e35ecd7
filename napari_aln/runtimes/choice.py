"""The choice of runtime, device and precision. Loads torch only for bf16, or where an accelerator may be."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_aln.settings.engine import EngineSettings


_CPU_ONLY = {"openvino": "OpenVINO", "winograd": "Runtime winograd"}  # by their names in text
_PACKAGES = {"openvino": "openvino", "winograd": "numba"}  # what they need


class Choice(NamedTuple):
    """What a network will run on."""

    runtime: str  # "openvino", "winograd" or "torch"
    device: str  # "cpu", "cuda" or "mps"
    precision: str  # "fp32" or "bf16"


def choose(settings: EngineSettings, *, bf16_safe_on: Collection[tuple[str, str]]) -> Choice:
    """Decide runtime, device and precision.

    Parameters
    ----------
    settings
        The user's wishes.
    bf16_safe_on
        (runtime, device) pairs on which the model was shown to bear bf16; read only where the precision is
        "auto".

    Raises
    ------
    DeviceError
        A wish that this machine cannot grant.
    """
    device = _device(settings)
    runtime = _runtime(settings, device)
    is_safe = (runtime, device) in bf16_safe_on
    wants_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and is_safe)
    use_bf16 = wants_bf16 and _has_bf16(runtime, device)
    if settings.precision == "bf16" and not use_bf16:
        raise DeviceError(
            f"bf16 was asked for, but {runtime} runs in fp32 alone on this {device}.",
            "Choose precision fp32 or auto, or another runtime.",
        )
    return Choice(runtime, device, "bf16" if use_bf16 else "fp32")


def winograd_can_stand_in(choice: Choice, precision: str) -> bool:
    """Whether Winograd convolutions can take the place of what "auto" chose.

    They were measured faster on x86 processors, in bf16 on one with products of bf16 but not against one with
    whole matrices of them (AMX).
    """
    if choice.device != "cpu" or not _is_x86() or not _loads("numba"):
        return False
    if precision == "fp32":
        return True
    import torch

    return _multiplies_bf16() and not torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - no public way to ask


def _device(settings: EngineSettings) -> str:
    if settings.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            built = "sees no CUDA device" if torch.version.cuda else "was built without CUDA"
            raise DeviceError(
                f"CUDA was asked for, but torch {torch.__version__} {built}.",
                "Choose device cpu or auto, or install the CUDA build of torch and a driver.",
            )
        if settings.runtime in _CPU_ONLY:
            raise DeviceError(
                f"{_CPU_ONLY[settings.runtime]} does not run on CUDA here.",
                "Choose runtime torch, or device cpu.",
            )
        return "cuda"
    if settings.device == "auto" and settings.runtime not in _CPU_ONLY and _accelerator_possible():
        import torch

        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
    return "cpu"


def _accelerator_possible() -> bool:
    """Whether torch is worth asking: Apple's GPUs always, NVIDIA's where its driver is."""
    return sys.platform == "darwin" or has_nvidia_driver()


def has_nvidia_driver() -> bool:
    """Whether the library of an NVIDIA driver can be loaded."""
    if sys.platform == "darwin":
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _runtime(settings: EngineSettings, device: str) -> str:
    package = _PACKAGES.get(settings.runtime)
    if package is not None and not _is_installed(package):
        raise DeviceError(
            f"Runtime {settings.runtime} was asked for, but {package} is not installed.",
            f"Try `pip install {package}`.",
        )
    if settings.runtime == "winograd" and not _is_x86():
        raise DeviceError("Runtime winograd runs on x86 processors alone.", "Choose runtime torch or auto.")
    if settings.runtime == "winograd" and not _loads("numba"):
        raise DeviceError(
            "numba cannot be loaded; it may be older than numpy.", "Try `pip install --upgrade numba`."
        )
    if settings.runtime != "auto":
        return settings.runtime
    return "openvino" if device == "cpu" and _is_x86() and _is_installed("openvino") else "torch"


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _loads(package: str) -> bool:
    """Whether a package is there and fits this system: what nobody asked for by name must not fail."""
    try:
        importlib.import_module(package)
    except (ImportError, OSError):
        return False
    return True


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def _has_bf16(runtime: str, device: str) -> bool:
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "mps":
        return False
    if runtime == "winograd":
        return _multiplies_bf16()
    if runtime == "openvino":
        from napari_aln.runtimes.openvino_import import CORE

        return "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - torch has no public way to ask


def _multiplies_bf16() -> bool:
    """Whether the processor multiplies bf16 itself, on x86."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001 - no public way to ask
