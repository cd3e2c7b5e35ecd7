"""What this installation can do, and what is missing: one finding a piece, each with its next step.

Imports nothing that may be missing before it looks for it.
"""

from __future__ import annotations

import importlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln import allowance
from napari_aln.errors import AlnError

if TYPE_CHECKING:
    from collections.abc import Iterator

GLIBC_OF_QT_WHEELS = (2, 34)
LEAST_MEMORY_GB, LEAST_DISK_GB = 4, 5  # below these it may not be enough for a run, or for what a run keeps
OPENGL_WAIT_S = 30
SOFTWARE_OPENGL = ("llvmpipe", "softpipe", "swrast", "GDI Generic")
TORCH_FOR_CUDA = "Install the torch that https://pytorch.org/get-started/locally/ gives for the driver."

QT_LIBRARIES = "Install the driver of the graphics card; on Linux also libegl1, libgl1 and libxcb-cursor0."


@dataclass(frozen=True)
class Finding:
    """One piece of the installation. `required`: without it the main job cannot run."""

    piece: str
    ok: bool
    fact: str
    next_step: str = ""
    required: bool = True


def examine() -> Iterator[Finding]:
    """Yield a finding for every piece: Python, libraries, runtimes, devices, window, cache, demo data."""
    yield Finding(
        "Python",
        sys.version_info >= (3, 11),
        f"{platform.python_version()} on {platform.platform()}",
        "Install Python 3.11 or newer.",
    )
    yield _openslide()
    yield _library("tifffile", "tifffile", "tifffile", "pip install tifffile imagecodecs")
    yield _library("image codecs", "imagecodecs", "imagecodecs", "pip install imagecodecs")
    yield _library("matplotlib", "matplotlib", "matplotlib", "pip install matplotlib")
    yield _library("torch", "torch", "torch", "pip install torch")
    yield _torchvision()
    yield _optional("timm", "encoders called timm:NAME, and models with one, wait for it")
    yield _optional("distributed", "predict --scheduler, for several machines, waits for it")
    yield _openvino()
    yield _numba()
    yield _cuda()
    yield _jpeg_on_gpu()
    yield from _window()
    yield _memory()
    yield _processors()
    yield _writing("this folder", Path.cwd(), "Write results elsewhere by --out.")
    yield _disk("disk here", Path.cwd(), "Free some, or write results elsewhere by --out.")
    yield _writing("temporary files", Path(tempfile.gettempdir()), "Set TMPDIR (on Windows TEMP) elsewhere.")
    yield _own_folder()
    yield from _cache()
    yield _demo_data()
    yield from _formats()


def _formats() -> Iterator[Finding]:
    try:
        from napari_aln.slides.formats import FORMATS
    except (ImportError, OSError) as error:
        yield Finding("slide formats", False, f"cannot be told: {error}", "Install what is missing above.")
        return
    for tested, piece in ((True, "slide formats"), (False, "formats untested")):
        yield Finding(piece, True, "; ".join(f.name for f in FORMATS if f.tested is tested))


def _openslide() -> Finding:
    try:
        import openslide

        fact = f"{openslide.__library_version__}, openslide-python {openslide.__version__}"
        return Finding("OpenSlide", True, fact)
    except (ImportError, OSError) as error:  # OSError: its library is not there, or is not for this system
        step = "Try: pip install openslide-python openslide-bin"
        return Finding("OpenSlide", False, f"cannot be loaded: {error}", step)


def _library(piece: str, module: str, package: str, install: str) -> Finding:
    try:
        importlib.import_module(module)
        return Finding(piece, True, version(package))
    except (ImportError, OSError, PackageNotFoundError) as error:
        return Finding(piece, False, f"cannot be loaded: {error}", f"Try: {install}")


def _torchvision() -> Finding:
    try:
        from napari_aln.runtimes.torchvision_import import torchvision

        return Finding("torchvision", True, str(torchvision.__version__))
    except (ImportError, OSError, AlnError) as error:
        return Finding("torchvision", False, f"cannot be loaded: {error}", "Try: pip install torchvision")


def _optional(package: str, without: str) -> Finding:
    try:
        return Finding(package, True, version(package), required=False)
    except PackageNotFoundError:
        return Finding(package, True, f"not installed: {without}", required=False)


