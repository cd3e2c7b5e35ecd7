"""The results of a predicted cohort, slide by slide, each with the patient of a table whose it is."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from napari_aln.cohort.spreadsheet import read_tables
from napari_aln.errors import StoreError
from napari_aln.records import Progress
from napari_aln.store.result import alias_of_hash, folder_safe, read_document
from napari_aln.workflows.cohorts.aliases import slide_hashes
from napari_aln.workflows.cohorts.summary import CSV_NAME
from napari_aln.workflows.cohorts.tasks import case_ids

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from napari_aln.cohort.table import CohortRow
    from napari_aln.store.result import ResultDocument

_NEEDED = ("slide", "patient_id", "state", "result")
_STATES = ("done", "failed", "not done")


class SlideOutcome(NamedTuple):
    """What a summary says of one slide, and its result where there is one that can be read."""

    name: str  # its file's, or its alias
    patient_id: str  # empty in private mode, and where no table named the slide
    document: ResultDocument | None


def read_outcomes(folder: Path) -> Generator[Progress, None, list[SlideOutcome]]:
    """Read what `predict` left of a cohort; yield progress, return one entry a slide.

    Numbers come from each slide's ``result.json``, which also says by what model and settings.

    Raises
    ------
    StoreError
        The folder has no summary.
    CohortError
        The summary cannot be read.
    """
    table = read_tables(folder / CSV_NAME)[""] if (folder / CSV_NAME).is_file() else None
    if table is None or not set(_NEEDED) <= set(table.columns):
        raise StoreError(
            f"{folder} holds no summary of a cohort ({CSV_NAME}).",
            "Give the folder that `napari-aln predict TABLE --out FOLDER` wrote.",
        )
    places = [table.columns.index(name) for name in _NEEDED]
    found = []
    for done, (_, cells) in enumerate(table.rows):
        yield Progress("read results", done, len(table.rows))
        name, patient_id, state, place = (cells[i].strip() for i in places)
        if state not in _STATES:  # the notice, which stands last
            continue
        found.append(SlideOutcome(name, patient_id, _document(folder, place)))
    return found


def _document(folder: Path, place: str) -> ResultDocument | None:
    if not place or PurePath(place).name != place:
        return None
    try:
        return read_document(folder / place)
    except StoreError:
        return None


def join(
    outcomes: Sequence[SlideOutcome], rows: Sequence[CohortRow]
) -> Generator[Progress, None, list[str | None]]:
    """Find whose slides these are; yield progress, return the patient id of each, None where no row is it.

    A slide is told by its patient's id, as the summary has it; where it has none, by what results are called:
    the case id, else the slide's file name, else its content, for which the table's slides are opened.

    Parameters
    ----------
    outcomes
        See `read_outcomes`.
    rows
        Of a cohort table; a patient may have several.
    """
    ids = {row.patient_id for row in rows}
    by_name: dict[str, set[str]] = {}
    for row, case_id in zip(rows, case_ids(rows), strict=True):
        files = {row.slide.name, row.slide.stem} if row.slide else set()
        for name in {row.patient_id, *files, *({folder_safe(case_id)} if case_id else ())}:
            by_name.setdefault(name, set()).add(row.patient_id)
    found: list[str | None] = []
    for outcome in outcomes:
        if outcome.patient_id:
            found.append(outcome.patient_id if outcome.patient_id in ids else None)
            continue
        is_file = outcome.document is None or outcome.document.slide.file is not None
        known = by_name.get(outcome.name) or (by_name.get(PurePath(outcome.name).stem) if is_file else None)
        found.append(_only(known))
    hidden = [
        number
        for number, (outcome, patient) in enumerate(zip(outcomes, found, strict=True))
        if patient is None and outcome.document and outcome.name == _content_name(outcome.document)
    ]
    if hidden:
        hashes = yield from slide_hashes(rows)
        by_content: dict[str | None, set[str]] = {}
        for own, row in zip(hashes, rows, strict=True):
            by_content.setdefault(own, set()).add(row.patient_id)
        for number in hidden:
            document = outcomes[number].document
            found[number] = _only(by_content.get(document.slide.quick_hash)) if document else None
    return found


def _only(patients: set[str] | None) -> str | None:
    return next(iter(patients)) if patients and len(patients) == 1 else None


def _content_name(document: ResultDocument) -> str:
    return alias_of_hash(document.slide.quick_hash)
