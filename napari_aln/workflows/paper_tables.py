"""Tables of an evaluation or of a grid of trainings as files: for spreadsheets, and for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.cohort.writing import write_table
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.store.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.evaluation.tables import PaperTable


def write_paper_table(table: PaperTable, folder: Path) -> None:
    """Write a table as CSV and Markdown, each file whole or not at all.

    Raises
    ------
    StoreError
        They cannot be written.
    """
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    notice = {table.columns[0]: RESEARCH_NOTICE}
    with atomic_file(folder / f"{table.name}.csv") as temporary:
        write_table(temporary, dict.fromkeys(table.columns, str), [*rows, notice], ".csv")
    with atomic_file(folder / f"{table.name}.md") as temporary:
        temporary.write_text(table.markdown(), encoding="utf-8")
