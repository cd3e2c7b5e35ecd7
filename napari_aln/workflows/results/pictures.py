"""Pictures of maps on tissue, each with a legend that names the quantity, its scaling and the model.

Drawn with Pillow: a cached run would spend most of its time in a plotting library otherwise.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from napari_aln.patches.raster import pixel_l0, raster
from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.workflows.slide.maps import MAP_STYLES, scale_extent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_aln.geometry import Mpp
    from napari_aln.records import PatchScores, PatchTable, Region, RunRecord
    from napari_aln.workflows.slide.maps import MapStyle

MAP_OPACITY = 0.5
OUTLINE_RGB = (0, 80, 208)
JPEG_QUALITY = 85

_MARGIN_PX, _BAR_PX, _TEXT_PX, _LEGEND_PX = 24, 22, 20, 300
_NOTICE_WIDTH_PX = 1000  # however narrow the slide: the words are not cut


@dataclass(frozen=True)
class Background:
    """The slide that maps are drawn on."""

    rgb: NDArray[np.uint8]  # (H, W, 3), the whole slide
    size_l0: tuple[int, int]  # width and height in level-0 px
    mpp: Mpp  # µm/px of level 0

    @property
    def scale(self) -> NDArray[np.float64]:
        """Picture pixels that one level-0 pixel spans, along x and y."""
        height, width = self.rgb.shape[:2]
        scale: NDArray[np.float64] = np.array([width, height]) / np.asarray(self.size_l0)
        return scale

    @property
    def width_mm(self) -> float:
        """Width of the slide."""
        return self.size_l0[0] * self.mpp.x / 1000


@dataclass(frozen=True)
class Overlay:
    """A coloured map and where it lies on the background."""

    rgba: NDArray[np.uint8]  # (rows, columns, 4); clear where no patch has a value
    size_px: tuple[float, float]  # what it spans from the background's upper left corner


def overlay(
    background: Background,
    table: PatchTable,
    values: ArrayLike,
    colour_map: str,
    limits: tuple[float, float],
) -> Overlay:
    """Colour per-patch values, one pixel a cell of the grid; see `raster` for patches off the grid."""
    picture = raster(table, values)
    low, high = limits
    rgba = mpl.colormaps[colour_map]((picture - low) / (high - low), bytes=True)
    rgba[..., 3] = np.where(np.isfinite(picture), 255, 0)
    rows, columns = picture.shape
    width, height = np.array(pixel_l0(table)) * (columns, rows) * background.scale
    return Overlay(rgba, (float(width), float(height)))


def rings_px(regions: Sequence[Region], background: Background) -> Iterator[NDArray[np.float64]]:
    """Yield every outline of the regions, holes too, as (n, 2) pixels of the background."""
    for region in regions:
        for part in getattr(region.geometry, "geoms", [region.geometry]):
            for ring in (part.exterior, *part.interiors):
                yield np.asarray(ring.coords)[:, :2] * background.scale


def map_picture(
    background: Background,
    run: RunRecord,
    scores: PatchScores,
    map_name: str,
    limits: tuple[float, float],
    regions: Sequence[Region] = (),
) -> Image.Image:
    """Draw one map of one run on the overview, outlines where regions were given, its legend beside it."""
    style = MAP_STYLES[map_name]
    height, width = background.rgb.shape[:2]
    laid = overlay(background, scores.table, getattr(scores, map_name), style.colour_map, limits)
    slide = Image.fromarray(background.rgb).convert("RGBA")
    size = max(1, round(laid.size_px[0])), max(1, round(laid.size_px[1]))
    coloured = Image.fromarray(laid.rgba).resize(size, Image.Resampling.NEAREST)
    coloured.putalpha(coloured.getchannel("A").point(lambda alpha: round(alpha * MAP_OPACITY)))
    slide.alpha_composite(coloured.crop((0, 0, width, height)))
    pen = ImageDraw.Draw(slide)
    for ring in rings_px(regions, background):
        pen.line([tuple(xy) for xy in ring.tolist()], fill=OUTLINE_RGB, width=2)

    body = max(height, 12 * _TEXT_PX)
    top = _MARGIN_PX + 2 * _TEXT_PX
    page_width = max(width + _LEGEND_PX, _NOTICE_WIDTH_PX) + 2 * _MARGIN_PX
    page = Image.new("RGB", (page_width, top + body + 5 * _TEXT_PX), "white")
    page.paste(slide.convert("RGB"), (_MARGIN_PX, top))
    pen = ImageDraw.Draw(page)
    pen.text((_MARGIN_PX, _MARGIN_PX), f"{run.mode.upper()}: {style.quantity}", "black", _font(_TEXT_PX))
    _draw_scale_bar(pen, background, (_MARGIN_PX, top + body + 12))
    _draw_legend(page, style, limits, run.model_name, (_MARGIN_PX * 2 + width, top, body))
    notice = f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}"
    pen.text((_MARGIN_PX, page.height - 1.8 * _TEXT_PX), notice, "black", _font(_TEXT_PX - 3))
    return page


def scale_bar_mm(width_mm: float) -> float:
    """Return a round length that spans about a fifth of a picture: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(width_mm / 5))
    return float(max(step * power for step in (1, 2, 5) if step * power <= width_mm / 5 * (1 + 1e-9)))


