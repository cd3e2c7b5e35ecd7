"""Reader of TIFF files through tifffile: OME-TIFF first, and last what OpenSlide declines.

OME-TIFF comes before OpenSlide because that sees neither its lower levels nor its `PhysicalSize`.
Only 8-bit RGB and grey pictures are slides here; fluorescence channels, stacks and 16 bits are refused.
"""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile

from napari_aln.errors import SlideError
from napari_aln.geometry import Mpp, Rect
from napari_aln.records import Level, SlideInfo
from napari_aln.slides.base import BaseSlide
from napari_aln.slides.facts import WHITE, on_background, sampled_hash, settle_mpp
from napari_aln.slides.tiles import TIFF_ERRORS, TileReader, tiff_level

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffPage

    from napari_aln.slides.encoded import EncodedLevel

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_ICC_TAG = 34675

_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}  # TIFF 6.0, tag 296: inch, centimetre
_UM_PER_OME_UNIT = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
}
_UM_PER_IMAGEJ_UNIT = {"micron": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}


def try_open_ome(path: Path, given_mpp: Mpp | None) -> TifffileSlide | None:
    """Return the slide, or None when the file is no OME-TIFF."""
    if not _is_tiff(path):
        return None
    try:
        with TiffFile(path) as tiff:
            if not tiff.is_ome:
                return None
    except TIFF_ERRORS:
        return None  # OpenSlide or `try_open` says what is wrong with it
    return TifffileSlide(path, given_mpp)


def try_open(path: Path, given_mpp: Mpp | None) -> TifffileSlide | None:
    """Return the slide, or None when the file is no TIFF."""
    return TifffileSlide(path, given_mpp) if _is_tiff(path) else None


def _check_last_page(tiff: TiffFile, path: Path) -> None:
    """Raise `SlideError` where the last page that could be read names a further one: the rest is cut off."""
    layout, stream, last = tiff.tiff, tiff.filehandle, tiff.pages[len(tiff.pages) - 1]
    stream.seek(last.offset)
    (n_tags,) = unpack(layout.tagnoformat, stream.read(layout.tagnosize))
    stream.seek(last.offset + layout.tagnosize + n_tags * layout.tagsize)
    (further,) = unpack(layout.offsetformat, stream.read(layout.offsetsize))
    if further:
        raise SlideError(
            f"{path} is a truncated TIFF: its pages go on beyond its end.",
            "Copy or download the file again, whole.",
        )


