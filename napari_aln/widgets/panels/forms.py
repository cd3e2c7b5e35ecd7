"""Forms made from settings models: title, unit, bounds and help stand in `settings`, once."""

from __future__ import annotations

import html
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from qtpy.QtCore import QLocale, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_aln.widgets.panels.labels import TextLabel
from napari_aln.widgets.panels.path_line import PathLine
from napari_aln.widgets.panels.wheel import guard_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

AUTOMATIC = "automatic"
LARGEST_INT = 2**31 - 1  # of Qt's spin box
LARGEST_FLOAT = 1e9
DECIMALS = 4


class SettingsForm(QWidget):
    """One row a field; nested models follow as groups of their own.

    Parameters
    ----------
    settings
        Shown at first. Fields set in it count as chosen; all others are chosen once the user changes them, so
        that what a model's card says holds for the rest.
    only
        Names of the fields that are shown, in this order, as far as the model has them; left out: all.
    """

    changed = Signal()

    def __init__(
        self, settings: BaseModel, parent: QWidget | None = None, *, only: Sequence[str] | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("settings_form")
        self._settings = settings
        self._touched: dict[str, Any] = {}
        self._editors: dict[str, Editor] = {}
        self._groups: dict[str, SettingsForm] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        rows = QGridLayout()
        rows.setColumnStretch(0, 1)
        layout.addLayout(rows)
        fields = type(settings).model_fields
        for name in fields if only is None else [name for name in only if name in fields]:
            field, value = fields[name], getattr(settings, name)
            if isinstance(value, BaseModel):
                self._add_group(name, value, layout)
            else:
                self._add_row(name, field, value, rows)
        self.reset_button = QPushButton("Back to the defaults")
        self.reset_button.setObjectName("settings_reset")
        self.reset_button.setEnabled(False)
        self.reset_button.clicked.connect(self._on_reset)
        layout.addWidget(self.reset_button, alignment=Qt.AlignmentFlag.AlignRight)

    def values(self) -> BaseModel:
        """Return settings of the same class; ``model_fields_set`` holds only what was chosen."""
        chosen = {name: getattr(self._settings, name) for name in self._settings.model_fields_set}
        groups = {name: form.values() for name, form in self._groups.items()}
        chosen |= {name: group for name, group in groups.items() if group.model_fields_set}
        return type(self._settings)(**(chosen | self._touched))

    def set_values(self, settings: BaseModel) -> None:
        """Show settings; those set in them count as chosen. Does not emit `changed`."""
        self._touched.clear()
        for name, editor in self._editors.items():
            value = getattr(settings, name)
            with QSignalBlocker(editor.control):
                editor.show(value)
            if name in settings.model_fields_set:
                self._touched[name] = value
        for name, form in self._groups.items():
            form.set_values(getattr(settings, name))
        self.reset_button.setEnabled(settings != self._settings)

    def editor(self, name: str) -> QWidget:
        """Return the control of a field."""
        return self._editors[name].control

    def _add_group(self, name: str, value: BaseModel, layout: QVBoxLayout) -> None:
        form = SettingsForm(value)
        form.changed.connect(self._on_group_changed)
        form.reset_button.hide()  # one button for all
        self._groups[name] = form
        layout.addWidget(TextLabel((type(value).__doc__ or name).split(".")[0], bold=True))
        layout.addWidget(form)

    def _add_row(self, name: str, field: FieldInfo, value: object, rows: QGridLayout) -> None:
        editor = make_editor(name, field)
        editor.show(value)
        control = editor.control
        control.setObjectName(f"setting_{name}")
        control.setAccessibleName(field.title or name)
        help_text = f"<qt>{html.escape(field.description or '')}</qt>"  # rich text wraps
        title = TextLabel(field.title or name)
        for part in (control, title):
            part.setToolTip(help_text)
        row = rows.rowCount()
        rows.addWidget(title, row, 0)
        rows.addWidget(control, row, 1)
        self._editors[name] = editor
        editor.on_change.connect(lambda *_: self._on_changed(name))

    def _on_changed(self, name: str) -> None:
        self._touched[name] = self._editors[name].value()
        self.reset_button.setEnabled(True)
        self.changed.emit()

    def _on_group_changed(self) -> None:
        self.reset_button.setEnabled(True)
        self.changed.emit()

    def _on_reset(self) -> None:
        self.reset()
        self.changed.emit()

    def reset(self) -> None:
        """Go back to the settings the form was made with. Does not emit `changed`."""
        self.reset_button.setEnabled(False)
        self._touched.clear()
        for name, editor in self._editors.items():
            with QSignalBlocker(editor.control):
                editor.show(getattr(self._settings, name))
        for form in self._groups.values():
            form.reset()


class Editor(NamedTuple):
    """A control with one way to write it, to read it and to hear of a change."""

    control: QWidget
    show: Any  # (value) -> None
    value: Any  # () -> value
    on_change: Any  # a bound signal


def make_editor(name: str, field: FieldInfo) -> Editor:
    """Return the control that fits a field's type and bounds.

    Raises
    ------
    TypeError
        The type has no control; settings that a form shows are numbers, choices, switches and words.
    """
    kind, optional = _kind(field)
    if get_origin(kind) is Literal:
        return _choice(get_args(kind), optional)
    if kind is bool:
        box = QCheckBox()
        return Editor(box, box.setChecked, box.isChecked, box.toggled)
    if kind is str:
        line = QLineEdit()
        return Editor(line, line.setText, line.text, line.textEdited)
    if kind is Path:
        place = PathLine(f"setting_{name}_path", f"Choose: {field.title or name}")
        return Editor(place, place.set_path, place.path, place.changed)
    if kind in (int, float):
        return _number(kind, field, optional)
    raise TypeError(f"No control for the setting {name} of type {field.annotation}.")


def _kind(field: FieldInfo) -> tuple[Any, bool]:
    """Return a field's type without None, and whether None is allowed."""
    if get_origin(field.annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
        return kinds[0], len(kinds) < len(get_args(field.annotation))
    return field.annotation, False


def _choice(options: tuple[Any, ...], optional: bool) -> Editor:
    """Return a box of words or numbers, and first of all, where it may be left out, of that."""
    combo = QComboBox()
    for option in (None, *options) if optional else options:
        combo.addItem(AUTOMATIC if option is None else str(option), option)
    guard_wheel(combo)

    def show(value: Any) -> None:  # noqa: ANN401 - one of the options
        combo.setCurrentIndex(0 if value is None else combo.findData(value))

    return Editor(combo, show, combo.currentData, combo.currentTextChanged)


def _number(kind: type, field: FieldInfo, optional: bool) -> Editor:
    """Return a spin box; where the number may be left out, the step below its lowest value says so."""
    spin: Any = QSpinBox() if kind is int else _FloatSpinBox()
    smallest = 1 if kind is int else 10**-DECIMALS
    low, high = _bounds(field, smallest, LARGEST_INT if kind is int else LARGEST_FLOAT)
    absent = low - smallest
    spin.setRange(absent if optional else low, high)
    if kind is float:
        spin.setSingleStep(0.05 if high <= 1 else 0.5)
    spin.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.UpDownArrows)
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else ""
    if unit:
        spin.setSuffix(f" {unit}")
    if optional:
        spin.setSpecialValueText(AUTOMATIC)
    guard_wheel(spin)

    def show(value: float | None) -> None:
        spin.setValue(absent if value is None else value)

    def value() -> float | None:
        return None if optional and spin.value() < low else spin.value()

    return Editor(spin, show, value, spin.valueChanged)


def _bounds(field: FieldInfo, smallest: float, largest: float) -> tuple[Any, Any]:
    low, high = -largest, largest
    for bound in field.metadata:
        low = getattr(bound, "ge", low)
        high = getattr(bound, "le", high)
        low = getattr(bound, "gt", low - smallest) + smallest
        high = getattr(bound, "lt", high + smallest) - smallest
    return low, high


class _FloatSpinBox(QDoubleSpinBox):
    """Shows no needless zeros, and takes a comma for a point."""

    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QLocale.c())
        self.setDecimals(DECIMALS)

    def textFromValue(self, value: float) -> str:
        return f"{value:g}"

    def validate(self, text: str, position: int) -> Any:  # noqa: ANN401  (state, text, position) of Qt
        return super().validate(text.replace(",", "."), position)