def legend_ends(style: MapStyle, limits: tuple[float, float]) -> tuple[str, str]:
    """Return the least and the greatest number of a colour scale, marked where values may lie beyond."""
    low, high = (f"{0.0 if value == 0 else value:.3g}".replace("-", "\N{MINUS SIGN}") for value in limits)
    extent = scale_extent(style)
    at_most, at_least = "\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}"
    return (
        f"{at_most} {low}" if extent == "both" else low,
        high if extent == "neither" else f"{at_least} {high}",
    )


def save_png(picture: Image.Image, path: Path, description: str) -> None:
    """Write a picture that says what made it; quick to write rather than small."""
    text = PngInfo()
    text.add_itxt("Software", "napari-aln")
    text.add_itxt("Description", description)
    picture.save(path, "PNG", compress_level=1, pnginfo=text)


def jpeg_bytes(rgb: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) picture as JPEG, without a word on where it came from."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def png_bytes(rgba: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 4) picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    return buffer.getvalue()


def _draw_scale_bar(pen: ImageDraw.ImageDraw, background: Background, corner: tuple[int, int]) -> None:
    length_mm = scale_bar_mm(background.width_mm)
    length_px = length_mm / background.width_mm * background.rgb.shape[1]
    x, y = corner
    pen.rectangle((x, y, x + length_px, y + 5), fill="black")
    pen.text((x + length_px + 8, y - 8), f"{length_mm:g} mm", "black", _font(_TEXT_PX - 3))


def _draw_legend(
    page: Image.Image,
    style: MapStyle,
    limits: tuple[float, float],
    model_name: str,
    place: tuple[int, int, int],
) -> None:
    """Draw the colours, as pale as on the tissue, with numbers and what they mean."""
    x, y, height = place
    pen, small = ImageDraw.Draw(page), _font(_TEXT_PX - 3)
    for line in (style.quantity, f"({style.unit})", *_wrapped(model_name)):
        pen.text((x, y), line, "black", small)
        y, height = y + _TEXT_PX, height - _TEXT_PX
    y, height = y + _TEXT_PX // 2, height - _TEXT_PX // 2
    colours = mpl.colormaps[style.colour_map](np.linspace(1, 0, height), bytes=True)[:, None, :3]
    pale = np.rint(255 * (1 - MAP_OPACITY) + colours * MAP_OPACITY).astype(np.uint8)
    page.paste(Image.fromarray(np.ascontiguousarray(pale.repeat(_BAR_PX, axis=1))), (x, y))
    low, high = legend_ends(style, limits)
    middle = f"{sum(limits) / 2:.3g}"
    for text, share in ((high, 0.0), (middle, 0.5), (low, 1.0)):
        pen.text((x + _BAR_PX + 8, y + share * (height - _TEXT_PX)), text, "black", small)


def _wrapped(text: str, width: int = 28) -> list[str]:
    return [text[i : i + width] for i in range(0, min(len(text), 3 * width), width)]


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib and knows µ and the letters of model names."""
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size_px)
