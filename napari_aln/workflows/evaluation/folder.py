"""What an evaluation leaves on disk: tables, figures, one page, and the record of the run.

``evaluation.html`` and ``evaluation.md`` hold every table; each also stands alone as CSV and Markdown.
Figures are SVG and PNG.
``evaluation.json`` holds the numbers in full precision, settings, seed, versions and the inputs' SHA-256.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_aln.evaluation import plots
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_folder
from napari_aln.store.machine import machine_facts
from napari_aln.versions import package_versions
from napari_aln.workflows.pages import template
from napari_aln.workflows.paper_tables import write_paper_table

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from pydantic import BaseModel

    from napari_aln.evaluation.tables import PaperTable

RECORD = "evaluation.json"
SCHEMA = 1

_PACKAGES = ("matplotlib",)  # beside those of every record


@dataclass
class Evaluation:
    """What an evaluation found, before and after it is written."""

    tables: list[PaperTable] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)  # stem of its files -> figure
    notes: list[str] = field(default_factory=list)
    inputs: list[dict[str, str]] = field(default_factory=list)  # role, name and SHA-256 of each file
    title: str = "Evaluation"
    made_by: dict[str, Any] = field(default_factory=dict)  # what else made it, by name


def write_evaluation(found: Evaluation, out: Path, settings: BaseModel) -> None:
    """Write the folder, whole or not at all.

    Raises
    ------
    StoreError
        It cannot be written, or holds something that is no evaluation.
    """
    record = _record(found, settings)
    with atomic_folder(out, known_by=RECORD) as folder:
        for table in found.tables:
            write_paper_table(table, folder)
        pictures = {stem: _drawn(figure, folder, stem) for stem, figure in found.figures.items()}
        (folder / "evaluation.md").write_text(_markdown(found), encoding="utf-8")
        page = template("evaluation.html.j2").render(
            found=found, pictures=pictures, record=record, notice=RESEARCH_NOTICE
        )
        (folder / "evaluation.html").write_text(page, encoding="utf-8")
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / RECORD).write_text(text, encoding="utf-8")


def _record(found: Evaluation, settings: BaseModel) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_NOTICE,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions() | {name: version(name) for name in _PACKAGES},
        "machine": machine_facts(with_accelerator=_used_accelerator(found)),
        "settings": settings.model_dump(mode="json"),
        "inputs": found.inputs,
        **found.made_by,
        "notes": found.notes,
        "tables": {table.name: [dict(row) for row in table.numbers] for table in found.tables},
    }


def _used_accelerator(found: Evaluation) -> bool:
    return any(slide.get("device", "cpu") != "cpu" for slide in found.made_by.get("slides", ()))


def _drawn(figure: Figure, folder: Path, stem: str) -> str:
    """Write a figure as SVG and PNG; return the SVG as base64."""
    figure.savefig(folder / f"{stem}.png", dpi=plots.DPI)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    (folder / f"{stem}.svg").write_bytes(buffer.getvalue())
    return base64.b64encode(buffer.getvalue()).decode()


def _markdown(found: Evaluation) -> str:
    parts = [f"# {found.title}", RESEARCH_NOTICE, *found.notes, *(table.markdown() for table in found.tables)]
    return "\n\n".join([*parts, *(f"![{stem}]({stem}.svg)" for stem in found.figures), ""])
