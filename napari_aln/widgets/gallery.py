"""The gallery: patches of highest and lowest value of the shown map."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.panels.file_dialogs import ask_for_folder
from napari_aln.widgets.panels.gallery_panel import GalleryPanel
from napari_aln.widgets.shown import ShownMap
from napari_aln.workflows.results.gallery import DIFFERENCE, Ranking, ranked
from napari_aln.workflows.review import steps

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from qtpy.QtGui import QShowEvent

    from napari_aln.geometry import Rect
    from napari_aln.widgets.review import Review
    from napari_aln.workflows.results.gallery import RankedPatch
    from napari_aln.workflows.results.top_patches import PatchRead

KEPT_BYTES = 64 * 2**20
"""Of patches that were read: about 300 of 256 px, 80 of 512 px."""


class KeptPatches:
    """Patches that were read, by slide and place; the one asked for longest ago goes first."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._kept: OrderedDict[tuple[str, Rect], NDArray[np.uint8]] = OrderedDict()

    def get(self, slide_hash: str, place: Rect) -> NDArray[np.uint8] | None:
        """Return a patch, or None where it is not kept."""
        rgb = self._kept.get((slide_hash, place))
        if rgb is not None:
            self._kept.move_to_end((slide_hash, place))
        return rgb

    def put(self, slide_hash: str, place: Rect, rgb: NDArray[np.uint8]) -> None:
        """Keep a patch."""
        before = self._kept.pop((slide_hash, place), None)
        self._n_bytes += rgb.nbytes - (0 if before is None else before.nbytes)
        self._kept[slide_hash, place] = rgb
        while self._n_bytes > self._most_bytes and len(self._kept) > 1:
            self._n_bytes -= self._kept.popitem(last=False)[1].nbytes


