"""The report: one HTML file with its pictures inside, readable without this program or a network."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from napari_aln.workflows.pages import template
from napari_aln.workflows.results.pictures import (
    MAP_OPACITY,
    jpeg_bytes,
    legend_ends,
    overlay,
    png_bytes,
    rings_px,
    scale_bar_mm,
)
from napari_aln.workflows.results.repeat import command_of
from napari_aln.workflows.slide.compare import compare, difference_style
from napari_aln.workflows.slide.maps import MAP_STYLES, colour_limits
from napari_aln.workflows.slide.score import filled_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from napari_aln.mil.card import ModelCard
    from napari_aln.records import RunRecord, SlideResult
    from napari_aln.store.result import ResultDocument
    from napari_aln.workflows.results.pictures import Background, Overlay
    from napari_aln.workflows.results.top_patches import TopPatch
    from napari_aln.workflows.slide.compare import Comparison
    from napari_aln.workflows.slide.maps import MapStyle

GRADIENT_STOPS = 16
MODE_PLACES = {
    "dlcnbc-ws": "whole slide, picture and clinical values",
    "dlcnbc": "inside the ROI, picture and clinical values",
    "dlcnb": "inside the ROI, picture alone",
}


@dataclass(frozen=True)
class ReportInput:
    """What a report is made from.

    Attributes
    ----------
    document
        The result, made in private mode: a report never names the slide's file.
    result
        The same with its per-patch values.
    background
        The whole slide, small.
    limits
        Map -> the colour scale that all runs share.
    shown
        Run -> the maps to show of it.
    top
        Run -> its top patches.
    cards
        Run -> the card of its model, as far as known.
    nuclei
        The section on nuclei as HTML (`nuclei.report_section`); empty without any.
    """

    document: ResultDocument
    result: SlideResult
    background: Background
    limits: Mapping[str, tuple[float, float]]
    shown: Mapping[str, Sequence[str]]
    top: Mapping[str, Sequence[TopPatch]]
    cards: Mapping[str, ModelCard]
    nuclei: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a comparison: the number, and in plain words what it is or why there is none."""

    title: str
    value: str
    explanation: str


def render_report(given: ReportInput) -> str:
    """Return the report as HTML. Text from cards, tables and files is text in it, never markup."""
    document, background = given.document, given.background
    facts = document.model_dump(mode="json", exclude={"runs": {"__all__": {"bag_probabilities"}}})
    height, width = background.rgb.shape[:2]
    bar_mm = scale_bar_mm(background.width_mm)
    pairs = _compared(given.result)
    return template("report.html.j2").render(
        doc=document,
        classes=list(dict.fromkeys(name for run in document.runs for name in run.classes)),
        places=MODE_PLACES,
        clinical={run.run: clinical_lines(run) for run in document.runs},
        slide={
            "base64": _base64(jpeg_bytes(background.rgb)),
            "width": width,
            "height": height,
            "outline": _outline(given),
            "bar_mm": f"{bar_mm:g}",
            "bar_percent": f"{100 * bar_mm / background.width_mm:.3f}",
        },
        maps=_maps(given),
        top=_top(given),
        comparisons=[_comparison(given, pair) for pair in pairs],
        opacity=MAP_OPACITY,
        cards=given.cards,
        nuclei=given.nuclei,
        commands={
            run.run: shlex.join(command_of(run, document.slide, has_regions=bool(given.result.regions)))
            for run in document.runs
        },
        record=json.dumps(facts, indent=2, ensure_ascii=False),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _outline(given: ReportInput) -> str:
    """Return the ROI as an SVG path in pixels of the background."""
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring[:-1].tolist()) + "Z"
        for ring in rings_px(given.result.regions, given.background)
    )


def _maps(given: ReportInput) -> list[dict[str, Any]]:
    """Return the maps, each with its one legend and its picture of every run that shows it."""
    maps = []
    for name, limits in given.limits.items():
        style = MAP_STYLES[name]
        pictures = []
        for run in given.result.runs:
            if name in given.shown[run.run]:
                scores = given.result.scores[run.run]
                laid = overlay(
                    given.background, scores.table, getattr(scores, name), style.colour_map, limits
                )
                caption = f"{run.mode.upper()} · {run.model_name}"
                pictures.append({"caption": caption, **_inlined(laid)})
        maps.append({"legend": _legend(name, style, limits), "pictures": pictures})
    return maps


def _inlined(laid: Overlay) -> dict[str, Any]:
    return {"base64": _base64(png_bytes(laid.rgba)), "width": laid.size_px[0], "height": laid.size_px[1]}


def _legend(key: str, style: MapStyle, limits: tuple[float, float]) -> dict[str, Any]:
    shares = np.linspace(0, 1, GRADIENT_STOPS)
    colours = mpl.colormaps[style.colour_map](shares, bytes=True)[:, :3].tolist()
    low, high = legend_ends(style, limits)
    middle = f"{sum(limits) / 2:.3g}"
    return {
        "key": key,
        "title": style.quantity[:1].upper() + style.quantity[1:],
        "unit": style.unit,
        "stops": [
            (f"{share:.4f}", f"rgb({r},{g},{b})")
            for share, (r, g, b) in zip(shares.tolist(), colours, strict=True)
        ],
        "numbers": (low, middle, high),
    }