def _openvino() -> Finding:
    if find_spec("openvino") is None and platform.machine().lower() not in ("x86_64", "amd64"):
        return Finding("OpenVINO", True, "not used on this processor: torch is", required=False)
    try:
        from napari_aln.runtimes.openvino_import import CORE

        devices = ", ".join(CORE.available_devices)
        return Finding("OpenVINO", True, f"{version('openvino')}, devices: {devices}", required=False)
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: its plugins cannot be loaded
        fact = f"cannot be loaded ({error}); torch is used instead, which is slower"
        step = "Try: pip install --force-reinstall openvino"
        return Finding("OpenVINO", False, fact, step, required=False)


def _numba() -> Finding:
    if find_spec("numba") is None and platform.machine().lower() not in ("x86_64", "amd64"):
        return Finding("numba", True, "not used on this processor", required=False)
    try:
        importlib.import_module("numba")
        return Finding("numba", True, version("numba"), required=False)
    except (ImportError, OSError) as error:  # ImportError too where numpy is newer than it knows
        fact = f"cannot be loaded ({error}); VGGs and small ResNets run on OpenVINO instead, slower"
        return Finding("numba", False, fact, "Try: pip install --upgrade numba", required=False)


def _cuda() -> Finding:
    try:
        import torch
    except (ImportError, OSError):
        return Finding("CUDA", True, "not asked: torch cannot be loaded", required=False)
    from napari_aln.runtimes.choice import has_nvidia_driver

    if torch.cuda.is_available():
        return Finding("CUDA", True, torch.cuda.get_device_name(0), required=False)
    if torch.backends.mps.is_available():
        return Finding("CUDA", True, "no CUDA device: networks run on Apple's GPU", required=False)
    if not has_nvidia_driver():
        return Finding("CUDA", True, "no CUDA device: networks run on the processor", required=False)
    why = "sees no device" if torch.version.cuda else "was built without CUDA"
    fact = f"an NVIDIA driver is here, but torch {torch.__version__} {why}: networks run on the processor"
    step = TORCH_FOR_CUDA if not torch.version.cuda else f"Update the driver. Or: {TORCH_FOR_CUDA}"
    return Finding("CUDA", False, fact, step, required=False)


def _jpeg_on_gpu() -> Finding:
    piece = "JPEG on the GPU"
    try:
        import torch
        from PIL import Image

        from napari_aln.runtimes.jpeg_decoder import INSTALL, NvImageCodec, installed
    except (ImportError, OSError):
        return Finding(piece, True, "not asked: torch cannot be loaded", required=False)
    if not torch.cuda.is_available():
        return Finding(piece, True, "no CUDA device: the processor decodes JPEG", required=False)
    if not installed():
        fact = "nvImageCodec is not installed: the processor decodes JPEG"
        return Finding(piece, False, fact, f"Try: {INSTALL}", required=False)
    jpeg = io.BytesIO()
    Image.new("RGB", (16, 16)).save(jpeg, "JPEG")
    try:
        (pixels,) = NvImageCodec()([jpeg.getvalue()], stores_rgb=False)
    except (AlnError, torch.OutOfMemoryError) as error:
        fact = error.fact if isinstance(error, AlnError) else "the GPU has no memory left"
        return Finding(piece, False, f"{fact} The processor decodes JPEG.", f"Try: {INSTALL}", required=False)
    if pixels is None:
        fact = "nvImageCodec finds no nvJPEG: the processor decodes JPEG"
        return Finding(piece, False, fact, f"Try: {INSTALL}", required=False)
    return Finding(piece, True, "nvImageCodec, for slides of JPEG tiles", required=False)


def _window() -> Iterator[Finding]:
    for module in ("napari", "PySide6"):
        there = find_spec(module) is not None
        fact = version(module) if there else "not installed: the command line works, a window does not"
        yield Finding(module, there, fact, f"Try: pip install {module}", required=False)
    if sys.platform == "linux":
        yield _glibc()
    yield Finding(
        "display",
        has_display(),
        "a display is there" if has_display() else "no display: the command line works, a window does not",
        "Start from a desktop session, or under a virtual display: xvfb-run -a napari-aln.",
        required=False,
    )

    if has_display() and find_spec("PySide6"):
        yield _opengl()


def _glibc() -> Finding:
    libc, release = platform.libc_ver()
    if libc != "glibc":
        fact = "this system has another C library: there are no wheels of torch, OpenVINO and PySide6 for it"
        step = "Use a system with glibc 2.34 or newer, such as Debian 12, Ubuntu 22.04 or RHEL 9."
        return Finding("glibc", False, fact, step, required=False)
    enough = tuple(int(part) for part in release.split(".")[:2]) >= GLIBC_OF_QT_WHEELS
    step = "PySide6 wheels need glibc 2.34 or newer: use a newer system, such as Debian 12 or Ubuntu 22.04."
    return Finding("glibc", enough, release, step, required=False)


