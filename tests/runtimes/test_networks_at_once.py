"""Networks are made ready in one thread while others compute, as in a window that also trains."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from napari_aln.runtimes.torch_runtime import fused, thread_count, torch_threads
from napari_aln.runtimes.winograd_runtime import WinogradNetwork

TIMEOUT_S = 60.0
CALL = nn.Module.__call__
PICTURE = torch.zeros(1, 3, 8, 8)


class Halting(nn.Module):
    """Halts in the middle of its own tracing, until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.halted, self.goes_on = threading.Event(), threading.Event()

    def __deepcopy__(self, _memo):  # events cannot be copied
        return self

    def forward(self, x):
        y = self.net(x)
        self.halted.set()
        assert self.goes_on.wait(TIMEOUT_S)
        return y

    def begin(self):
        self.ready = []
        self.thread = threading.Thread(target=lambda: self.ready.append(fused(self)))
        self.thread.start()

    def end(self):
        self.goes_on.set()
        self.thread.join(TIMEOUT_S)
        return self.ready[0]


@pytest.fixture
def halting():
    network = Halting().eval()
    network.begin()
    assert network.halted.wait(TIMEOUT_S)
    yield network
    network.end()


@torch.inference_mode()
def test_a_module_computes_while_another_is_traced(halting):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    assert plain(PICTURE).shape == (1, 4, 6, 6)
    ready = halting.end()
    assert not any(isinstance(part, nn.BatchNorm2d) for part in ready.modules())
    torch.testing.assert_close(ready(PICTURE), halting.net(PICTURE))


@torch.inference_mode()
def test_two_are_traced_one_after_the_other(halting):
    second = Halting().eval()
    second.begin()
    assert not second.halted.wait(0.2)  # it has not even begun
    ready = halting.end(), second.end()
    assert nn.Module.__call__ is CALL
    assert [one(PICTURE).shape for one in ready] == [(1, 4, 6, 6)] * 2


def in_a_new_thread(ask):
    found = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join(TIMEOUT_S)
    return found[0]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_threads_are_counted_without_what_a_network_at_work_has_set():
    with torch_threads(1):
        assert in_a_new_thread(thread_count) == 3
        with torch_threads(None):
            assert torch.get_num_threads() == 3
    assert in_a_new_thread(torch.get_num_threads) == 3


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, pixels):
        x = pixels.permute(0, 3, 1, 2).float().repeat(1, 22, 1, 1)[:, :64]
        return (self.wide(x).mean((2, 3)),)


@pytest.mark.usefixtures("three_threads")
def test_a_winograd_network_leaves_torch_its_threads():
    pytest.importorskip("numba")
    network = in_a_new_thread(lambda: WinogradNetwork(Small().eval(), 8, "fp32"))
    network(np.zeros((24, 8, 8, 3), np.uint8))
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 3
    with torch_threads(1):
        assert in_a_new_thread(lambda: WinogradNetwork(Small().eval(), 8, "fp32")).patches_at_once == 24
