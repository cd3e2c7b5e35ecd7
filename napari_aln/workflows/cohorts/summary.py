"""The summary of a cohort run: ``cohort.csv`` and ``cohort.html``, failures first.

``cohort.json`` beside them says what made them: models, settings, versions, machine.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote

from napari_aln.cohort.writing import write_table
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_file
from napari_aln.store.cohort_run import now
from napari_aln.store.machine import machine_facts
from napari_aln.store.result import FRAME
from napari_aln.versions import package_versions
from napari_aln.workflows.pages import template

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_aln.store.result import ResultDocument
    from napari_aln.workflows.cohorts.slide_tasks import Asked

CSV_NAME, HTML_NAME, JSON_NAME = "cohort.csv", "cohort.html", "cohort.json"
SCHEMA = 1
_ORDER = {"failed": 0, "not done": 1, "done": 2}
_FACTS: dict[str, type] = {
    "number": int,
    "slide": str,
    "patient_id": str,
    "state": str,
    "cause": str,
    "next_step": str,
    "earlier_causes": str,
    "attempts": int,
    "result": str,
    "warnings": int,
    "slide_quick_hash": str,
    "mpp_x": float,
    "mpp_y": float,
    "mpp_origin": str,
}


class ModelFacts(NamedTuple):
    """What the summary says of a model."""

    mode: str
    name: str
    sha256: str
    card_sha256: str


class RunLine(NamedTuple):
    """What the summary says of one run of one slide."""

    run: str
    mode: str
    model_name: str
    probabilities: dict[str, float]
    prediction: str
    n_patches: int
    n_bags: int
    device: str
    precision: str


@dataclass(frozen=True)
class SlideLine:
    """What the summary says of one slide.

    Attributes
    ----------
    number
        Its place among the run's slides, from 1.
    name
        Its file's name; in private mode its alias.
    patient_id
        As the cohort table has it.
    state
        What it came to.
    cause, next_step
        Why it failed last, and what to do.
    earlier
        Other reasons why it failed before.
    attempts
        How often it was tried.
    folder
        Its result folder.
    n_warnings
        Of its result.
    quick_hash, mpp, mpp_origin
        Of the slide its result was made on.
    runs
        Of its result.
    """

    number: int
    name: str
    patient_id: str
    state: Literal["failed", "not done", "done"] = "not done"
    cause: str = ""
    next_step: str = ""
    earlier: tuple[str, ...] = ()
    attempts: int = 0
    folder: str | None = None
    n_warnings: int = 0
    quick_hash: str = ""
    mpp: tuple[float, float] | None = None
    mpp_origin: str = ""
    runs: tuple[RunLine, ...] = ()


def runs_of(document: ResultDocument) -> tuple[RunLine, ...]:
    """Return the lines of a result's runs."""
    return tuple(
        RunLine(
            run.run,
            run.mode,
            run.model_name,
            run.probabilities,
            run.prediction,
            run.n_patches,
            run.n_bags,
            run.device,
            run.precision,
        )
        for run in document.runs
    )


def failures_first(lines: Iterable[SlideLine]) -> list[SlideLine]:
    """Return the lines as all that is told of a cohort orders them."""
    return sorted(lines, key=lambda line: (_ORDER[line.state], line.number))


def write_summary(lines: Sequence[SlideLine], asked: Asked, models: Sequence[ModelFacts]) -> None:
    """Write all three files into the output folder, each whole or not at all.

    Parameters
    ----------
    lines
        All slides of the run, failures first: `failures_first`.
    asked
        What was asked of each.
    models
        Those that were asked.

    Raises
    ------
    StoreError
        They cannot be written.
    """
    classes = {(run.run, name): None for line in lines for run in line.runs for name in run.probabilities}
    modes = dict.fromkeys(run for run, _ in classes)
    columns = dict(_FACTS)
    for mode in modes:
        columns |= {f"{mode} p {name}": float for of, name in classes if of == mode}
        columns |= {f"{mode} decision": str, f"{mode} patches": int, f"{mode} bags": int}
        columns |= {f"{mode} device": str}
    rows = [_row(line) for line in lines]
    with atomic_file(asked.out / CSV_NAME) as temporary:
        write_table(temporary, columns, [*rows, {"slide": RESEARCH_NOTICE}], ".csv")
    made_by = _made_by(lines, asked, models)
    with atomic_file(asked.out / JSON_NAME) as temporary:
        temporary.write_text(json.dumps(made_by, indent=2, ensure_ascii=False), encoding="utf-8")
    page = template("cohort.html.j2").render(
        lines=lines,
        modes=list(modes),
        made_by=made_by,
        next_steps=Counter(line.next_step for line in lines if line.state == "failed").most_common(),
        notice=RESEARCH_NOTICE,
        link=_link,
    )
    with atomic_file(asked.out / HTML_NAME) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _made_by(lines: Sequence[SlideLine], asked: Asked, models: Sequence[ModelFacts]) -> dict[str, object]:
    """Return all that made the tables and is the same for every slide; the rest stands in each line."""
    n_of: Counter[str] = Counter(line.state for line in lines)
    return {
        "schema": SCHEMA,
        "notice": RESEARCH_NOTICE,
        "created": now(),
        "slides": {"all": len(lines)} | {state: n_of[state] for state in _ORDER},
        "models": [model._asdict() for model in models],
        "settings": asked.settings.model_dump(mode="json"),
        "roi_origin": asked.origin,
        "private": asked.private,
        "frame": FRAME,
        "versions": package_versions(),
        "machine": machine_facts(),
        "each_slide": "its folder (column result) holds the full record of its run in result.json",
    }


def _row(line: SlideLine) -> dict[str, object]:
    row: dict[str, object] = {
        "number": line.number,
        "slide": line.name,
        "patient_id": line.patient_id,
        "state": line.state,
        "cause": line.cause,
        "next_step": line.next_step,
        "earlier_causes": " ".join(line.earlier),
        "attempts": line.attempts,
        "result": line.folder,
        "warnings": line.n_warnings,
        "slide_quick_hash": line.quick_hash,
        "mpp_x": line.mpp[0] if line.mpp else None,
        "mpp_y": line.mpp[1] if line.mpp else None,
        "mpp_origin": line.mpp_origin,
    }
    for run in line.runs:
        row |= {f"{run.run} p {name}": value for name, value in run.probabilities.items()}
        row |= {
            f"{run.run} decision": run.prediction,
            f"{run.run} patches": run.n_patches,
            f"{run.run} bags": run.n_bags,
            f"{run.run} device": f"{run.device} {run.precision}",
        }
    return row


def _link(folder: str) -> str:
    return quote(f"{os.fsencode(folder).decode('utf-8', 'replace')}/report.html")
