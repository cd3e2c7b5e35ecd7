"""The report: one HTML file with its pictures inside, readable without this program or a network."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_aln.records import RunRecord
    from napari_aln.store.result import ResultDocument


def render_report(document: ResultDocument, pictures: Mapping[str, Path]) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    document
        The result, made in private mode: a report never names the slide's file.
    pictures
        Caption to PNG file, in the order of showing.
    """
    environment = Environment(
        loader=PackageLoader("napari_aln.workflows"), autoescape=True, undefined=StrictUndefined
    )
    inlined = [
        {"caption": caption, "base64": base64.b64encode(path.read_bytes()).decode()}
        for caption, path in pictures.items()
    ]
    classes = list(dict.fromkeys(name for run in document.runs for name in run.classes))
    clinical = {run.run: clinical_lines(run) for run in document.runs}
    facts = document.model_dump(mode="json", exclude={"runs": {"__all__": {"bag_probabilities"}}})
    record = json.dumps(facts, indent=2, ensure_ascii=False)
    return environment.get_template("report.html.j2").render(
        doc=document, classes=classes, pictures=inlined, clinical=clinical, record=record
    )


def clinical_lines(run: RunRecord) -> list[str]:
    """Return the clinical values of a run as a person writes them; none for an image-only model."""
    if run.clinical is None:
        return []
    units = {"age_years": ("age", "years"), "tumor_size_cm": ("tumour size", "cm")}
    signs = {True: "+", False: "-"}
    lines = []
    for name, value in run.clinical.items():
        if value is None:
            lines.append(f"{units.get(name, (name.upper(), ''))[0]}: unknown")
        elif name in units:
            lines.append(f"{units[name][0]}: {value:g} {units[name][1]}")
        else:
            lines.append(f"{name.upper()} {signs[value]}")
    if run.clinical_filled:
        values = ", ".join(f"{name} = {value}" for name, value in run.clinical_filled.items())
        lines.append(f"filled from the training cohort: {values}")
    return lines