def _top(given: ReportInput) -> list[dict[str, Any]]:
    return [
        {
            "run": run,
            "patches": [
                {"patch": patch, "base64": _base64(jpeg_bytes(patch.rgb))} for patch in given.top[run.run]
            ],
        }
        for run in given.result.runs
    ]


def _compared(result: SlideResult) -> list[tuple[RunRecord, RunRecord]]:
    """Return every ROI run with the whole-slide run, the ROI's first."""
    whole = [run for run in result.runs if run.mode == "dlcnbc-ws"]
    return [(roi, ws) for ws in whole for roi in result.runs if roi.mode != "dlcnbc-ws"]


def _comparison(given: ReportInput, pair: tuple[RunRecord, RunRecord]) -> dict[str, Any]:
    roi, whole = pair
    scores = given.result.scores
    in_bags = "bag" in (roi.norm_statistics, whole.norm_statistics)
    map_name = "attention_bag" if in_bags else "attention_slide"
    found = compare(
        (roi, scores[roi.run]), (whole, scores[whole.run]), given.result.regions, map_name=map_name
    )
    title = f"{roi.mode.upper()} (inside the ROI) against {whole.mode.upper()} (whole slide)"
    difference: dict[str, Any] | None = None
    if found.shared is not None:
        style = difference_style(map_name)
        limits = colour_limits(style, [found.shared.difference])
        laid = overlay(
            given.background, found.shared.table, found.shared.difference, style.colour_map, limits
        )
        difference = {
            "legend": _legend(f"difference-{roi.run}", style, limits),
            "pictures": [{"caption": f"{roi.mode.upper()} minus {whole.mode.upper()}", **_inlined(laid)}],
        }
    return {"title": title, "rows": comparison_rows(found, map_name), "difference": difference}


def comparison_rows(found: Comparison, map_name: str) -> list[Row]:
    """Return a comparison of the ROI's run with the whole slide's in words; undefined numbers say why."""
    quantity = MAP_STYLES[map_name].quantity
    rows = [
        Row(
            f"Difference of probability, {name}",
            f"{value:+.3f}".replace("-", "\N{MINUS SIGN}"),
            "inside the ROI minus whole slide",
        )
        for name, value in (found.probability_difference or {}).items()
    ]
    if found.probability_difference is None:
        rows.append(_undefined("Difference of probability", found, "probability_difference"))
    rows += [
        _row(
            "Attention inside the ROI",
            found,
            "attention_in_roi",
            "{:.1%}",
            "share of the whole-slide model's attention that fell inside the outlined ROI",
        ),
        _row(
            "Patches inside the ROI",
            found,
            "patches_in_roi",
            "{:.1%}",
            "share of the whole-slide model's patches that lie there: what its attention there would be "
            "if it looked everywhere alike",
        ),
    ]
    if found.n_shared is None:
        rows.append(_undefined("Shared patches", found, "n_shared"))
    else:
        apart = f"{found.n_only_first} only in the ROI's run, {found.n_only_second} only in the whole slide's"
        rows.append(Row("Shared patches", str(found.n_shared), apart))
    top = "top patches" if found.top_k is None else f"top {found.top_k} patches"
    rows += [
        _row(
            f"Overlap of the {top}",
            found,
            "top_overlap",
            "{:.3f}",
            f"Jaccard index of each run's own {top} by {quantity}: 0 = none in common, 1 = the same",
        ),
        _row(
            "Rank correlation",
            found,
            "rank_correlation",
            "{:.3f}",
            f"Spearman's rho of {quantity} on the shared patches: 1 = the same order, 0 = none, "
            "\N{MINUS SIGN}1 = reversed",
        ),
    ]
    return rows


def _row(title: str, found: Comparison, name: str, form: str, explanation: str) -> Row:
    value = getattr(found, name)
    if value is None:
        return _undefined(title, found, name)
    return Row(title, form.format(value).replace("-", "\N{MINUS SIGN}"), explanation)


def _undefined(title: str, found: Comparison, name: str) -> Row:
    return Row(title, "not defined", found.reasons[name])


def clinical_lines(run: RunRecord) -> list[str]:
    """Return the clinical values of a run as a person writes them; none for an image-only model."""
    if run.clinical is None:
        return []
    units = {"age_years": ("age", "years"), "tumor_size_cm": ("tumour size", "cm")}
    signs = {True: "+", False: "\N{MINUS SIGN}"}
    lines = []
    for name, value in run.clinical.items():
        if value is None:
            lines.append(f"{units.get(name, (name.upper(), ''))[0]}: unknown")
        elif name in units:
            lines.append(f"{units[name][0]}: {value:g} {units[name][1]}")
        else:
            lines.append(f"{name.upper()} {signs[value]}")
    if run.clinical_filled:
        lines.append(f"filled from the training cohort: {filled_words(run.clinical_filled)}")
    return lines
