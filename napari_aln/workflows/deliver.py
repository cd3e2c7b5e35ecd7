"""From a result in memory to its folder on disk: JSON, patches, regions, heatmaps, pictures, report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_aln.annotations import write_geojson
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_folder, refuse_foreign, storing
from napari_aln.store.heatmap import write_heatmap
from napari_aln.store.result import (
    FRAME,
    RESULT_JSON,
    document_of,
    public_name,
    write_document,
    write_tables,
)
from napari_aln.workflows.maps import MAP_STYLES, colour_limits
from napari_aln.workflows.pictures import Background, map_figure, save_figure
from napari_aln.workflows.prepare import require_mpp
from napari_aln.workflows.report import render_report

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.geometry import Mpp
    from napari_aln.records import RunRecord, SlideResult
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
        write_tables(result, folder)
        write_geojson(
            [replace(region, name="") for region in result.regions] if private else result.regions,
            folder / "regions.geojson",
            origin="level0",
            mpp=slide.info.mpp,
            slide_hash=slide.info.quick_hash,
        )
        mpp = require_mpp(slide.info)
        for run, scores in result.scores.items():
            made_by = f"napari-aln {run}; slide {slide.info.quick_hash}; {FRAME}; {RESEARCH_NOTICE}"
            write_heatmap(scores, mpp, folder / f"heatmap-{run}.tif", made_by)
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
    place = out / (alias if private else public_name(slide.info.path))
    refuse_foreign(place, known_by=RESULT_JSON)
    return place


def _draw_maps(slide: Slide, mpp: Mpp, result: SlideResult, folder: Path) -> dict[str, Path]:
    """Draw attention and the map that each card opens with; one map has one colour scale in all runs."""
    width_px, height_px = slide.info.size_px
    size_mm = width_px * mpp.x / 1000, height_px * mpp.y / 1000
    background = Background(slide.thumbnail(PICTURE_SIDE_PX), size_mm, mpp)
    pictures = {}
    shown = {run.run: _maps_of(run) for run in result.runs}
    for run in result.runs:
        for name in shown[run.run]:
            alike = [getattr(result.scores[r], name) for r, names in shown.items() if name in names]
            limits = colour_limits(MAP_STYLES[name], alike)
            figure = map_figure(background, run, result.scores[run.run], name, limits, result.regions)
            path = folder / f"{name.replace('_', '-')}-{run.run}.png"
            save_figure(figure, path)
            pictures[f"{run.mode.upper()}, {MAP_STYLES[name].quantity} ({MAP_STYLES[name].unit})"] = path
    return pictures


def _maps_of(run: RunRecord) -> list[str]:
    """Return the maps to draw of a run: where it looked, and the map that its card opens with."""
    attention = "attention_bag" if run.norm_statistics == "bag" else "attention_slide"
    return list(dict.fromkeys([run.default_map, attention]))
