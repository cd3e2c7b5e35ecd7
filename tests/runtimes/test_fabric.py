"""Where a training runs: what this machine cannot grant is said before the work."""

import threading

import pytest
import torch

from napari_aln.errors import DeviceError
from napari_aln.runtimes.fabric import end_others, fabric_for, repeatable, training_errors
from napari_aln.settings.training import FinetuneSettings


def asked(**fields):
    return fabric_for(FinetuneSettings(**fields))


def test_a_processor_trains_in_full_precision_unless_told_otherwise():
    fabric = asked(device="cpu")
    assert fabric.device.type == "cpu"
    assert fabric.world_size == 1
    layer = fabric.setup_module(torch.nn.Linear(2, 2))
    assert layer(torch.ones(1, 2)).dtype == torch.float32
    with fabric.autocast():
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == torch.float32
    end_others(fabric)  # there are none


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there_is_told():
    with pytest.raises(DeviceError, match="CUDA was asked for"):
        asked(device="cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")
def test_mps_that_is_not_there_is_told():
    with pytest.raises(DeviceError, match="this machine has none"):
        asked(device="mps")


def test_a_gpu_too_many_and_gpus_from_a_window_are_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with pytest.raises(DeviceError, match=r"2 GPUs were asked for and 1 are here"):
        asked(device="cuda", gpus=2)
    monkeypatch.undo()
    told = []

    def in_window():
        try:
            asked(device="cpu", gpus=2)
        except DeviceError as error:
            told.append(str(error))

    thread = threading.Thread(target=in_window)
    thread.start()
    thread.join()
    assert "from the command line only" in told[0]


def test_too_little_memory_is_told_apart_from_other_failures():
    fabric = asked(device="cpu")
    with (
        pytest.raises(DeviceError, match=r"too small for a step of 10 patches.*--bag-size"),
        training_errors(fabric, 10),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
    with (
        pytest.raises(DeviceError, match="gave up while training: shapes differ"),
        training_errors(fabric, 10),
    ):
        raise RuntimeError("shapes differ")


def test_a_processor_needs_no_switches_to_repeat_itself():
    before = torch.are_deterministic_algorithms_enabled()
    with repeatable(asked(device="cpu")):
        assert torch.are_deterministic_algorithms_enabled() == before
