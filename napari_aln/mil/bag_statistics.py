"""BatchNorm with the bag's own statistics: the reference's way of scoring, for parity.

A patch's embedding then depends on the other patches of its bag, so nothing can be cached, there is no
slide-level attention and no what-if.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_aln.runtimes.torch_runtime import exact_fp32, torch_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_aln.mil.network import PatchNetwork


class BagStatisticsNetwork:
    """A patch network whose BatchNorm layers use each bag's own mean and variance; dropout is off.

    Parameters
    ----------
    network
        From a bundle whose card says ``norm_statistics = "bag"``. Copied, not changed: its running statistics
        are never updated.
    device
        "cpu" or "cuda". Computed in exact fp32.
    """

    def __init__(self, network: PatchNetwork, device: str = "cpu") -> None:
        network = copy.deepcopy(network).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # Without running statistics torch takes the batch's own, in eval mode too.
                module.running_mean = module.running_var = None
                module.track_running_stats = False
        self.device = device
        with torch_errors(f"moving the network to {device}"):
            self._network = network.to(device)

    @torch.inference_mode()
    def __call__(self, bag: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Turn one whole bag, uint8 (n, S, S, 3), into h (n, hidden) and e (n,).

        Raises
        ------
        DeviceError
            Torch gave up.
        """
        with torch_errors("computing a bag"), exact_fp32(self.device):
            h, e = self._network(torch.from_numpy(np.ascontiguousarray(bag)).to(self.device))
            return h.float().cpu().numpy(), e.float().cpu().numpy()