def _opengl() -> Finding:
    asked = [sys.executable, "-m", "napari_aln.widgets.opengl"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=OPENGL_WAIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Finding("OpenGL", False, "it does not answer: no window", QT_LIBRARIES, required=False)
    if done.returncode:
        if "could not connect to display" in done.stderr:
            where = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
            step = "Start from a desktop session; over ssh by ssh -X; else under xvfb-run -a."
            fact = f"cannot be used: no window (no display answers at {where})"
            return Finding("OpenGL", False, fact, step, required=False)
        missing = re.search(r"\S+\.so[.\d]*(?=: cannot open shared object file)", done.stderr)
        why = f" ({missing[0]} is missing)" if missing else ""
        return Finding("OpenGL", False, f"cannot be used: no window{why}", QT_LIBRARIES, required=False)
    fact = done.stdout.strip()
    if any(name in fact for name in SOFTWARE_OPENGL):
        fact += ": the processor draws, which is slower"
    return Finding("OpenGL", True, fact, required=False)


def has_display() -> bool:
    """Whether a window could be opened here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _memory() -> Finding:
    found = allowance.memory()
    fact = f"{found.free / 1e9:.0f} of {found.allowed / 1e9:.0f} GB free"
    step = "Close other programs, or lower --batch and --workers."
    if found.limited_by:
        fact += f" by {found.limited_by}; the computer has {found.installed / 1e9:.0f} GB"
        step = f"Raise {found.limited_by}, or lower --batch and --workers."
    return Finding("memory", found.free >= LEAST_MEMORY_GB * 1e9, fact, step, required=False)


def _processors() -> Finding:
    found = allowance.processors()
    fact = f"{found.allowed:.3g}"
    if found.limited_by:
        fact += f" by {found.limited_by}; the computer has {found.installed}"
    return Finding("processors", True, fact, required=False)


def _writing(piece: str, folder: Path, next_step: str) -> Finding:
    """Tell whether files can be written to a folder."""
    from napari_aln.store.atomic import check_writable

    try:
        check_writable(folder)
    except AlnError as error:
        return Finding(piece, False, error.fact, next_step, required=False)
    return Finding(piece, True, f"files can be written to {folder}", required=False)


def _disk(piece: str, folder: Path, next_step: str) -> Finding:
    """Tell how much room the disk of a folder has."""
    try:
        free_gb = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        return Finding(piece, False, f"cannot be told: {error}", next_step, required=False)
    return Finding(piece, free_gb >= LEAST_DISK_GB, f"{free_gb:.0f} GB free", next_step, required=False)


def _own_folder() -> Finding:
    """Tell whether the window can keep what it remembers, and reviews that go on."""
    try:
        from napari_aln.store.autosave import autosave_folder
    except ImportError as error:
        step = "Install what is missing above."
        return Finding("autosave", False, f"cannot be told: {error}", step, required=False)
    return _writing("autosave", autosave_folder(), "Set NAPARI_ALN_CONFIG to a folder you may write to.")


def _cache() -> Iterator[Finding]:
    try:
        from napari_aln.store.atomic import check_writable
        from napari_aln.store.features import FeatureCache
    except ImportError as error:
        yield Finding("feature cache", False, f"cannot be told: {error}", "Install what is missing above.")
        return
    root = FeatureCache().root
    elsewhere = "Set NAPARI_ALN_CACHE to a folder you may write to."
    try:
        check_writable(root)
    except AlnError as error:
        yield Finding("feature cache", False, error.fact, elsewhere)
        return
    yield Finding("feature cache", True, str(root))
    yield _disk("disk", root, "Free some, or set NAPARI_ALN_CACHE to a larger disk.")


def _demo_data() -> Finding:
    try:
        from napari_aln.workflows.demo import DEMO_FILES, sample_path
    except (ImportError, OSError) as error:
        return Finding("demo data", False, f"cannot be told: {error}", "Install what is missing above.")
    missing = [name for name in DEMO_FILES if not sample_path(name).is_file()]
    fact = f"missing: {', '.join(missing)}" if missing else "complete"
    return Finding("demo data", not missing, fact, "Install napari-aln again: its package is not whole.")
