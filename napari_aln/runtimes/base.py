"""The one interface over the runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_aln.allowance import threads_of_container
from napari_aln.errors import DeviceError
from napari_aln.runtimes.choice import choose

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_aln.settings.engine import EngineSettings


class CompiledNetwork(Protocol):
    """A network ready to run. What it says of a patch does not depend on the patches beside it.

    Several threads may ask it: they take turns.
    """

    @property
    def name(self) -> str:
        """The runtime: "openvino", "winograd" or "torch"."""

    @property
    def version(self) -> str:
        """The runtime's own version."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda" or "mps"."""

    @property
    def precision(self) -> str:
        """Precision of products and sums: "fp32" or "bf16"."""

    @property
    def patches_at_once(self) -> int:
        """Patches of one call that keep a processor busy; they take it well below a second."""

    def __call__(self, batch: NDArray[np.uint8] | torch.Tensor) -> tuple[NDArray[np.float32], ...]:
        """Run the network on any number of patches.

        Parameters
        ----------
        batch
            uint8 (n, S, S, 3), RGB; a tensor where it lies on the device already.

        Returns
        -------
        One float32 array with n rows for each output of the module, then one for each extra output of
        `prepare` (see `compile_network`). For a patch network: h (n, hidden) and e (n,).

        Raises
        ------
        DeviceError
            The runtime gave up.
        """


def compile_network(
    module: torch.nn.Module,
    input_px: int | tuple[int, int],
    settings: EngineSettings,
    *,
    bf16_safe_on: Collection[tuple[str, str]] = (),
    prepare: Any = None,  # noqa: ANN401 - a callable over tensors, see below
    threads: int | None = None,
) -> CompiledNetwork:
    """Make a network ready to run where the settings and the machine say.

    Parameters
    ----------
    module
        Takes uint8 (n, S, S, 3) and returns a tuple of tensors with n rows. It is left as it is.
    input_px
        S, the side of its input, or height and width.
    settings
        Device, precision, runtime and batch.
    bf16_safe_on
        (runtime, device) pairs on which precision "auto" may take bf16.
    prepare
        CUDA only, for work that shall run on the device before the module, such as resizing: takes a uint8
        batch on the device and returns the module's input and any further tensors with n rows, as a tuple.
    threads
        CPU threads to compute with; None: all there are for this process.

    Raises
    ------
    DeviceError
        A wish that this machine cannot grant, or a network the runtime cannot take.
    """
    choice = choose(settings, bf16_safe_on=bf16_safe_on)
    if prepare is not None and choice.device != "cuda":
        raise DeviceError("Patches can be prepared on CUDA only.", "Prepare them on the CPU instead.")
    if threads is None and choice.device == "cpu":
        threads = threads_of_container()
    if choice.runtime == "openvino":
        from napari_aln.runtimes.openvino_runtime import OpenvinoNetwork  # OpenVINO is optional

        return OpenvinoNetwork(module, input_px, choice.precision, threads=threads)
    if choice.runtime == "winograd":
        from napari_aln.runtimes.winograd_runtime import WinogradNetwork  # so is numba

        return WinogradNetwork(module, input_px, choice.precision, threads=threads)
    from napari_aln.runtimes.torch_runtime import TorchNetwork

    return TorchNetwork(module, choice, batch=settings.batch, prepare=prepare, threads=threads)
