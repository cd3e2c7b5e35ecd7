"""The loaded models by their cards, grouped by mode; one of each mode is chosen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_aln.records import RESEARCH_NOTICE, Mode
from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.tab_order import put_in_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtGui import QMouseEvent

    from napari_aln.mil.card import Metric, ModelCard

MODE_TITLES: dict[Mode, str] = {
    "dlcnbc-ws": "DLCNBC-WS: whole slide, clinical values",
    "dlcnbc": "DLCNBC: inside the ROI, clinical values",
    "dlcnb": "DLCNB: inside the ROI, picture alone",
}
NO_MODELS = "No model is loaded. Add a bundle (.alnmodel), or drop one on the window."
SHORT_HASH = 8


class ModelList(QWidget):
    """Cards with a radio button; asks for bundles to be added and removed."""

    add_requested = Signal()
    demo_requested = Signal()
    train_requested = Signal()
    remove_requested = Signal(str)
    chosen_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = self._layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._cards = QWidget()
        layout.addWidget(self._cards)
        self.add_button = QPushButton("A&dd a model…")
        self.add_button.setObjectName("model_add")
        self.add_button.clicked.connect(self.add_requested)
        self.demo_button = QPushButton("Demonstration models")
        self.demo_button.setObjectName("model_demo")
        self.demo_button.setAccessibleName("Load the demonstration models")
        self.demo_button.setToolTip("Load the two models that come with the program; no clinical meaning")
        self.demo_button.clicked.connect(self.demo_requested)
        self.train_button = QPushButton("Train a model…")
        self.train_button.setObjectName("model_train")
        self.train_button.setToolTip("Train a model on a cohort, or watch a training (Shift+T)")
        self.train_button.clicked.connect(self.train_requested)
        self._buttons = QGridLayout()
        self._buttons.addWidget(self.add_button, 0, 0)
        self._buttons.addWidget(self.demo_button, 0, 1)
        layout.addLayout(self._buttons)
        self._groups: dict[Mode, QButtonGroup] = {}
        self.set_models({}, {})

    def set_models(self, cards: Mapping[str, ModelCard], chosen: Mapping[Mode, str]) -> None:
        """Show models under their keys; where a mode has models and none chosen, its first is.

        Does not emit `chosen_changed`.
        """
        shown = QWidget()
        rows = QVBoxLayout(shown)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        self._groups = {}
        for mode in MODE_TITLES:
            own = {key: card for key, card in cards.items() if card.mode == mode}
            if own:
                self._add_mode(mode, own, chosen.get(mode), rows)
        if not cards:
            rows.addWidget(TextLabel(NO_MODELS))
        self.demo_button.setVisible(not cards)
        self._buttons.addWidget(self.train_button, *((0, 1) if cards else (1, 0, 1, 2)))
        self._layout.replaceWidget(self._cards, shown)
        self._cards.hide()
        self._cards.deleteLater()
        self._cards = shown
        kinds = (QRadioButton, QToolButton)
        controls = [part for part in shown.findChildren(QWidget) if isinstance(part, kinds)]
        put_in_place(self, [*controls, self.add_button, self.demo_button, self.train_button])

    def chosen(self) -> dict[Mode, str]:
        """Return the key of the chosen model of each mode that has any."""
        checked = {mode: group.checkedButton() for mode, group in self._groups.items()}
        return {mode: str(button.property("model_key")) for mode, button in checked.items() if button}

    def _add_mode(
        self, mode: Mode, cards: Mapping[str, ModelCard], chosen: str | None, rows: QVBoxLayout
    ) -> None:
        group = QButtonGroup(rows.parentWidget())
        for key, card in cards.items():
            entry = _ModelCard(key, card)
            entry.remove_button.clicked.connect(partial(self.remove_requested.emit, key))
            group.addButton(entry.radio)
            rows.addWidget(entry)
        buttons = group.buttons()
        wanted = [button for button in buttons if button.property("model_key") == chosen]
        (wanted or buttons)[0].setChecked(True)
        group.buttonToggled.connect(self._on_toggled)
        self._groups[mode] = group

    def _on_toggled(self, _button: QRadioButton, checked: bool) -> None:
        if checked:  # the one that was let go reports too
            self.chosen_changed.emit()


class _ModelCard(QFrame):
    """One model: its name and what must be known to choose it; the rest folds out."""

    def __init__(self, key: str, card: ModelCard) -> None:
        super().__init__()
        self.setProperty("foreground", "true")
        self.setObjectName(f"model_{key}")
        self.radio = QRadioButton()
        self.radio.setObjectName("model_choose")
        self.radio.setAccessibleName(card.name)
        self.radio.setProperty("model_key", key)
        name = _ChoosingLabel(card.name, self.radio)
        self.remove_button = _sign_button("×", "model_remove", f"Remove {card.name} from the list")
        self.details_button = _sign_button("…", "model_details", f"Details of {card.name}")
        self.details_button.setCheckable(True)
        self.details = TextLabel("\n".join(card_details(card)))
        self.details.setVisible(False)
        self.details_button.toggled.connect(self.details.setVisible)
        head = QHBoxLayout()
        head.addWidget(name, 1)
        for button in (self.details_button, self.remove_button):
            head.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addLayout(head)
        column.addWidget(TextLabel(card_summary(card)))
        column.addWidget(self.details)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        row.addWidget(self.radio, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)


class _ChoosingLabel(TextLabel):
    """A name that wraps, which a radio button's own text cannot; a click on it chooses."""

    def __init__(self, text: str, radio: QRadioButton) -> None:
        super().__init__(text, bold=True)
        self._radio = radio

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._radio.click()


def card_summary(card: ModelCard) -> str:
    """Return what the model is for, and its classes, µm/px and encoder, in two lines."""
    return f"{MODE_TITLES[card.mode]}\n{' / '.join(card.classes)} · {card.mpp:g} µm/px · {card.encoder}"


def card_details(card: ModelCard) -> list[str]:
    """Return what the card says of its use, its origin, its operating points and its measured figures."""
    cohort = card.training_cohort
    uses = dict.fromkeys([card.intended_use, card.notice, RESEARCH_NOTICE])
    lines = [*uses, card.description]
    if cohort.name:
        patients = f", {cohort.n_patients} patients" if cohort.n_patients is not None else ""
        lines.append(f"Trained on {cohort.name}{patients}.")
    lines += [
        f"N(+) from {t.value:.3f}: {t.operating_point}, chosen on {t.chosen_on}" for t in card.thresholds
    ]
    lines += [f"{metric_text(m)}, {m.cohort}, {m.n} patients" for m in card.metrics]
    lines.append(f"Licence: {card.licence or 'not stated'}")
    lines.append(f"Weights: {card.weights_sha256[:SHORT_HASH]}")
    return [line for line in lines if line]


def metric_text(metric: Metric) -> str:
    """Return a measured figure with its interval, as far as it has one."""
    has_interval = metric.low is not None and metric.high is not None
    interval = f" ({metric.low:.3f} to {metric.high:.3f})" if has_interval else ""
    return f"{metric.name} {metric.value:.3f}{interval}"


def _sign_button(sign: str, name: str, accessible: str) -> QToolButton:
    button = QToolButton()
    button.setText(sign)
    button.setObjectName(name)
    button.setAccessibleName(accessible)
    button.setToolTip(accessible.replace("<", "‹"))  # never rich text
    button.setFixedSize(26, 24)
    return button
