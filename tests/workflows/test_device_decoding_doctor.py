"""What `doctor` says of JPEG decoding on the GPU."""

import pytest
import torch

from napari_aln.errors import DeviceError
from napari_aln.runtimes import jpeg_decoder
from napari_aln.workflows import doctor


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(jpeg_decoder, "installed", lambda: True)


def decodes_to(outcome):
    def decoder():
        if isinstance(outcome, Exception):
            raise outcome
        return lambda streams, stores_rgb: [outcome]

    return decoder


def test_without_a_gpu_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    finding = doctor._jpeg_on_gpu()
    assert finding.ok
    assert "no CUDA device" in finding.fact


def test_beside_a_gpu_the_missing_library_is_named(gpu, monkeypatch):
    monkeypatch.setattr(jpeg_decoder, "installed", lambda: False)
    finding = doctor._jpeg_on_gpu()
    assert (finding.ok, finding.required) == (False, False)
    assert "pip install" in finding.next_step


@pytest.mark.parametrize(
    ("outcome", "fact"),
    [
        (None, "finds no nvJPEG"),
        (DeviceError("nvImageCodec cannot be used: driver too old.", ""), "driver too old"),
        (torch.OutOfMemoryError("full"), "no memory left"),
    ],
)
def test_a_library_that_does_not_work_is_told(gpu, monkeypatch, outcome, fact):
    monkeypatch.setattr(jpeg_decoder, "NvImageCodec", decodes_to(outcome))
    finding = doctor._jpeg_on_gpu()
    assert not finding.ok
    assert fact in finding.fact


def test_what_works_is_named(gpu, monkeypatch):
    monkeypatch.setattr(jpeg_decoder, "NvImageCodec", decodes_to(torch.zeros(16, 16, 3)))
    assert doctor._jpeg_on_gpu().ok
    assert "nvImageCodec" in doctor._jpeg_on_gpu().fact


def test_doctor_asks():
    assert "JPEG on the GPU" in [finding.piece for finding in doctor.examine()]
