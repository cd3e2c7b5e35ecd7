"""From a result in memory to its folder on disk: JSON, patches, regions, heatmaps, pictures, report."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_aln.annotations import without_names, write_geojson
from napari_aln.errors import UsageError
from napari_aln.patches.membership import belongs
from napari_aln.records import SlideResult
from napari_aln.store.atomic import atomic_folder, refuse_foreign, storing
from napari_aln.store.heatmap import write_heatmap
from napari_aln.store.result import (
    NUCLEI_JSON,
    RESULT_JSON,
    answers,
    document_of,
    made_by,
    public_name,
    write_document,
    write_tables,
)
from napari_aln.workflows.results.pictures import Background, map_picture, save_png
from napari_aln.workflows.results.report import ReportInput, render_report
from napari_aln.workflows.results.top_patches import top_patches
from napari_aln.workflows.slide.maps import MAP_STYLES, colour_limits
from napari_aln.workflows.slide.prepare import require_mpp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_aln.mil.card import ModelCard
    from napari_aln.records import PatchScores, Region, RunRecord
    from napari_aln.slides import Slide

PICTURE_SIDE_PX = 1200


def deliver(
    slide: Slide,
    result: SlideResult,
    out: Path,
    *,
    cards: Mapping[str, ModelCard],
    private: bool = False,
    request_sha256: str | None = None,
    keep: bool = False,
) -> Path:
    """Write the result folder of one slide and return it. It appears whole or not at all.

    Nuclei that were measured for an earlier result of the slide in the same place are kept.

    Parameters
    ----------
    slide
        The slide, for the picture that maps are drawn on, and for the top patches.
    result
        What was computed on it.
    out
        Parent of the result folder, which is named by the slide's file, or by its alias in private mode.
    cards
        Run -> the card of its model, for the report.
    private
        Name the slide's file nowhere.
    request_sha256
        Stands for all that was asked, see `slide_tasks.request_sha256`.
    keep
        Keep an answer to the same request that another process put there meanwhile.

    Raises
    ------
    StoreError
        The folder holds something else, the disk is full or may not be written to.
    """
    place = place_for(slide, result.alias, out, private=private)

    def is_answer(earlier: Path) -> bool:
        return keep and request_sha256 is not None and answers(earlier, request_sha256) is not None

    with atomic_folder(place, known_by=RESULT_JSON, keep=is_answer) as folder, storing(place):
        write_tables(result, folder)
        write_geojson(
            without_names(result.regions) if private else result.regions,
            folder / "regions.geojson",
            origin="level0",
            mpp=slide.info.mpp,
            slide_hash=slide.info.quick_hash,
            mpp_origin=slide.info.mpp_origin,
        )
        mpp = require_mpp(slide.info)
        said = {run.run: json.dumps(made_by(slide.info, [run]), ensure_ascii=False) for run in result.runs}
        for run, scores in result.scores.items():
            write_heatmap(scores, mpp, folder / f"heatmap-{run}.tif", said[run])
        background = Background(slide.thumbnail(PICTURE_SIDE_PX), slide.info.size_px, mpp)
        shown = {run.run: _maps_of(run) for run in result.runs}
        limits = _limits(result, shown)
        for record in result.runs:
            scores = result.scores[record.run]
            for name in shown[record.run]:
                picture = map_picture(background, record, scores, name, limits[name], result.regions)
                place_png = folder / f"{name.replace('_', '-')}-{record.run}.png"
                save_png(picture, place_png, said[record.run])
        top = {
            run.run: top_patches(slide, mpp, result.scores[run.run], _attention_of(run))
            for run in result.runs
        }
        document = document_of(result, private=True)  # a report never names the slide's file
        nuclei = ""
        if (place / NUCLEI_JSON).is_file():
            # pandas and SciPy take a second to load.
            from napari_aln.workflows.nuclei.report_section import keep_nuclei, nuclei_section

            keep_nuclei(place, folder, slide.info.quick_hash)
            nuclei = nuclei_section(folder)
        report = render_report(ReportInput(document, result, background, limits, shown, top, cards, nuclei))
        (folder / "report.html").write_text(report, encoding="utf-8")
        write_document(document_of(result, private=private, request_sha256=request_sha256), folder)
    return place


def joined(results: Sequence[SlideResult]) -> SlideResult:
    """Return the runs of several results of one slide as one result.

    Parameters
    ----------
    results
        At least one; of two runs of one name the later result's stays. The ROI is that of the runs inside it;
        what lies inside is told anew for the whole-slide run, which may have been made before it was drawn.

    Raises
    ------
    UsageError
        Runs inside different ROIs, which no picture can show together.
    ValueError
        No result, or results of different slides.
    """
    if len({result.slide.quick_hash for result in results}) != 1:
        raise ValueError("results of one slide can be joined, and only they")
    latest = {run.run: (run, result) for result in results for run in result.runs}
    inside = [result.regions for run, result in latest.values() if run.mode != "dlcnbc-ws"]
    if any(regions != inside[0] for regions in inside):
        raise UsageError(
            "The runs inside the ROI were made with different ROIs.", "Run them again inside the present ROI."
        )
    regions = inside[0] if inside else results[-1].regions
    runs = tuple(run for run, _ in sorted(latest.values(), key=lambda own: own[0].mode))
    return SlideResult(
        slide=results[-1].slide,
        alias=results[-1].alias,
        runs=runs,
        scores={run.run: _told_inside(run, latest[run.run][1], regions) for run in runs},
        bags={run.run: latest[run.run][1].bags[run.run] for run in runs},
        regions=regions,
        warnings=tuple(dict.fromkeys(text for _, result in latest.values() for text in result.warnings)),
    )


def _told_inside(run: RunRecord, result: SlideResult, regions: Sequence[Region]) -> PatchScores:
    scores = result.scores[run.run]
    if result.regions == tuple(regions):
        return scores
    return replace(scores, in_roi=belongs(scores.table, regions, run.settings["patches"]["min_roi_share"]))


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


def _attention_of(run: RunRecord) -> str:
    """Return the attention that a run has: with statistics of the bag there is none of the slide."""
    return "attention_bag" if run.norm_statistics == "bag" else "attention_slide"


def _maps_of(run: RunRecord) -> list[str]:
    """Return the maps to draw of a run: where it looked, and the map that its card opens with."""
    return list(dict.fromkeys([run.default_map, _attention_of(run)]))


def _limits(result: SlideResult, shown: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Return one colour scale for each map that is shown, over all runs that show it."""
    names = dict.fromkeys(name for names in shown.values() for name in names)
    return {
        name: colour_limits(
            MAP_STYLES[name],
            [getattr(result.scores[run], name) for run, maps in shown.items() if name in maps],
        )
        for name in names
    }
