"""Reader of what OpenSlide knows: geometry is always its own, pixels come faster where proven equal."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import openslide
from PIL.ImageCms import PyCMSError

from napari_aln.errors import SlideError
from napari_aln.geometry import Mpp, Rect, ScannerFrame, plausible_mpp
from napari_aln.records import Level, SlideInfo
from napari_aln.slides.base import BaseSlide
from napari_aln.slides.facts import hex_rgb, on_background, sampled_hash, settle_mpp
from napari_aln.slides.openslide_tiles import proven_tiles, whole_l0

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_aln.slides.encoded import EncodedLevel
    from napari_aln.slides.tiles import TileReader

_LARGEST_TILE_PX = 2**27  # half a GiB once decoded; strips of an untiled slide are well below
_DICOM_HEADER_BYTES = 65_536  # the series' UID stands well before that


def try_open(path: Path, given_mpp: Mpp | None) -> OpenSlideSlide | None:
    """Return the slide, or None when OpenSlide does not know the file."""
    file = _dicom_in(path) if path.is_dir() else path
    if file is None or openslide.OpenSlide.detect_format(file) is None:
        return None
    return OpenSlideSlide(path, file, given_mpp)


def _dicom_in(folder: Path) -> Path | None:
    """Return one DICOM file of a folder; OpenSlide finds the others of the same slide by itself."""
    for file in sorted(folder.iterdir()):
        if b"DICM" in _start(file, 132) and openslide.OpenSlide.detect_format(file) == "dicom":
            return file
    return None


def _start(file: Path, count: int) -> bytes:
    if not file.is_file():
        return b""
    with file.open("rb") as opened:
        return opened.read(count)


def _other_series(path: Path, series_uid: str | None) -> tuple[str, ...]:
    """Warn when a DICOM folder holds files of another slide: OpenSlide passes over them in silence."""
    if not path.is_dir() or not series_uid:
        return ()
    starts = [_start(file, _DICOM_HEADER_BYTES) for file in sorted(path.iterdir())]
    others = sum(start[128:132] == b"DICM" and series_uid.encode() not in start for start in starts)
    if not others:
        return ()
    # Results keep this sentence, so it does not name the series: its UID leads to the patient.
    return (f"The folder holds {others} DICOM files of another series, which are not read.",)


class OpenSlideSlide(BaseSlide):
    """A slide read through OpenSlide.

    An OpenSlide handle that met an error refuses every later call. So a failed read drops the handle, tries
    once with a fresh one, and only then reports; the next read starts with a fresh handle again.
    """

    def __init__(self, path: Path, file: Path, given_mpp: Mpp | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._handle: openslide.OpenSlide | None = None
        self._path = path
        handle = self._opened()
        self._tiles: TileReader | None = None
        try:
            _refuse_absurd_tiles(path, handle)
            info = _facts(path, file, handle, given_mpp)
            self._downsamples = handle.level_downsamples
        except openslide.OpenSlideError as error:
            raise _unreadable(path, str(error)) from error
        try:
            self._tiles = proven_tiles(file, handle)
        except openslide.OpenSlideError:  # a damaged tile: reported when it is asked for
            self._drop(handle)
        super().__init__(replace(info, reader="openslide+tiles") if self._tiles else info, given_mpp)

    def color_profile(self) -> bytes | None:
        """Return the ICC profile embedded in the file; None where there is none, or it cannot be read."""
        try:
            profile = self._opened().color_profile
        except (openslide.OpenSlideError, PyCMSError, OSError):
            return None
        return None if profile is None else profile.tobytes()

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Return the width and height of the file's own tiles of a level; None where it has none."""
        properties = self._opened().properties
        width, height = (
            int(properties.get(f"openslide.level[{level}].tile-{side}", 0)) for side in ("width", "height")
        )
        return (width, height) if width and height else None

    def _opened(self) -> openslide.OpenSlide:
        with self._lock:
            self._check_open()
            if self._handle is None:
                try:
                    self._handle = openslide.OpenSlide(self._file)
                except (openslide.OpenSlideError, OSError) as error:
                    raise _unreadable(self._path, str(error)) from error
            return self._handle

    def _drop(self, handle: openslide.OpenSlide) -> None:
        with self._lock:
            if self._handle is handle:
                self._handle = None  # other threads may still read from it; it closes with the last of them

    def encoded_level(self, level: int) -> EncodedLevel | None:
        """Return the level's JPEG tiles undecoded, where decoding them gives OpenSlide's own pixels."""
        return None if self._tiles is None else self._tiles.encoded(level)

    def _read_inside(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        if self._tiles is not None and self._tiles.levels[level] is not None:
            try:
                return self._tiles.read(level, x, y, width, height, self._info.background_rgb)
            except SlideError:  # OpenSlide has the last word on a damaged tile
                self._check_open()
        return self._through_openslide(level, x, y, width, height)

    def _through_openslide(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        corner = whole_l0(x, y, self._downsamples[level])
        for attempt in (1, 2):
            handle = self._opened()
            try:
                rgba = handle.read_region(corner, level, (width, height))
            except (openslide.OpenSlideError, OSError) as error:
                self._drop(handle)
                if attempt == 2:
                    raise SlideError(
                        f"{self._path} failed while being read at level {level}, x {x}, y {y}: {error}.",
                        "The file is damaged or the drive is gone: copy or download it again.",
                    ) from error
            else:
                break
        return on_background(np.asarray(rgba), self._info.background_rgb)

    def _read_associated(self, name: str) -> NDArray[np.uint8]:
        handle = self._opened()
        try:
            rgba = handle.associated_images[name]
        except (openslide.OpenSlideError, OSError) as error:
            self._drop(handle)
            raise SlideError(
                f"The {name} image of {self._path} cannot be read: {error}.", "The file is damaged."
            ) from error
        return on_background(np.asarray(rgba), self._info.background_rgb)

    def _release(self) -> None:
        with self._lock:
            self._handle = None
        if self._tiles is not None:
            self._tiles.close()


def _unreadable(path: Path, why: str) -> SlideError:
    return SlideError(
        f"{path} cannot be opened: {why}.",
        "The file is damaged, incomplete or gone: copy or download it again.",
    )


def _refuse_absurd_tiles(path: Path, handle: openslide.OpenSlide) -> None:
    """OpenSlide ends the whole process when memory for a tile cannot be had."""
    for level in range(handle.level_count):
        width, height = (
            _number(handle.properties, f"openslide.level[{level}].tile-{side}") or 0.0
            for side in ("width", "height")
        )
        if width * height > _LARGEST_TILE_PX:
            raise _unreadable(path, f"level {level} claims tiles of {width:.0f} x {height:.0f} px")


def _facts(path: Path, file: Path, handle: openslide.OpenSlide, given_mpp: Mpp | None) -> SlideInfo:
    properties = handle.properties
    mpp_in_file = (_number(properties, "openslide.mpp-x"), _number(properties, "openslide.mpp-y"))
    mpp, origin, warnings = settle_mpp(given_mpp, mpp_in_file)
    return SlideInfo(
        path=path,
        vendor=properties.get("openslide.vendor", "unknown"),
        reader="openslide",
        levels=_levels(handle),
        mpp=mpp,
        mpp_origin=origin,
        bounds=_bounds(properties, handle.dimensions),
        background_rgb=hex_rgb(properties.get("openslide.background-color")),
        quick_hash=properties.get("openslide.quickhash-1") or sampled_hash(file),
        objective_power=_number(properties, "openslide.objective-power"),
        associated=tuple(sorted(handle.associated_images)),
        warnings=warnings + _other_series(path, properties.get("dicom.SeriesInstanceUID")),
        scanner=_scanner(properties, handle.dimensions, plausible_mpp(*mpp_in_file) or mpp),
    )


def _levels(handle: openslide.OpenSlide) -> tuple[Level, ...]:
    """Return the levels with a downsample for each axis.

    OpenSlide states one for both axes. Where it is no more than the mean of both ratios of the sizes, the
    ratios are exact; where it differs, the format states it (MIRAX, Philips pad their levels): then it is.
    """
    width, height = handle.dimensions
    levels = []
    for (w, h), stated in zip(handle.level_dimensions, handle.level_downsamples, strict=True):
        ratios = (width / w, height / h)
        from_sizes = abs(sum(ratios) / 2 - stated) < 1e-6 * stated
        levels.append(Level(w, h, ratios if from_sizes else (stated, stated)))
    return tuple(levels)


def _bounds(properties: Mapping[str, str], size_px: tuple[int, int]) -> Rect:
    values = [_number(properties, f"openslide.bounds-{name}") for name in ("x", "y", "width", "height")]
    if any(value is None for value in values):
        return Rect(0.0, 0.0, float(size_px[0]), float(size_px[1]))
    return Rect(*(float(value) for value in values if value is not None))


def _scanner(properties: Mapping[str, str], size_px: tuple[int, int], mpp: Mpp | None) -> ScannerFrame | None:
    """Return where level 0 lies on the glass: Hamamatsu states the place of its centre, in nanometres."""
    x_nm, y_nm = (_number(properties, f"hamamatsu.{axis}OffsetFromSlideCentre") for axis in "XY")
    if x_nm is None or y_nm is None or mpp is None:
        return None
    nm_per_px = (mpp.x * 1000, mpp.y * 1000)
    corner_nm = (x_nm - size_px[0] / 2 * nm_per_px[0], y_nm - size_px[1] / 2 * nm_per_px[1])
    return ScannerFrame(corner_nm, nm_per_px)


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        return float(properties[name])
    except (KeyError, ValueError):
        return None
