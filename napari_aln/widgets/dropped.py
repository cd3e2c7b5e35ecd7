"""What kind of file was dropped: slide, model bundle, annotations, work list, session, table or nuclei."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_aln.cohort.spreadsheet import READABLE_SUFFIXES
from napari_aln.cohort.wording import counted, named
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX, CARD_NAME
from napari_aln.slides.formats import SLIDE_SUFFIXES
from napari_aln.store.result import RESULT_JSON, shown_name
from napari_aln.store.session import SESSION_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REGION_SUFFIXES = (".geojson", ".json", ".xml", ".ndpa")
NUCLEI_SUFFIX = ".parquet"
LIST_SUFFIX = ".alnlist"
ONE_AT_A_TIME = "One of a kind is open at a time: drop them one by one, or put slides into a work list."
SLIDE_PATH = "napari_aln_slide"
"""Key in a layer's metadata: the slide's path, by which the review takes such a layer as its slide."""

VIEWER_SUFFIXES = (".jpg", ".jpeg", ".png")  # ordinary pictures: napari's own, unless given to the dock


@dataclass
class Files:
    """Files by what they are taken for."""

    slides: list[Path] = field(default_factory=list)
    bundles: list[Path] = field(default_factory=list)
    regions: list[Path] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)
    sessions: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    nuclei: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)  # of this program, which the window does not open

    def left_out(self, *, hide_names: bool) -> str:
        """Say which are left out: all but the first of each kind of which one is open at a time."""
        kinds = (self.slides, self.regions, self.lists, self.sessions, self.tables, self.nuclei)
        paths = [path for kind in kinds for path in kind[1:]]
        names = "" if hide_names else f": {named(map(shown_name, paths))}"
        return f"{counted(len(paths), 'file')} left out{names}." if paths else ""


def sort_files(paths: Sequence[Path]) -> Files:
    """Sort files by name and content; what is none of the others is tried as a slide, after known ones."""
    files = Files()
    for path in paths:
        if path.suffix.lower() == BUNDLE_SUFFIX or (path / CARD_NAME).is_file():
            files.bundles.append(path)
        elif path.suffix.lower() == LIST_SUFFIX:
            files.lists.append(path)
        elif path.suffix.lower() == SESSION_SUFFIX:
            files.sessions.append(path)
        elif path.suffix.lower() == NUCLEI_SUFFIX and _holds_nuclei(path):
            files.nuclei.append(path)
        elif path.suffix.lower() in READABLE_SUFFIXES and not path.is_dir():
            files.tables.append(path)
        elif (path / RESULT_JSON).is_file() or (path.name == RESULT_JSON and path.is_file()):
            files.results.append(path.parent if path.name == RESULT_JSON else path)
        elif path.suffix.lower() in REGION_SUFFIXES and not path.is_dir():
            files.regions.append(path)
        else:
            files.slides.append(path)
    files.slides.sort(key=lambda path: not (path.is_dir() or path.name.lower().endswith(SLIDE_SUFFIXES)))
    return files


def is_ours(path: Path) -> bool:
    """Whether a file dropped on the canvas is certainly for the review, not for napari."""
    files = sort_files([path])
    if files.bundles or files.regions or files.lists or files.sessions or files.nuclei:
        return True
    name = path.name.lower()
    return name.endswith(SLIDE_SUFFIXES) and not name.endswith((*VIEWER_SUFFIXES, ".tif", ".tiff"))


def _holds_nuclei(path: Path) -> bool:
    """Whether a Parquet file is one of nuclei; patients may be in one too."""
    from napari_aln.nuclei.table import holds_nuclei  # pyarrow, not needed before the first such file

    return holds_nuclei(path)
