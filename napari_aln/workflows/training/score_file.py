"""The scores that a training leaves beside its bundle, as `evaluate` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.cohort.writing import write_table
from napari_aln.store.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.evaluation.cases import Scored


def write_scores(path: Path, scored: Scored) -> None:
    """Write one line a patient: split, label, scores, and the clinical values that subgroups are made of."""
    names = ["score"] if scored.is_binary else [f"score_{name}" for name in scored.classes]
    columns: dict[str, type] = {"patient": str, "split": str, "label": str} | dict.fromkeys(names, float)
    given = scored.positive_scores[:, None] if scored.is_binary else scored.scores
    lines = [
        {"patient": patient, "split": split, "label": scored.classes[label]}
        | dict(zip(names, map(float, row), strict=True))
        | {name: cells[place] for name, cells in scored.columns.items()}
        for place, (patient, split, label, row) in enumerate(
            zip(scored.patients, scored.cohort, scored.labels, given, strict=True)
        )
    ]
    with atomic_file(path) as temporary:
        write_table(temporary, columns | dict.fromkeys(scored.columns, str), lines, ".csv")
