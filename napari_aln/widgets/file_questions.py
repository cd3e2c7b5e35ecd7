"""What the user is asked for as files, and who gets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.cohort.spreadsheet import READABLE_SUFFIXES
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX, CARD_NAME
from napari_aln.slides.formats import SLIDE_SUFFIXES
from napari_aln.store.result import shown_name
from napari_aln.store.session import SESSION_SUFFIX
from napari_aln.widgets.dropped import REGION_SUFFIXES
from napari_aln.widgets.panels.file_dialogs import ask_for_files, ask_for_folder, ask_where_to_write, kinds

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_aln.widgets.keeping import Keeping
    from napari_aln.widgets.panels.log_panel import Banner
    from napari_aln.widgets.review import Review

SLIDES = kinds("Slides", SLIDE_SUFFIXES)


class FileQuestions:
    """Asks in dialogs.

    Parameters
    ----------
    parent
        In whose window they are.
    review, keeping
        Who gets the files, and the sessions.
    banner
        Says why there is nothing to ask.
    """

    def __init__(self, parent: QWidget, review: Review, keeping: Keeping, banner: Banner) -> None:
        self._parent, self._review, self._keeping, self._banner = parent, review, keeping, banner

    def recent(self) -> list[tuple[str, Path]]:
        """Return recent slides that are still there, as they are called on the screen."""
        hide = self._review.state.hide_names
        found = [path for path in self._review.remembered.recent if path.exists()]
        return [(f"Slide {i}" if hide else shown_name(path), path) for i, path in enumerate(found, 1)]

    def ask_for_slide(self) -> None:
        """Let the user pick a slide."""
        self._ask_for_files("Open a slide", SLIDES)

    def ask_for_models(self) -> None:
        """Let the user pick bundles."""
        wanted = f"Model bundles (*{BUNDLE_SUFFIX} {CARD_NAME});;All files (*)"
        self._ask_for_files("Add model bundles", wanted)

    def ask_for_regions(self) -> None:
        """Let the user pick an annotation file."""
        self._ask_for_files("Import the tumour ROI", kinds("Annotations", REGION_SUFFIXES))

    def ask_for_table(self) -> None:
        """Let the user pick a table of patients."""
        self._ask_for_files("Clinical values from a table", kinds("Tables", READABLE_SUFFIXES))

    def ask_for_session(self) -> None:
        """Let the user pick a session file."""
        self._ask_for_files("Open a session", kinds("Sessions", [SESSION_SUFFIX]))

    def ask_where_to_save(self) -> None:
        """Let the user pick the folder that the result folder is written into."""
        if not self._review.state.answers:
            self._banner.show_error("There is no result to save.", "Run a model first.")
            return
        ask_for_folder(self._parent, "Save the result into this folder", self._review.save_results)

    def ask_where_to_save_session(self) -> None:
        """Let the user name the session file."""
        if self._review.state.slide is None:
            self._banner.show_error("There is no review to save.", "Open a slide first.")
            return
        suggested = f"{Path(self._review.state.name).stem}{SESSION_SUFFIX}"
        ask_where_to_write(self._parent, "Save the session", "Sessions", suggested, self._keeping.save)

    def ask_where_slide_is(self) -> None:
        """Let the user say where the slide of a session lies now."""
        dialog = ask_for_files(
            self._parent,
            "Where is the session's slide?",
            SLIDES,
            lambda paths: self._keeping.find_slide(paths[0]),
            several=False,
        )
        dialog.rejected.connect(self._keeping.let_go)

    def _ask_for_files(self, title: str, wanted: str) -> None:
        ask_for_files(self._parent, title, wanted, self._on_files)

    def _on_files(self, paths: list[Path]) -> None:
        self._review.open_files([p.parent if p.name == CARD_NAME else p for p in paths])
