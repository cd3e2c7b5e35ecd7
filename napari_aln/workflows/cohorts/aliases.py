"""What the patients of a table are called where nobody shall be named: by the content of their slides."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari_aln.errors import AlnError
from napari_aln.records import Progress
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.result import patient_alias

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_aln.cohort.table import CohortRow


def patient_aliases(rows: Sequence[CohortRow]) -> Generator[Progress, None, dict[str, str]]:
    """Open the slides of a table; yield progress, return patient id -> alias, each another one.

    A patient is called as in private trainings on the same slides. Who has no slide that opens, or the same
    slides as a patient before, goes by the place among the table's patients.

    Parameters
    ----------
    rows
        Of a cohort table; a patient may have several.
    """
    hashes: dict[str, list[str]] = {row.patient_id: [] for row in rows}
    for row, quick_hash in zip(rows, (yield from slide_hashes(rows)), strict=True):
        hashes[row.patient_id] += [quick_hash] if quick_hash else []
    aliases: dict[str, str] = {}
    for number, (patient_id, own) in enumerate(hashes.items(), start=1):
        alias = patient_alias(own) if own else ""
        is_free = alias and alias not in aliases.values()
        aliases[patient_id] = alias if is_free else f"patient-{number}"
    return aliases


def slide_hashes(rows: Sequence[CohortRow]) -> Generator[Progress, None, list[str | None]]:
    """Open the slides of a table; yield progress, return each row's quick hash, None where none opens."""
    hashes: list[str | None] = []
    for done, row in enumerate(rows):
        yield Progress("read slides", done, len(rows))
        own = None
        if row.slide is not None:
            with suppress(AlnError), (yield from opening_untried(row.slide, row.mpp)) as slide:
                own = slide.info.quick_hash
        hashes.append(own)
    yield Progress("read slides", len(rows), len(rows))
    return hashes
