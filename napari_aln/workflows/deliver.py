"""From a result in memory to its folder on disk: JSON, patches, regions, heatmaps, pictures, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.annotations import write_geojson
from napari_aln.store.atomic import atomic_folder, refuse_foreign, storing
from napari_aln.store.heatmap import write_heatmap
from napari_aln.store.result import (
    RESULT_JSON,
    document_of,
    folder_name,
    write_document,
    write_patches,
)
from napari_aln.workflows.pictures import MAP_STYLES, Background, colour_limits, map_figure, save_figure
from napari_aln.workflows.prepare import require_mpp
from napari_aln.workflows.report import render_report

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.geometry import Mpp
    from napari_aln.records import SlideResult
    from napari_aln.slides import Slide

PICTURE_SIDE_PX = 1200


def deliver(slide: Slide, result: SlideResult, out: Path, *, private: bool = False) -> Path:
    """Write the result folder of one slide and return it. It appears whole or not at all.

    Parameters
    ----------
    slide
        The slide, for the picture that maps are drawn on.
    result
        What was computed on it.
    out
        Parent of the result folder, which is named by the slide's file, or by its alias in private mode.
    private
        Name the slide's file nowhere.

    Raises
    ------
    StoreError
        The folder holds something else, the disk is full or may not be written to.
    """
    place = place_for(slide, result.alias, out, private=private)
    with atomic_folder(place, known_by=RESULT_JSON) as folder, storing(place):
        write_patches(result, folder)
        write_geojson(
            result.regions,
            folder / "regions.geojson",
            origin="level0",
            mpp=slide.info.mpp,
            slide_hash=slide.info.quick_hash,
        )
        mpp = require_mpp(slide.info)
        for run, scores in result.scores.items():
            write_heatmap(scores, mpp, folder / f"heatmap-{run}.tif")
        pictures = _draw_maps(slide, mpp, result, folder)
        report = render_report(document_of(result, private=True), pictures)
        (folder / "report.html").write_text(report, encoding="utf-8")
        write_document(document_of(result, private=private), folder)
    return place


def place_for(slide: Slide, alias: str, out: Path, *, private: bool) -> Path:
    """Return where a slide's result goes; asked before the work as well, so that it is not done in vain.

    Raises
    ------
    StoreError
        Something else lies there.
    """
    place = out / folder_name(slide.info, alias, private=private)
    refuse_foreign(place, known_by=RESULT_JSON)
    return place


def _draw_maps(slide: Slide, mpp: Mpp, result: SlideResult, folder: Path) -> dict[str, Path]:
    """Draw the map that each card opens with, runs that show the same map on one colour scale."""
    width_px, height_px = slide.info.size_px
    size_mm = width_px * mpp.x / 1000, height_px * mpp.y / 1000
    background = Background(slide.thumbnail(PICTURE_SIDE_PX), size_mm, mpp)
    pictures = {}
    for run in result.runs:
        name = run.default_map
        alike = [r.run for r in result.runs if r.default_map == name]
        limits = colour_limits(MAP_STYLES[name], [getattr(result.scores[r], name) for r in alike])
        regions = () if run.mode == "dlcnbc-ws" and len(result.runs) == 1 else result.regions
        figure = map_figure(background, run, result.scores[run.run], name, limits, regions)
        path = folder / f"heatmap-{run.run}.png"
        save_figure(figure, path)
        pictures[f"{run.mode.upper()}, {MAP_STYLES[name].quantity} ({MAP_STYLES[name].unit})"] = path
    return pictures
