"""Networks on OpenVINO: one patch a request, several requests in flight."""

from __future__ import annotations

import copy
import importlib
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_aln.errors import DeviceError
from napari_aln.runtimes.openvino_import import CORE, openvino

frontend = importlib.import_module("openvino.frontend")
props = importlib.import_module("openvino.properties")
hints = importlib.import_module("openvino.properties.hint")

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from openvino import InferRequest, Model


_CANNOT = (
    RuntimeError,
    # What the front end raises on a network it cannot convert derives from neither.
    frontend.GeneralFailure,
    frontend.NotImplementedFailure,
    frontend.OpConversionFailure,
    frontend.OpValidationFailure,
)


def _converted(module: torch.nn.Module, height: int, width: int) -> Model:
    """Convert for batches of one; by the front end itself, since `openvino.convert_model` phones home."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    # torch never forgets what it traced, some MiB each time; tracing once more to compare would double that.
    once = {"check_trace": False}
    traced = copy.deepcopy(module).eval()
    decoder = TorchScriptPythonDecoder(traced, example_input=(example,), trace_kwargs=once)
    front_end = FrontEndManager().load_by_framework("pytorch")
    model = front_end.convert(front_end.load(decoder))
    model.reshape([1, height, width, 3])
    return model


class OpenvinoNetwork:
    """A network on OpenVINO's CPU plugin.

    Parameters
    ----------
    module
        Takes uint8 (n, S, S, 3), returns a tuple of tensors with n rows. Left as it is.
    input_px
        S, or height and width.
    precision
        "fp32" or "bf16".
    threads
        CPU threads; None: all.

    Notes
    -----
    Requests hold one patch each, so what a patch gives cannot depend on its neighbours, and all cores are
    busy with patches of their own.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        module: torch.nn.Module,
        input_px: int | tuple[int, int],
        precision: str,
        *,
        threads: int | None = None,
    ) -> None:
        self.precision = precision
        self.version = str(openvino.__version__).split("-", maxsplit=1)[0]
        config = {
            hints.performance_mode: hints.PerformanceMode.THROUGHPUT,
            hints.inference_precision: openvino.Type.bf16 if precision == "bf16" else openvino.Type.f32,
        }
        if threads is not None:
            config[props.inference_num_threads] = threads
        height, width = (input_px, input_px) if isinstance(input_px, int) else input_px
        try:
            self._compiled = CORE.compile_model(_converted(module, height, width), "CPU", config)
            self._queue = openvino.AsyncInferQueue(self._compiled)
        except _CANNOT as error:
            raise DeviceError(
                f"OpenVINO cannot take this network: {str(error).splitlines()[0]}.", "Choose runtime torch."
            ) from error
        # The queue never lets go of its callback, so that must not know this network: what is a cycle through
        # C++ is never freed, and each network would stay in memory with all its weights.
        self._queue.set_callback(_collect)
        self.patches_at_once = 2 * len(self._queue)
        self._turn = threading.Lock()

    def __call__(self, batch: NDArray[np.uint8] | torch.Tensor) -> tuple[NDArray[np.float32], ...]:
        """Run the network; see `base.CompiledNetwork`."""
        pixels = np.asarray(batch)
        results = [
            np.empty((len(batch), *output.get_partial_shape().to_shape()[1:]), dtype=np.float32)
            for output in self._compiled.outputs
        ]
        try:
            with self._turn:
                try:
                    for index in range(len(batch)):
                        self._queue.start_async({0: pixels[index : index + 1]}, userdata=(results, index))
                finally:  # after an error too: requests in flight still write into the results
                    self._queue.wait_all()
        except RuntimeError as error:
            raise DeviceError(
                f"OpenVINO gave up while computing patches: {str(error).splitlines()[0]}.",
                "Choose runtime torch, or close other programs if memory is short.",
            ) from error
        return tuple(results)


def _collect(request: InferRequest, place: tuple[list[NDArray[np.float32]], int]) -> None:
    """Copy what a request computed to its place, a row of each result."""
    results, index = place
    for number, result in enumerate(results):
        result[index] = request.get_output_tensor(number).data[0]
