"""The one interface over the runtimes, and the choice of runtime, device and precision."""

from __future__ import annotations

import importlib.util
import platform
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from napari_aln.errors import DeviceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_aln.settings import EngineSettings


class Choice(NamedTuple):
    """What a network will run on."""

    runtime: str  # "openvino" or "torch"
    device: str  # "cpu", "cuda" or "mps"
    precision: str  # "fp32" or "bf16"


class CompiledNetwork(Protocol):
    """A network ready to run. What it says of a patch does not depend on the patches beside it."""

    @property
    def name(self) -> str:
        """The runtime: "openvino" or "torch"."""

    @property
    def version(self) -> str:
        """The runtime's own version."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda" or "mps"."""

    @property
    def precision(self) -> str:
        """Precision of products and sums: "fp32" or "bf16"."""

    def __call__(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Run the network on any number of patches.

        Parameters
        ----------
        batch
            uint8 (n, S, S, 3), RGB.

        Returns
        -------
        One float32 array with n rows for each output of the module, then one for each extra output of
        `prepare` (see `compile_network`). For a patch network: h (n, hidden) and e (n,).

        Raises
        ------
        DeviceError
            The runtime gave up.
        """


def choose(settings: EngineSettings, *, bf16_safe: bool) -> Choice:
    """Decide runtime, device and precision.

    Parameters
    ----------
    settings
        The user's wishes.
    bf16_safe
        Whether the model was shown to bear bf16; read only where the precision is "auto".

    Raises
    ------
    DeviceError
        A wish that this machine cannot grant.
    """
    device = _device(settings)
    runtime = _runtime(settings, device)
    has_bf16 = _has_bf16(runtime, device)
    if settings.precision == "bf16" and not has_bf16:
        raise DeviceError(
            f"bf16 was asked for, but {runtime} has no bf16 on this {device}.",
            "Choose precision fp32 or auto.",
        )
    use_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and bf16_safe and has_bf16)
    return Choice(runtime, device, "bf16" if use_bf16 else "fp32")


def _device(settings: EngineSettings) -> str:
    if settings.device == "cuda":
        if not torch.cuda.is_available():
            built = "sees no CUDA device" if torch.version.cuda else "was built without CUDA"
            raise DeviceError(
                f"CUDA was asked for, but torch {torch.__version__} {built}.",
                "Choose device cpu or auto, or install the CUDA build of torch and a driver.",
            )
        if settings.runtime == "openvino":
            raise DeviceError("OpenVINO does not run on CUDA.", "Choose runtime torch, or device cpu.")
        return "cuda"
    if settings.device == "auto" and settings.runtime != "openvino":
        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
    return "cpu"


def _runtime(settings: EngineSettings, device: str) -> str:
    installed = importlib.util.find_spec("openvino") is not None
    if settings.runtime == "openvino" and not installed:
        raise DeviceError("OpenVINO was asked for but is not installed.", "Try `pip install openvino`.")
    if settings.runtime != "auto":
        return settings.runtime
    is_x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    return "openvino" if device == "cpu" and is_x86 and installed else "torch"


def _has_bf16(runtime: str, device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "mps":
        return False
    if runtime == "openvino":
        from napari_aln.runtimes.openvino_runtime import cpu_has_bf16  # OpenVINO is optional

        return cpu_has_bf16()
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - torch has no public way to ask


def compile_network(
    module: torch.nn.Module,
    input_px: int,
    settings: EngineSettings,
    *,
    bf16_safe: bool = False,
    prepare: Any = None,  # noqa: ANN401 - a callable over tensors, see below
    threads: int | None = None,
) -> CompiledNetwork:
    """Make a network ready to run where the settings and the machine say.

    Parameters
    ----------
    module
        Takes uint8 (n, S, S, 3) and returns a tuple of tensors with n rows. It is left as it is.
    input_px
        S, the side of its input.
    settings
        Device, precision, runtime and batch.
    bf16_safe
        Whether precision "auto" may take bf16.
    prepare
        CUDA only, for work that shall run on the device before the module, such as resizing: takes a uint8
        batch on the device and returns the module's input and any further tensors with n rows, as a tuple.
    threads
        CPU threads to compute with; None: all.

    Raises
    ------
    DeviceError
        A wish that this machine cannot grant, or a network the runtime cannot take.
    """
    choice = choose(settings, bf16_safe=bf16_safe)
    if prepare is not None and choice.device != "cuda":
        raise DeviceError("Patches can be prepared on CUDA only.", "Prepare them on the CPU instead.")
    if choice.runtime == "openvino":
        from napari_aln.runtimes.openvino_runtime import OpenvinoNetwork  # OpenVINO is optional

        return OpenvinoNetwork(module, input_px, choice.precision, threads=threads)
    from napari_aln.runtimes.torch_runtime import TorchNetwork

    return TorchNetwork(module, choice, batch=settings.batch, prepare=prepare, threads=threads)
