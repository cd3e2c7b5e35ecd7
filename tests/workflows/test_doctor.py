"""What `doctor` says of each piece that is missing, and the step that mends it."""

import builtins
import platform
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from napari_aln import allowance
from napari_aln.runtimes import choice
from napari_aln.workflows import doctor


def the(piece, findings):
    (found,) = [finding for finding in findings if finding.piece == piece]
    return found


@pytest.fixture
def unimportable(monkeypatch):
    """Let modules of a name fail to load, as where a library of the system is missing."""

    def block(name, error):
        real = builtins.__import__
        monkeypatch.delitem(sys.modules, name, raising=False)

        def refuse(wanted, *rest, **more):
            if wanted.split(".")[0] == name:
                raise error
            return real(wanted, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return block


def test_all_that_the_program_needs_is_looked_at():
    pieces = [finding.piece for finding in doctor.examine()]
    assert len(set(pieces)) == len(pieces)
    needed = {
        "OpenSlide",
        "torch",
        "CUDA",
        "OpenVINO",
        "numba",
        "display",
        "disk",
        "disk here",
        "memory",
        "processors",
    }
    assert needed | {"this folder", "temporary files", "autosave", "feature cache"} <= set(pieces)
    assert ("glibc" in pieces) is (sys.platform == "linux")


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named x"), OSError("libopenslide.so.1")])
def test_openslide_that_cannot_be_loaded(unimportable, error):
    unimportable("openslide", error)
    found = doctor._openslide()
    assert (found.ok, found.required) == (False, True)
    assert str(error) in found.fact
    assert "openslide-bin" in found.next_step


def test_openslide_names_library_and_binding():
    assert "openslide-python" in doctor._openslide().fact


class TestCuda:
    @pytest.fixture(autouse=True)
    def _no_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    def test_without_a_driver_nothing_is_missing(self, monkeypatch):
        monkeypatch.setattr(choice, "has_nvidia_driver", lambda: False)
        assert doctor._cuda().ok

    @pytest.mark.parametrize(
        ("built_for", "why", "step"),
        [(None, "built without CUDA", "pytorch.org"), ("13.0", "sees no device", "Update the driver")],
    )
    def test_a_driver_that_torch_cannot_use(self, monkeypatch, built_for, why, step):
        monkeypatch.setattr(choice, "has_nvidia_driver", lambda: True)
        monkeypatch.setattr(torch.version, "cuda", built_for)
        found = doctor._cuda()
        assert (found.ok, found.required) == (False, False)
        assert why in found.fact
        assert step in found.next_step

    def test_a_device_is_named(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
        assert (doctor._cuda().ok, doctor._cuda().fact) == (True, "a GPU")


class TestOpenVino:
    def test_one_that_cannot_be_loaded(self, monkeypatch):
        class Core:
            @property
            def available_devices(self):
                raise RuntimeError("Cannot load library libopenvino_intel_cpu_plugin.so")

        monkeypatch.setattr("napari_aln.runtimes.openvino_import.CORE", Core())
        found = doctor._openvino()
        assert (found.ok, found.required) == (False, False)
        assert "torch is used instead" in found.fact
        assert "pip install" in found.next_step

    def test_processors_it_is_not_used_on(self, monkeypatch):
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        monkeypatch.setattr(doctor, "find_spec", lambda _: None)
        assert doctor._openvino().ok


class TestNumba:
    def test_one_that_is_missing_is_told_with_what_runs_instead(self, unimportable, monkeypatch):
        monkeypatch.setattr(platform, "machine", lambda: "AMD64")
        unimportable("numba", ImportError("Numba needs NumPy 2.4 or less. Got NumPy 2.5."))
        found = doctor._numba()
        assert (found.ok, found.required) == (False, False)
        assert "OpenVINO instead" in found.fact
        assert "pip install" in found.next_step

    def test_processors_it_is_not_used_on(self, monkeypatch):
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        monkeypatch.setattr(doctor, "find_spec", lambda _: None)
        assert doctor._numba().ok


@pytest.mark.parametrize(
    ("libc", "ok", "word"),
    [
        (("glibc", "2.36"), True, "2.36"),
        (("glibc", "2.31"), False, "2.31"),
        (("", ""), False, "another C library"),
    ],
)
def test_the_c_library(monkeypatch, libc, ok, word):
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    found = doctor._glibc()
    assert found.ok is ok
    assert word in found.fact
    assert "glibc 2.34" in found.next_step


def test_no_display_names_the_virtual_one(monkeypatch):
    monkeypatch.setattr(doctor, "has_display", lambda: False)
    found = the("display", doctor._window())
    assert (found.ok, found.required) == (False, False)
    assert "xvfb-run" in found.next_step


@pytest.mark.parametrize(
    ("code", "said", "fact", "step"),
    [
        (0, ("Radeon, OpenGL 4.6", ""), "Radeon", ""),
        (0, ("llvmpipe, OpenGL 4.5", ""), "the processor draws", ""),
        (-6, ("", "qt.qpa.xcb: could not connect to display :7\nxcb-cursor0 is needed"), ":7", "ssh -X"),
        (1, ("", "ImportError: libEGL.so.1: cannot open shared object file"), "libEGL.so.1", "libegl1"),
        (1, ("", "no OpenGL context"), "no window", "driver of the graphics card"),
    ],
)
def test_opengl(monkeypatch, code, said, fact, step):
    done = subprocess.CompletedProcess([], code, *said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setenv("DISPLAY", ":7")
    found = doctor._opengl()
    assert found.ok is (code == 0)
    assert fact in found.fact
    assert step in found.next_step


def test_opengl_that_does_not_answer(monkeypatch):
    def run(asked, **_):
        raise subprocess.TimeoutExpired(asked, 30)

    monkeypatch.setattr(subprocess, "run", run)
    assert "does not answer" in doctor._opengl().fact


def test_a_full_disk(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 10**9, 10**9))
    found = doctor._disk("disk", tmp_path, "Free some.")
    assert (found.ok, found.fact, found.next_step) == (False, "1 GB free", "Free some.")
    assert not the("disk", doctor._cache()).ok


def test_a_disk_that_is_gone(tmp_path):
    assert "cannot be told" in doctor._disk("disk here", tmp_path / "unmounted", "").fact


def test_little_memory(monkeypatch):
    little = allowance.Memory(8 * 10**9, 2 * 10**9, 8 * 10**9, "")
    monkeypatch.setattr(allowance, "memory", lambda: little)
    found = doctor._memory()
    assert (found.ok, found.fact) == (False, "2 of 8 GB free")
    assert "--batch and --workers" in found.next_step


def test_a_container_that_allows_less_than_the_computer_has(monkeypatch):
    of_64 = allowance.Memory(8 * 10**9, 2 * 10**9, 64 * 10**9, allowance.CONTAINER)
    monkeypatch.setattr(allowance, "memory", lambda: of_64)
    monkeypatch.setattr(allowance, "processors", lambda: allowance.Processors(1.5, 16, allowance.CONTAINER))
    found = doctor._memory()
    assert found.fact == "2 of 8 GB free by the container's limit; the computer has 64 GB"
    assert not found.ok
    assert "Raise the container's limit" in found.next_step
    assert doctor._processors().fact == "1.5 by the container's limit; the computer has 16"


def test_folders_that_cannot_be_written_to(monkeypatch, tmp_path):
    blocker = tmp_path / "blocker"
    blocker.write_text("a file where a folder should be")
    found = doctor._writing("this folder", blocker, "Write results elsewhere by --out.")
    assert (found.ok, found.required) == (False, False)
    assert found.next_step
    monkeypatch.setenv("NAPARI_ALN_CONFIG", str(blocker))
    assert "NAPARI_ALN_CONFIG" in doctor._own_folder().next_step
    assert not doctor._own_folder().ok
    monkeypatch.setenv("NAPARI_ALN_CACHE", str(blocker))
    found = the("feature cache", doctor._cache())
    assert (found.ok, found.required) == (False, True)
    assert "NAPARI_ALN_CACHE" in found.next_step


def test_extras_say_what_waits_for_them(monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    found = doctor._optional("distributed", "predict --scheduler waits for it")
    assert found.ok
    assert found.fact == "not installed: predict --scheduler waits for it"
