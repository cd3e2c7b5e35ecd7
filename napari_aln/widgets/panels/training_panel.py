"""A training in a dock: what shall be trained, how far it is, its curves, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.settings.training import FinetuneSettings, RecipeSettings
from napari_aln.widgets.panels.combo import named_combo
from napari_aln.widgets.panels.curve_plot import Curve, CurvePlot
from napari_aln.widgets.panels.file_dialogs import kinds
from napari_aln.widgets.panels.forms import SettingsForm
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.model_list import MODE_TITLES
from napari_aln.widgets.panels.path_line import PathLine
from napari_aln.widgets.panels.section import FOCUS_STYLE, Section

if TYPE_CHECKING:
    from napari_aln.records import Mode
    from napari_aln.workflows.training.curves import Curves
    from napari_aln.workflows.training.train_in_window import Way

WAYS: dict[Way, tuple[str, type[RecipeSettings]]] = {
    "frozen": ("Head alone", RecipeSettings),
    "finetune": ("Encoder and head", FinetuneSettings),
}
WAYS_HELP: dict[Way, str] = {
    "frozen": "On the features of a trained encoder: minutes on a processor",
    "finetune": "End to end, as in the papers: for a GPU",
}
SHARED_FIELDS = ("encoder_from", "encoder_weights", "download", "n_classes", "seed")
"""What was chosen of these holds for the other way too."""

FIRST_FIELDS = (
    *("encoder", "encoder_from", "encoder_weights", "download", "fresh"),
    *("n_classes", "epochs", "patience", "learning_rate", "device", "seed"),
)
"""Fields of a recipe that are shown at once, as far as the way has them; the others fold out."""
COHORT_SUFFIXES = (".csv", ".xlsx", ".parquet")
RESULT_LINES = 8
HIGHEST_PLOT_PX = 320
WIDTH_PX = 290
PLOT_STRETCH = 3
FORM_STRETCH = 4


class TrainingPanel(QWidget):
    """Asks for a training to be started, cancelled or watched, and for its model."""

    changed = Signal()  # what shall be trained
    start_requested = Signal()
    cancel_requested = Signal()
    watch_requested = Signal()
    load_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("training_panel")
        self.setStyleSheet(FOCUS_STYLE)
        self.setMinimumWidth(WIDTH_PX)
        self._forms: dict[Way, tuple[SettingsForm, SettingsForm, Section]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(4)
        column.addWidget(self._build_plan(), FORM_STRETCH)
        column.addLayout(self._build_work())
        self.loss_plot = CurvePlot("training_loss", "Loss")
        self.auc_plot = CurvePlot("training_auc", "AUC", (0.0, 1.0))
        for plot in (self.loss_plot, self.auc_plot):
            plot.setMaximumHeight(HIGHEST_PLOT_PX)
            column.addWidget(plot, PLOT_STRETCH)
        column.addStretch(0)  # what room they leave
        self.result = QPlainTextEdit()
        self.result.setObjectName("training_result")
        self.result.setAccessibleName("What came of the training")
        self.result.setReadOnly(True)
        self.result.setTabChangesFocus(True)
        self.result.setFixedHeight(self.fontMetrics().height() * RESULT_LINES)
        self.load_button = _button("Load model", "training_load", "Load the trained model for this review")
        self.load_button.clicked.connect(self._on_load)
        column.addWidget(self.result)
        column.addWidget(self.load_button)
        self.watch_button = _button(
            "Watch a training…", "training_watch", "Show the curves of one that runs in a terminal"
        )
        self.watch_button.clicked.connect(self._on_watch)
        column.addWidget(self.watch_button)
        notice = QLabel(RESEARCH_NOTICE)
        notice.setObjectName("training_notice")
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(notice)
        self.set_running(running=False)
        self._show_way()
        self.set_progress(None, "")
        self.set_result("", can_load=False)

    def _build_plan(self) -> QScrollArea:
        self.cohort = PathLine(
            "training_cohort", "Choose a cohort table", kinds("Cohort tables", COHORT_SUFFIXES), "required"
        )
        self.out = PathLine(
            "training_out",
            "Name the model to be written",
            "Model bundles",
            "required",
            suggested=f"model{BUNDLE_SUFFIX}",
        )
        modes = {mode: (mode.upper(), title) for mode, title in MODE_TITLES.items()}
        ways = {way: (title, WAYS_HELP[way]) for way, (title, _) in WAYS.items()}
        self.mode_box = _combo("training_mode", "Mode of the model", modes)
        self.way_box = _combo("training_way", "What is trained", ways)
        rows = QGridLayout()
        rows.setColumnStretch(1, 1)
        for row, (title, part) in enumerate(
            (
                ("Cohort", self.cohort),
                ("Mode", self.mode_box),
                ("Train", self.way_box),
                ("Write to", self.out),
            )
        ):
            label = QLabel(title)
            label.setBuddy(part)
            rows.addWidget(label, row, 0)
            rows.addWidget(part, row, 1)
        self.plan = QWidget()
        self._plan_column = QVBoxLayout(self.plan)
        self._plan_column.setContentsMargins(0, 0, 4, 0)
        self._plan_column.addLayout(rows)
        self._plan_column.addStretch()
        for path in (self.cohort, self.out):
            path.changed.connect(self._on_changed)
        self.mode_box.currentIndexChanged.connect(self._on_changed)
        self.way_box.currentIndexChanged.connect(self._show_way)
        self.plan_area = QScrollArea()
        self.plan_area.setObjectName("training_plan")
        self.plan_area.setWidgetResizable(True)
        self.plan_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.plan_area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.plan_area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plan_area.setMinimumHeight(120)
        self.plan_area.setWidget(self.plan)
        return self.plan_area

    def _build_work(self) -> QVBoxLayout:
        self.start_button = _button("Train", "training_start", "Train this model on this cohort")
        self.start_button.clicked.connect(self._on_start)
        self.cancel_button = _button("&Cancel", "training_cancel", "Stop; the same training goes on later")
        self.cancel_button.clicked.connect(self._on_cancel)
        self.bar = QProgressBar()
        self.bar.setObjectName("training_progress")
        self.bar.setAccessibleName("Progress of the training")
        self.bar.setTextVisible(False)
        self.status = TextLabel()
        self.status.setObjectName("training_status")
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 1)
        buttons.addWidget(self.bar, 1)
        buttons.addWidget(self.cancel_button)
        work = QVBoxLayout()
        work.setSpacing(4)
        work.addLayout(buttons)
        work.addWidget(self.status)
        return work

    # What was chosen

    @property
    def way(self) -> Way:
        """What is trained."""
        way: Way = self.way_box.currentData()
        return way

    @property
    def mode(self) -> Mode:
        """Of the model."""
        mode: Mode = self.mode_box.currentData()
        return mode

    def recipe(self) -> RecipeSettings:
        """Return the recipe; ``model_fields_set`` holds only what was chosen.

        Raises
        ------
        pydantic.ValidationError
            The fields contradict each other.
        """
        first, rest, _ = self._forms[self.way]
        chosen: dict[str, Any] = {}
        for values in (rest.values(), first.values()):
            chosen |= {name: getattr(values, name) for name in values.model_fields_set}
        return WAYS[self.way][1](**chosen)

    def editor(self, field: str) -> QWidget:
        """Return the control of a field of the shown recipe."""
        first, rest, _ = self._forms[self.way]
        return first.editor(field) if field in FIRST_FIELDS else rest.editor(field)

    # What is shown

    def set_ready(self, why_not: str, *, goes_on: bool) -> None:
        """Let the training be started, or say why it cannot; `goes_on`: an unfinished one is gone on with."""
        self.start_button.setEnabled(not why_not)
        self.start_button.setText("Go on training" if goes_on else "Train")
        if self.cancel_button.isHidden():
            self.status.set_text(why_not)

    def set_running(self, *, running: bool, text: str = "") -> None:
        """Show a training that is under way, or what became of it."""
        self.start_button.setVisible(not running)
        self.bar.setVisible(running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.plan_area.setVisible(not running)  # their room is for the curves
        self.watch_button.setEnabled(not running)
        self._show_plots(running=running, any_epoch=bool(self.loss_plot.n_epochs))
        self.status.set_text(text)

    def set_progress(self, share: float | None, text: str) -> None:
        """Show how far it is; None: that is not known."""
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * (share or 0.0)))
        if text:
            self.status.set_text(text)

    def set_curves(self, curves: Curves) -> None:
        """Draw the curves of the epochs so far."""
        self._show_plots(running=not self.cancel_button.isHidden(), any_epoch=bool(len(curves)))
        best = curves.best
        self.loss_plot.set_curves(
            [Curve("training", curves.loss), Curve("validation", curves.validation_loss)], best
        )
        areas = [Curve("training", curves.training_auc)] if curves.training_auc else []
        self.auc_plot.set_curves([*areas, Curve("validation", curves.validation_auc)], best)

    def set_result(self, text: str, *, can_load: bool) -> None:
        """Say what came of it, and offer the model."""
        self.result.setPlainText(text)
        self.result.setVisible(bool(text))
        self.load_button.setVisible(can_load)

    def set_watching(self, name: str) -> None:
        """Say whose curves are shown; nothing: those of the window's own training."""
        self.watch_button.setText("Stop watching" if name else "Watch a training…")
        self.watch_button.setAccessibleName(f"Stop watching {name}" if name else "Watch a training")

    def _show_plots(self, *, running: bool, any_epoch: bool) -> None:
        for plot in (self.loss_plot, self.auc_plot):
            plot.setVisible(running or any_epoch)

    def _show_way(self, *_: object) -> None:
        if self.way not in self._forms:
            self._forms[self.way] = self._make_forms(WAYS[self.way][1])
        for way, parts in self._forms.items():
            for part in (parts[0], parts[2]):
                part.setVisible(way == self.way)
        self._on_changed()

    def _make_forms(self, recipe: type[RecipeSettings]) -> tuple[SettingsForm, SettingsForm, Section]:
        """Return a form of the first fields, one of all others, and the section it folds into."""
        chosen: dict[str, Any] = {}
        for other, _, _ in self._forms.values():
            values = other.values()
            chosen |= {name: getattr(values, name) for name in values.model_fields_set & set(SHARED_FIELDS)}
        first = SettingsForm(recipe(), only=FIRST_FIELDS)
        first.set_values(recipe(**chosen))
        first.reset_button.hide()
        others = [name for name in recipe.model_fields if name not in FIRST_FIELDS]
        rest = SettingsForm(recipe(), only=others)
        section = Section("More settings", rest, is_open=False)
        for form, part in ((first, first), (rest, section)):
            form.changed.connect(self._on_changed)
            self._plan_column.insertWidget(self._plan_column.count() - 1, part)
        return first, rest, section

    def _on_changed(self, *_: object) -> None:
        self.changed.emit()

    def _on_start(self) -> None:
        self.start_requested.emit()

    def _on_cancel(self) -> None:
        self.cancel_button.setEnabled(False)  # one click is enough; the state follows
        self.status.set_text("Cancelling …")
        self.cancel_requested.emit()

    def _on_watch(self) -> None:
        self.watch_requested.emit()

    def _on_load(self) -> None:
        self.load_requested.emit()


def _combo(name: str, title: str, entries: dict[Any, tuple[str, str]]) -> QComboBox:
    """Return a box of entries: value -> text and help."""
    tip = "\n".join([title, *(f"{text}: {help_text}" for text, help_text in entries.values())])
    combo = named_combo(name, title, tip, least_letters=12)
    for value, (text, help_text) in entries.items():
        combo.addItem(text, value)
        combo.setItemData(combo.count() - 1, help_text, Qt.ItemDataRole.ToolTipRole)
    return combo


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button