class TifffileSlide(BaseSlide):
    """A TIFF whose tiles or strips are decoded by tifffile and imagecodecs."""

    def __init__(self, path: Path, given_mpp: Mpp | None) -> None:
        try:
            with TiffFile(path) as tiff:
                _check_last_page(tiff, path)
                pages = _pyramid(tiff, path)
                size = tiff.filehandle.size
                tiff_levels = tuple(tiff_level(page, path, size) for page in pages)
                profile = pages[0].tags.valueof(_ICC_TAG)
                in_file = _ome_mpp(tiff.ome_metadata) if tiff.is_ome else _tag_mpp(tiff, pages[0])
        except TIFF_ERRORS as error:
            if isinstance(error, SlideError):
                raise
            raise SlideError(
                f"{path} is a damaged or truncated TIFF: {error}.", "Copy or download the file again, whole."
            ) from error
        mpp, origin, warnings = settle_mpp(given_mpp, in_file)
        width, height = tiff_levels[0].width_px, tiff_levels[0].height_px
        levels = tuple(
            Level(t.width_px, t.height_px, (width / t.width_px, height / t.height_px)) for t in tiff_levels
        )
        info = SlideInfo(
            path=path,
            vendor="ome-tiff" if tiff.is_ome else "tiff",
            reader="tifffile",
            levels=levels,
            mpp=mpp,
            mpp_origin=origin,
            bounds=Rect(0.0, 0.0, float(width), float(height)),
            background_rgb=WHITE,
            quick_hash=sampled_hash(path),
            warnings=warnings,
        )
        super().__init__(info, given_mpp)
        self._profile = profile if isinstance(profile, bytes) else None
        self._is_tiled = pages[0].is_tiled
        self._inverted = pages[0].photometric == PHOTOMETRIC.MINISWHITE
        self._colors = 3 if pages[0].photometric in {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR} else 1
        self._alpha = pages[0].extrasamples[0] if pages[0].extrasamples else EXTRASAMPLE.UNSPECIFIED
        self._tiles = TileReader(path, tiff_levels)
        glass = 0 if self._inverted else 255
        self._missing = (glass,) * self._colors + (255,) * (tiff_levels[0].channels - self._colors)

    def encoded_level(self, level: int) -> EncodedLevel | None:
        """Return the level's JPEG tiles undecoded; None where they are none."""
        return self._tiles.encoded(level)

    def color_profile(self) -> bytes | None:
        """Return the ICC profile embedded in the file; None where there is none."""
        return self._profile

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Return the width and height of the file's own tiles of a level; None where it has strips."""
        there = self._tiles.levels[level]
        if there is None or not self._is_tiled:
            return None
        return there.tile_width_px, there.tile_height_px

    def _read_inside(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        pixels = self._tiles.read(level, x, y, width, height, self._missing)
        if self._inverted:
            np.subtract(255, pixels[..., :1], out=pixels[..., :1])
        if self._alpha == EXTRASAMPLE.UNSPECIFIED:  # a further channel that is no alpha
            pixels = pixels[..., : self._colors]
        premultiplied = self._alpha == EXTRASAMPLE.ASSOCALPHA
        return on_background(pixels, self._info.background_rgb, premultiplied)

    def _release(self) -> None:
        self._tiles.close()


def _is_tiff(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def _pyramid(tiff: TiffFile, path: Path) -> list[TiffPage]:
    """Return the main picture and its smaller copies, largest first; tifffile knows both kinds of pyramid."""
    main = tiff.series[0]
    pages: list[TiffPage] = [level.keyframe for level in main.levels]
    _check_kind(pages[0], str(main.axes), path)
    same = (pages[0].photometric, pages[0].samplesperpixel, pages[0].dtype)
    return [page for page in pages if (page.photometric, page.samplesperpixel, page.dtype) == same]


def _check_kind(page: TiffPage, axes: str, path: Path) -> None:
    """Refuse what is no 8-bit RGB or grey picture."""
    jpeg = page.compression in {COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.ALT_JPEG}
    known = page.photometric in {PHOTOMETRIC.RGB, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE} or (
        page.photometric == PHOTOMETRIC.YCBCR and jpeg
    )
    if page.dtype != np.uint8 or axes not in {"YX", "YXS", "SYX"} or not known:
        raise SlideError(
            f"{path} holds no single 8-bit RGB or grey picture (axes {axes}, {page.dtype}, "
            f"{getattr(page.photometric, 'name', page.photometric)}).",
            "Convert it to 8-bit RGB.",
        )
    colors = 1 if page.photometric in {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE} else 3
    if page.samplesperpixel not in {colors, colors + 1}:
        raise SlideError(f"{path} has {page.samplesperpixel} channels.", "Convert it to 8-bit RGB.")


def _tag_mpp(tiff: TiffFile, page: TiffPage) -> tuple[float | None, float | None]:
    """Return µm/px from the resolution tags; ImageJ keeps their unit in its own description."""
    um = _UM_PER_RESOLUTION_UNIT.get(int(page.tags.valueof(296, 2)))
    if tiff.is_imagej and isinstance(tiff.imagej_metadata, dict):
        um = _UM_PER_IMAGEJ_UNIT.get(str(tiff.imagej_metadata.get("unit", "")))
    return _per_px(page.tags.valueof(282), um), _per_px(page.tags.valueof(283), um)


def _per_px(resolution: Any, um: float | None) -> float | None:  # noqa: ANN401 - a rational as tifffile gives it
    if um is None or not isinstance(resolution, tuple) or 0 in resolution:
        return None
    return um * float(resolution[1]) / float(resolution[0])


def _ome_mpp(ome_xml: str | None) -> tuple[float | None, float | None]:
    """Return µm/px from the first image's `PhysicalSizeX` and `Y`; the default unit is µm."""
    try:
        pixels = fromstring((ome_xml or "").encode()).find("./{*}Image/{*}Pixels")
    except (ParseError, DefusedXmlException):
        return None, None
    if pixels is None:
        return None, None
    return _ome_size(pixels.attrib, "X"), _ome_size(pixels.attrib, "Y")


def _ome_size(attributes: dict[str, str], axis: str) -> float | None:
    um = _UM_PER_OME_UNIT.get(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        return um * float(attributes[f"PhysicalSize{axis}"]) if um else None
    except (KeyError, ValueError):
        return None