class Gallery(QWidget):
    """Keeps the gallery in step with the review.

    Parameters
    ----------
    review
        Whose slide and answers are shown.
    """

    panel: GalleryPanel

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review, self.state, self.scene = review, review.state, review.scene
        self.kept = KeptPatches()
        self.panel = GalleryPanel(review.hotspots.n)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        self.reading = review.new_job("gallery", self._on_all_read)
        self.reading.progressed.connect(self._on_read)
        self.exporting = review.new_job("export patches", self._on_exported)
        self.exporting.state_changed.connect(self._on_export_state)
        self._read_hash = ""  # of the slide that is being read
        self._awaited: list[Rect] = []  # what is being read, and not there yet
        self._soon = QTimer(self)  # a slider moves more often than pictures need to
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.refresh)
        self.panel.visited.connect(self._on_visited)
        self.panel.left.connect(self.scene.unframe)
        self.panel.number_changed.connect(self._on_number)
        self.panel.size_changed.connect(self._ask)
        self.panel.export_requested.connect(self._ask_where)
        self.state.shown_changed.connect(self._ask)
        self.scene.framed_changed.connect(self._on_framed)

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what changed while the gallery was hidden."""
        super().showEvent(event)
        self._ask()

    def _ask(self) -> None:
        if not self.isVisible():
            self.reading.reset()
            self._awaited = []
        else:
            self._soon.start()

    def refresh(self) -> None:
        """Show the patches of the map as it is now, and read those that are not kept."""
        slide, shown, mpp = self.state.slide, self.scene.shown, self.scene.frame.mpp
        if slide is None or self.state.shown is None or not isinstance(shown, ShownMap):
            why = shown if isinstance(shown, str) else self.state.withheld
            self.panel.set_patches(why, "", mpp, (), ())
            self._read([])
            return
        scores = self.state.scores_of(self.state.shown[0])
        both = ranked(shown.table, shown.all_values, scores, self.review.hotspots.n)
        is_attention = self.state.shown[1].startswith("attention")
        self.panel.set_patches(self._title(shown), shown.style.unit, mpp, *both, of_attention=is_attention)
        missing = []
        places = dict.fromkeys(patch.l0_rect for patches in both for patch in patches)
        for place in places:
            if not self.panel.has_picture(place):
                rgb = self.kept.get(slide.info.quick_hash, place)
                if rgb is None:
                    missing.append(place)
                else:
                    self._show(place, rgb)
        self._read(missing)
        self._on_framed()

    def _title(self, shown: ShownMap) -> str:
        assert self.state.shown is not None
        run, _ = self.state.shown
        how = "" if self.state.scaling == "unscaled" else f", {shown.how}"
        live = self.state.live.get(run)
        now = " · as it would be now" if live and live.run else ""
        who = "" if self.state.difference else f"{run.upper()}, "
        return f"{shown.style.quantity} ({shown.style.unit}){how} · {who}{shown.source}{now}"

    def _read(self, missing: list[Rect]) -> None:
        slide = self.state.slide
        if slide is None or not missing:
            self._awaited = []
            self.reading.reset()
            return
        info = slide.info
        if self.reading.is_running and self._read_hash == info.quick_hash and self._awaited == missing:
            return
        self._read_hash, self._awaited = info.quick_hash, list(missing)
        self.reading.start(partial(steps.read_patches, info, tuple(missing)))

    def _on_read(self, read: PatchRead) -> None:
        self.kept.put(self._read_hash, read.l0_rect, read.rgb)
        if read.l0_rect in self._awaited:
            self._awaited.remove(read.l0_rect)
        self._show(read.l0_rect, read.rgb)

    def _on_all_read(self, _nothing: None) -> None:
        self._awaited = []

    def _show(self, place: Rect, rgb: NDArray[np.uint8]) -> None:
        self.panel.set_picture(place, _pixmap(rgb, self.panel.edge_px, self.devicePixelRatioF()))

    # The slide

    def _on_visited(self, patch: RankedPatch) -> None:
        self.scene.look_at(patch.l0_rect)

    def _on_framed(self) -> None:
        self.panel.set_current(self.scene.framed)
        self.panel.set_note(self.review.hotspots.text())

    def _on_number(self, number: int) -> None:
        self.review.hotspots.n = number
        self._ask()
        self._on_framed()

    # Export

    def _ask_where(self) -> None:
        ask_for_folder(self, "Write the patches into this folder", self.export)

    def export(self, out: Path) -> None:
        """Write the chosen patches, or all, into a new folder in `out`."""
        slide, patches, ranking = self.state.slide, self.panel.selected(), self._ranking()
        if slide is not None and ranking is not None and patches:
            self.exporting.start(partial(steps.save_patches, slide.info, tuple(patches), ranking, out))

    def _ranking(self) -> Ranking | None:
        shown, state = self.scene.shown, self.state
        if state.slide is None or state.shown is None or not isinstance(shown, ShownMap):
            return None
        run, name = state.shown
        pair = state.pair() if state.difference else None
        runs = (run, *(other for other in pair or () if other != run))
        live = [state.live.get(each) for each in runs]
        return Ranking(
            map_name=f"{DIFFERENCE}{name}" if state.difference else name,
            quantity=shown.style.quantity,
            unit=shown.style.unit,
            runs=tuple(state.record_of(each) for each in runs),
            state="what-if" if any(each and each.run for each in live) else "as run",
            alias=state.answers[run].result.alias,
            slide_hash=state.slide.info.quick_hash,
        )

    def _on_export_state(self, job: JobState) -> None:
        busy = job is JobState.RUNNING
        self.panel.set_exporting(busy)
        if busy:
            self.panel.set_note("Writing…")
        elif job is JobState.FAILED:
            self.panel.set_note("Nothing was written.")

    def _on_exported(self, place: Path) -> None:
        self.panel.set_note(f"Written to {place.name}.")
        self.review.told.emit("info", f"Patches written to {place.name}, with patches.csv.")


def _pixmap(rgb: NDArray[np.uint8], edge_px: int, sharpness: float) -> QPixmap:
    height, width = rgb.shape[:2]
    image = QImage(rgb.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    side = round(edge_px * sharpness)
    kept, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    picture = QPixmap.fromImage(image.scaled(side, side, kept, smooth))
    picture.setDevicePixelRatio(sharpness)
    return picture
