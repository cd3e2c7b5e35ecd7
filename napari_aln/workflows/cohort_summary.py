"""The summary of a cohort run: ``cohort.csv`` and ``cohort.html``, failures first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote

from napari_aln.cohort.writing import write_table
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_file
from napari_aln.store.cohort_run import now
from napari_aln.store.result import package_versions
from napari_aln.workflows.pages import template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.store.result import ResultDocument
    from napari_aln.workflows.slide_tasks import Asked

CSV_NAME, HTML_NAME = "cohort.csv", "cohort.html"
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
}


class RunLine(NamedTuple):
    """What the summary says of one run of one slide."""

    run: str
    model_name: str
    probabilities: dict[str, float]
    prediction: str
    n_patches: int
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
    runs: tuple[RunLine, ...] = ()


def runs_of(document: ResultDocument) -> tuple[RunLine, ...]:
    """Return the lines of a result's runs."""
    return tuple(
        RunLine(
            run.run,
            run.model_name,
            run.probabilities,
            run.prediction,
            run.n_patches,
            run.device,
            run.precision,
        )
        for run in document.runs
    )


def write_summary(lines: Sequence[SlideLine], asked: Asked) -> None:
    """Write both files into the output folder, each whole or not at all.

    Raises
    ------
    StoreError
        They cannot be written.
    """
    ordered = sorted(lines, key=lambda line: (_ORDER[line.state], line.number))
    classes = {(run.run, name): None for line in ordered for run in line.runs for name in run.probabilities}
    modes = dict.fromkeys(run for run, _ in classes)
    columns = dict(_FACTS)
    for mode in modes:
        columns |= {f"{mode} p {name}": float for of, name in classes if of == mode}
        columns |= {f"{mode} decision": str, f"{mode} patches": int, f"{mode} device": str}
    rows = [_row(line) for line in ordered]
    with atomic_file(asked.out / CSV_NAME) as temporary:
        write_table(temporary, columns, [*rows, {"slide": RESEARCH_NOTICE}], ".csv")
    page = template("cohort.html.j2").render(
        lines=ordered,
        modes=list(modes),
        counts={state: sum(line.state == state for line in ordered) for state in _ORDER},
        settings=asked.settings.model_dump_json(indent=1),
        versions=package_versions(),
        written_at=now(),
        notice=RESEARCH_NOTICE,
        link=_link,
    )
    with atomic_file(asked.out / HTML_NAME) as temporary:
        temporary.write_text(page, encoding="utf-8")


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
    }
    for run in line.runs:
        row |= {f"{run.run} p {name}": value for name, value in run.probabilities.items()}
        row |= {
            f"{run.run} decision": run.prediction,
            f"{run.run} patches": run.n_patches,
            f"{run.run} device": f"{run.device} {run.precision}",
        }
    return row


def _link(folder: str) -> str:
    return quote(f"{os.fsencode(folder).decode('utf-8', 'replace')}/report.html")
