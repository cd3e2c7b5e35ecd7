"""Reader of flat JPEG and PNG files of any size, as in the BCNB data set.

Nothing is decoded until pixels are asked for. A picture of moderate size is then kept in memory; a larger one
is decoded once into a temporary file that the operating system pages. That file has no name (on Windows: is
deleted with its last handle), so nothing is left of it, even by a killed process. Small overviews of a
JPEG come straight from its DCT coefficients (1/2, 1/4 or 1/8), without a full decode.

µm/px is never taken from such a file: JFIF and PNG densities are those of screens and printers. The EXIF
rotation is ignored, because outlines drawn on these pictures count in the pixels as stored.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from typing import IO, TYPE_CHECKING

import imagecodecs
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_aln.errors import SlideError
from napari_aln.geometry import Mpp, Rect
from napari_aln.records import Level, SlideInfo
from napari_aln.slides.base import BaseSlide
from napari_aln.slides.facts import WHITE, on_background, sampled_hash, settle_mpp
from napari_aln.slides.sampling import AREA_LIKE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

_JPEG_START, _PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND"
_TAIL_BYTES = 65_536  # some cameras and servers append a little after the end

IN_MEMORY_PX = 32 * 10**6
"""Pictures of up to this many pixels are decoded into memory, larger ones into a temporary file."""

MOST_PX = 65_500**2  # the most a JPEG can hold
_MOST_DEFLATE = 1_040  # bytes a byte of a PNG can unfold to; more than that is a lie in its header

_NOT_OFFERED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}  # this drive cannot take space in one call
_ZEROS = memoryview(bytes(2**24))

_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def try_open(path: Path, given_mpp: Mpp | None) -> ImageSlide | None:
    """Return the slide, or None when the file does not start as a JPEG or PNG."""
    if path.is_dir():
        return None
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((_JPEG_START, _PNG_START)):
        return None
    return ImageSlide(path, given_mpp)


class ImageSlide(BaseSlide):
    """A flat JPEG or PNG with one level."""

    def __init__(self, path: Path, given_mpp: Mpp | None) -> None:
        with _picture(path) as picture:
            kind, mode, size = picture.format or "", picture.mode, picture.size
        _check_size(path, kind, mode, size)
        _check_end(path, kind)
        mpp, origin, warnings = settle_mpp(given_mpp, (None, None))
        info = SlideInfo(
            path=path,
            vendor=kind.lower(),
            reader="image",
            levels=(Level(*size, (1.0, 1.0)),),
            mpp=mpp,
            mpp_origin=origin,
            bounds=Rect(0.0, 0.0, float(size[0]), float(size[1])),
            background_rgb=WHITE,
            quick_hash=sampled_hash(path),
            warnings=warnings,
        )
        super().__init__(info, given_mpp)
        self._kind, self._mode = kind, mode
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None

    def reduced(self, size_px: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return the whole picture at `size_px` from its DCT coefficients; None where that saves nothing."""
        self._check_open()
        if self._kind != "JPEG" or self._pixels is not None:
            return None
        with _picture(self._info.path) as picture:
            drafted = picture.draft("RGB", size_px)
            if drafted is None or picture.size == self._info.size_px or picture.mode not in {"L", "RGB"}:
                return None
            try:
                picture.load()
            except (OSError, SyntaxError, ValueError) as error:
                raise _damaged(self._info.path, error) from error
            # The last scaled pixel may stand for fewer pixels than the others: the float box leaves that out.
            box = drafted[1]
            return np.array(picture.convert("RGB").resize(size_px, AREA_LIKE, box=box))

    def color_profile(self) -> bytes | None:
        """Return the ICC profile embedded in the file; None where there is none."""
        with _picture(self._info.path) as picture:
            profile = picture.info.get("icc_profile")
        return profile if isinstance(profile, bytes) else None

    def _read_inside(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        box = np.array(self._decoded()[y : y + height, x : x + width])
        return on_background(box, self._info.background_rgb)

    def _decoded(self) -> NDArray[np.uint8]:
        with self._lock:
            if self._pixels is None:
                width, height = self._info.size_px
                small = width * height <= IN_MEMORY_PX
                self._pixels = self._in_memory() if small else self._in_temporary_file()
            return self._pixels

    def _in_memory(self) -> NDArray[np.uint8]:
        with _picture(self._info.path) as picture:
            try:
                opaque = (
                    picture.mode in {"L", "RGB", "CMYK", "YCbCr", "1"} and "transparency" not in picture.info
                )
                return np.array(picture.convert("RGB" if opaque else "RGBA"))
            except (OSError, SyntaxError, ValueError) as error:
                raise _damaged(self._info.path, error) from error

    def _in_temporary_file(self) -> NDArray[np.uint8]:
        path = self._info.path
        width, height = self._info.size_px
        shape = (height, width, _CHANNELS[self._mode])
        pixels = _mapped(shape, path)
        decode = imagecodecs.jpeg8_decode if self._kind == "JPEG" else imagecodecs.png_decode
        try:
            decode(path.read_bytes(), out=pixels if shape[2] > 1 else pixels[..., 0])
        except (imagecodecs.Jpeg8Error, imagecodecs.PngError, OSError, ValueError) as error:
            raise _damaged(path, error) from error
        return pixels

    def _release(self) -> None:
        with self._lock:
            self._pixels = None


def _picture(path: Path) -> Image.Image:
    """Open a picture by its plugin: `Image.open` warns of, or refuses, the sizes that slides have."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
        return JpegImageFile(path) if start.startswith(_JPEG_START) else PngImageFile(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SlideError:
    return SlideError(
        f"{path} cannot be decoded: {error}.",
        "The picture is damaged or incomplete: copy or download it again.",
    )


def _check_size(path: Path, kind: str, mode: str, size: tuple[int, int]) -> None:
    """Refuse what cannot be a slide before anything is allocated."""
    width, height = size
    bits = 1 if mode == "1" else 8
    unfolds = path.stat().st_size * _MOST_DEFLATE
    if width * height > MOST_PX or (kind == "PNG" and width * height * bits // 8 > unfolds):
        raise SlideError(
            f"{path} claims {width} x {height} px, which it cannot hold.",
            "The picture is damaged: copy or download it again.",
        )
    if mode not in _MODES:
        raise SlideError(
            f"{path} is not an 8-bit colour or grey picture (its kind is {mode}).", "Convert it to 8-bit RGB."
        )
    if width * height > IN_MEMORY_PX and mode not in _CHANNELS:
        raise SlideError(
            f"{path} is a large picture of a rare kind ({mode}).",
            "Convert it to 8-bit RGB, or to a tiled TIFF.",
        )


def _check_end(path: Path, kind: str) -> None:
    """Refuse a picture that stops before its end mark: decoders fill the missing part with grey."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    if (_JPEG_END if kind == "JPEG" else _PNG_END) not in tail:
        raise SlideError(
            f"{path} is truncated: its end is missing.", "Copy or download the file again, whole."
        )


def _mapped(shape: tuple[int, int, int], slide: Path) -> NDArray[np.uint8]:
    """Map a temporary file of the size of the pixels, which vanishes with the mapping.

    Raises
    ------
    SlideError
        There is no room for it.
    """
    needed = shape[0] * shape[1] * shape[2]
    place, why = "the temporary folder", ""
    try:
        place = tempfile.gettempdir()
        free = shutil.disk_usage(place).free
        if needed <= 0.95 * free:
            with tempfile.TemporaryFile() as file:
                _take_space(file, needed)
                return np.memmap(file, np.uint8, "r+", shape=shape)
        why = f"{free / 1e9:.1f} GB free"
    except OSError as error:
        why = f"no room for it ({error.strerror or error})"
    raise SlideError(
        f"{slide} unfolds to {needed / 1e9:.1f} GB; {place} has {why}.",
        "Free some space, point TMPDIR to a larger drive, or convert the picture to a tiled TIFF.",
    )


def _take_space(file: IO[bytes], needed: int) -> None:
    """Fill a file up: writing to a mapped file with holes kills the process when the drive is full."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            if error.errno not in _NOT_OFFERED:
                raise
        else:
            return
    for start in range(0, needed, len(_ZEROS)):
        file.write(_ZEROS[: needed - start])
    file.flush()
