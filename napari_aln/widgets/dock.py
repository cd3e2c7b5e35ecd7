"""The dock: panels from top to bottom, and what each of them asks of the review."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari.qt import QtViewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QFrame,
    QLabel,
    QLineEdit,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_aln.heap import prepare_heaps
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.clinical_values import ClinicalValues
from napari_aln.widgets.cut_off import CutOff
from napari_aln.widgets.drops import CanvasDrops, paths_of
from napari_aln.widgets.file_questions import FileQuestions
from napari_aln.widgets.keeping import Keeping
from napari_aln.widgets.keys import Keys, help_groups
from napari_aln.widgets.left_off import LeftOff
from napari_aln.widgets.measuring import Measuring
from napari_aln.widgets.panels.associated_dialog import AssociatedDialog
from napari_aln.widgets.panels.clinical_form import ClinicalForm
from napari_aln.widgets.panels.clinical_table_dialog import ClinicalTableDialog
from napari_aln.widgets.panels.compare_panel import ComparePanel
from napari_aln.widgets.panels.forms import SettingsForm
from napari_aln.widgets.panels.help_panel import HelpPanel
from napari_aln.widgets.panels.log_panel import Banner, LogPanel
from napari_aln.widgets.panels.map_panel import MapPanel
from napari_aln.widgets.panels.model_list import ModelList
from napari_aln.widgets.panels.mpp_dialog import MppDialog
from napari_aln.widgets.panels.navigation import Navigation
from napari_aln.widgets.panels.offer_bar import OfferBar
from napari_aln.widgets.panels.results import Results
from napari_aln.widgets.panels.roi_panel import RoiPanel
from napari_aln.widgets.panels.run_panel import RunPanel
from napari_aln.widgets.panels.section import FOCUS_STYLE, Section
from napari_aln.widgets.panels.slide_card import SlideCard, slide_facts
from napari_aln.widgets.panels.welcome import Welcome
from napari_aln.widgets.review import Review
from napari_aln.widgets.side_docks import SideDock, SideDocks
from napari_aln.widgets.slide_menu import SlideMenu
from napari_aln.widgets.split_view import Split
from napari_aln.widgets.window_look import WindowLook
from napari_aln.widgets.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import napari.viewer
    import numpy as np
    from numpy.typing import NDArray
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

WIDTH_PX = 370
NAPARI_DOCKS = ("layer controls", "layer list")  # by their object names


class ReviewDock(QWidget):
    """Everything a review needs, beside the canvas.

    Parameters
    ----------
    viewer
        napari's viewer; napari recognises the annotation by its full name.
    """

    review: Review
    split: Split
    measuring: Measuring
    keeping: Keeping
    side_docks: SideDocks
    map: MapPanel
    navigation: Navigation

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        prepare_heaps()
        # napari hands plugins a proxy whose layers are proxies too, never identical with the real ones.
        viewer = getattr(viewer, "__wrapped__", viewer)
        self.setObjectName("napari_aln_review")
        self.viewer = viewer
        self.review = Review(viewer)
        self.split = Split(viewer, self.review.scene, self.review.state)
        self.measuring = Measuring(self.review.scene, self.review.state)
        self.side_docks = SideDocks(
            self,
            {
                "gallery": SideDock(
                    "Top and bottom patches", Qt.DockWidgetArea.BottomDockWidgetArea, self._gallery
                ),
                "work_list": SideDock("Work list", Qt.DockWidgetArea.LeftDockWidgetArea, self._work_list),
                "nuclei": SideDock("Nuclei", Qt.DockWidgetArea.LeftDockWidgetArea, self._nuclei),
                "training": SideDock("Training", Qt.DockWidgetArea.LeftDockWidgetArea, self._training),
                "interpretation": SideDock(
                    "Nucleus features of a cohort", Qt.DockWidgetArea.LeftDockWidgetArea, self._interpretation
                ),
            },
        )
        self._help: HelpPanel | None = None
        self._welcome: Welcome | None = None
        self._build()
        self.window_look = WindowLook(self)
        self.keeping = Keeping(self.review, self.window_look)
        self.cut_off = CutOff(self.keeping, self.recovery)
        self.left_off = LeftOff(self.review, self.keeping, self.left_off_bar)
        self.files = FileQuestions(self, self.review, self.keeping, self.banner)
        self.clinical_values = ClinicalValues(self.review)
        self._drops = CanvasDrops(self.review.open_files)
        self.slide_menu = SlideMenu(self, self.review)
        self._keys = Keys(viewer, self)
        self._wiring = Wiring(self)
        for line in self.findChildren(QLineEdit):
            line.setAcceptDrops(False)  # a dropped slide is no text
        self.setAcceptDrops(True)
        # In this order: the last state is noted first, and the split view goes before the slide it shows.
        of_review = (self.keeping, self.clinical_values, self.side_docks, self.measuring, self.split)
        for part in (*of_review, self.review, self._keys):
            self.destroyed.connect(part.close)

    def _build(self) -> None:
        self.banner = Banner()
        self.recovery = OfferBar("recovery")
        self.moved = OfferBar("moved_slide")
        self.left_off_bar = OfferBar("left_off")
        self.navigation = Navigation()
        self.slide_card = SlideCard()
        self.models = ModelList()
        self.clinical = ClinicalForm()
        self.roi = RoiPanel()
        self.run = RunPanel()
        self.results = Results()
        self.compare = ComparePanel()
        self.map = MapPanel()
        self.settings = SettingsForm(self.review.state.settings)
        self.log = LogPanel()
        panels = QWidget()
        panels.setObjectName("panels")
        column = QVBoxLayout(panels)
        column.setContentsMargins(4, 0, 4, 4)
        column.setSpacing(4)
        self.sections = {
            "Slide": Section("Slide", self.slide_card),
            "Models": Section("Models", self.models),
            "Patient": Section("Patient", self.clinical),
            "Tumour ROI": Section("Tumour ROI", self.roi),
            "Results": Section("Results", self.results),
            "Map": Section("Map on the slide", self.map),
            "Comparison": Section("ROI against whole slide", self.compare),
            "Settings": Section("Settings", self.settings, is_open=False),
            "Log": Section("Log", self.log, is_open=False),
        }
        for section in self.sections.values():
            column.addWidget(section)
        self.sections["Comparison"].hide()  # until there are two runs to compare
        column.addStretch()
        self.scroll_area = QScrollArea()
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setWidget(panels)
        run_frame = QFrame()  # below the sections, so that starting and cancelling are always at hand
        run_frame.setStyleSheet(FOCUS_STYLE)
        run_layout = QVBoxLayout(run_frame)
        run_layout.setContentsMargins(6, 2, 6, 2)
        run_layout.addWidget(self.run)
        notice = QLabel(RESEARCH_NOTICE)
        notice.setObjectName("research_notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.setSpacing(4)
        layout.addWidget(self.navigation)
        layout.addWidget(self.banner)
        layout.addWidget(self.recovery)
        layout.addWidget(self.moved)
        layout.addWidget(self.left_off_bar)
        layout.addWidget(self.scroll_area, 1)
        layout.addWidget(run_frame)
        layout.addWidget(notice)
        self.setMinimumWidth(WIDTH_PX)

    def reveal(self, title: str) -> None:
        """Open a section and put it to the top, so that what follows it is seen too."""
        self.sections[title].set_open(True)
        QTimer.singleShot(0, self, partial(self._scroll_to, title))  # once new parts have their places

    def _scroll_to(self, title: str) -> None:
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
        self.scroll_area.verticalScrollBar().setValue(self.sections[title].y())

    def welcome(self) -> None:
        """Say on the empty canvas how to begin, until there is a layer."""
        qt_viewer = self.window().findChild(QtViewer)
        if qt_viewer is None:
            return
        welcome = Welcome(qt_viewer.canvas.native)
        welcome.open_requested.connect(self.files.ask_for_slide)
        welcome.demo_requested.connect(self.review.open_demo)
        self._welcome = welcome
        self.review.opening.state_changed.connect(self._on_opening)
        self.viewer.layers.events.inserted.connect(self._on_layers)
        self.viewer.layers.events.removed.connect(self._on_layers)

    def _on_opening(self, _state: object) -> None:
        if self._welcome is not None:
            opening = self.review.opening.is_running
            self._welcome.set_opening(self.slide_card.title.shown_text() if opening else "")

    def _on_layers(self, _event: object) -> None:
        if self._welcome is not None:
            self._welcome.setVisible(not self.viewer.layers)

    # Dialogs

    def ask_for_mpp(self) -> None:
        """Ask for the slide's µm/px, once; it is remembered."""
        slide = self.review.state.slide
        if slide is None or self.findChild(MppDialog) is not None:
            return
        dialog = MppDialog(self.review.state.name, slide_facts(slide.info)[:2], self)
        dialog.mpp_given.connect(self.review.set_mpp)
        dialog.open()

    def ask_for_patient(self) -> None:
        """Ask whose values of the table the slide gets."""
        values = self.clinical_values
        if values.table is None or self.findChild(ClinicalTableDialog) is not None:
            return
        problems = () if self.review.state.hide_names else values.table.problems
        dialog = ClinicalTableDialog(values.text(), values.table.clinical, problems, self)
        dialog.patient_chosen.connect(values.take)
        dialog.open()

    def show_associated(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        """Show label and macro in a window of their own, which goes with the slide."""
        AssociatedDialog(images, self).show()

    def show_help(self) -> None:
        """List all keys."""
        if self._help is None:
            self._help = HelpPanel(
                help_groups(in_program=self._drops.everything), version("napari-aln"), self
            )
        self._help.show()
        self._help.raise_()

    # The second canvas

    def toggle_split(self) -> None:
        """Split the view, or make it one again; needs both runs."""
        self.show_split(self.split.view is None)

    def show_split(self, on: bool) -> None:
        """Show the other run's map in a canvas of its own beside the first, or end that."""
        window = self.window()
        if not on:
            self.split.close()
        elif self.split.view is None and isinstance(window, QMainWindow):
            view = self.split.open(window)
            if view is not None:
                Keys(view.model, self)
                self._watch(window)
        self.compare.set_split(self.split.view is not None)

    # Docks beside the slide, loaded when they are first asked for

    def _gallery(self) -> QWidget:
        from napari_aln.widgets.gallery import Gallery

        return Gallery(self.review)

    def _work_list(self) -> QWidget:
        from napari_aln.widgets.reading import Reading

        return Reading(self.review)

    def _training(self) -> QWidget:
        from napari_aln.widgets.training import Training

        return Training(self.review)

    def _nuclei(self) -> QWidget:
        from napari_aln.widgets.nuclei import Nuclei

        nuclei = Nuclei(self.review, self.viewer)
        self.side_docks.shown.connect(nuclei.on_dock_shown)
        return nuclei

    def open_nuclei(self, path: Path) -> None:
        """Show the nuclei of a file in their dock."""
        self.side_docks.show("nuclei")
        nuclei: Any = self.side_docks.held("nuclei")
        if nuclei is not None:
            nuclei.open_file(path)

    def find_nuclei_in_view(self) -> None:
        """Find the nuclei in view, in their dock."""
        self.side_docks.show("nuclei")
        nuclei: Any = self.side_docks.held("nuclei")
        if nuclei is not None:
            nuclei.panel.find_buttons["view"].click()

    def toggle_nuclei(self) -> None:
        """Show the nuclei on the slide, or hide them; their dock stays as it is."""
        nuclei: Any = self.side_docks.held("nuclei")
        if nuclei is not None:
            nuclei.panel.colours.visible_box.toggle()

    def _interpretation(self) -> QWidget:
        from napari_aln.widgets.interpretation import InterpretationView

        return InterpretationView(self.review)

    def show_training(self) -> None:
        """Show the dock in which models are trained."""
        self.side_docks.show("training")

    def open_work_list(self, path: Path) -> None:
        """Open a work list in its dock."""
        self.side_docks.show("work_list")
        reading: Any = self.side_docks.held("work_list")
        if reading is not None:
            reading.open_list(path)

    def step_in_list(self, by: int, *, unread: bool = False) -> None:
        """Open the next slide of the work list, or the one before; `unread`: only such that need a call."""
        reading: Any = self.side_docks.held("work_list")
        if reading is not None:
            reading.step(by, unread=unread)

    # napari's own docks

    def show_layers(self, shown: bool) -> None:
        """Show or hide napari's layer list and its tools, so that the slide can have their room."""
        for dock in self._layer_docks():
            dock.setVisible(shown)

    def _layer_docks(self) -> list[QDockWidget]:
        docks = (self.window().findChild(QDockWidget, name) for name in NAPARI_DOCKS)
        return [dock for dock in docks if dock is not None]

    def take_room(self) -> None:
        """Leave the slide what room there is: no layer docks, and this one as narrow as it may be."""
        self.show_layers(False)
        window, holder = self.window(), self.parentWidget()
        if isinstance(window, QMainWindow) and isinstance(holder, QDockWidget):
            window.resizeDocks([holder], [WIDTH_PX], Qt.Orientation.Horizontal)

    def changeEvent(self, event: QEvent) -> None:
        """End the review when the panel is closed: napari takes it out of the window, but keeps it alive."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.show_split(False)
            self.side_docks.close()
            self.review.scene.leave()
            self.deleteLater()

    # Drops

    def showEvent(self, event: QShowEvent) -> None:
        """Take files dropped on the canvas too, once there is one."""
        super().showEvent(event)
        self._watch(self.window())
        docks = self._layer_docks()
        self.navigation.set_layers_shown(any(dock.isVisible() for dock in docks))
        for dock in docks:
            dock.visibilityChanged.connect(
                self.navigation.set_layers_shown, Qt.ConnectionType.UniqueConnection
            )

    def _watch(self, window: QWidget) -> None:
        for part in (self._drops, self.measuring, self.slide_menu):
            part.watch(window)

    def take_all_drops(self) -> None:
        """Take pictures and plain TIFFs dropped on the canvas as slides too: this window is for slides."""
        self._drops.everything = self.review.napari_files.everything = True

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self.review.open_files(paths_of(event.mimeData()))
        event.acceptProposedAction()
