"""The keys of a review, described once: bound in the viewer, listed in the help.

napari's own layer tools hold the digits, brackets and single letters, so ours stand beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_aln.widgets.history import REDO_KEY, UNDO_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_aln.widgets.dock import ReviewDock

OPACITY_STEP = 0.1
LAYER_TOOLS_KEYS = ("Shift-P",)
"""Ours, though a tool of Shapes has it: a layer's own keys come before the viewer's."""


class Key(NamedTuple):
    """One key."""

    name: str | int  # as napari binds it
    shown: str  # as people read it
    effect: str
    act: Callable[[ReviewDock], None]


def _change_opacity(dock: ReviewDock, by: float) -> None:
    dock.map.opacity_slider.setValue(dock.map.opacity_slider.value() + round(by * 100))


def _toggle_interpretation(dock: ReviewDock) -> None:
    dock.side_docks.toggle("interpretation")


KEYS = (
    Key("Alt-1", "Alt+1", "5x: 2 µm on a pixel", lambda dock: dock.review.scene.magnify(5)),
    Key("Alt-2", "Alt+2", "10x: 1 µm on a pixel", lambda dock: dock.review.scene.magnify(10)),
    Key("Alt-3", "Alt+3", "20x: 0.5 µm on a pixel", lambda dock: dock.review.scene.magnify(20)),
    Key("Alt-4", "Alt+4", "40x: 0.25 µm on a pixel", lambda dock: dock.review.scene.magnify(40)),
    Key("Alt-0", "Alt+0", "Whole slide", lambda dock: dock.review.scene.fit()),
    Key("Shift-H", "Shift+H", "Map on or off", lambda dock: dock.map.visible_box.toggle()),
    Key(",", ",", "Map more transparent", lambda dock: _change_opacity(dock, -OPACITY_STEP)),
    Key(".", ".", "Map less transparent", lambda dock: _change_opacity(dock, OPACITY_STEP)),
    Key("Shift-N", "Shift+N", "Next hotspot of the map", lambda dock: dock.review.hotspots.step(1)),
    Key("Shift-P", "Shift+P", "Hotspot before", lambda dock: dock.review.hotspots.step(-1)),
    Key("Shift-S", "Shift+S", "Split view: ROI beside whole slide", lambda dock: dock.toggle_split()),
    Key("Shift-G", "Shift+G", "Top and bottom patches", lambda dock: dock.side_docks.toggle("gallery")),
    Key("Shift-W", "Shift+W", "Work list", lambda dock: dock.side_docks.toggle("work_list")),
    Key("Shift-K", "Shift+K", "Nuclei", lambda dock: dock.side_docks.toggle("nuclei")),
    Key("Shift-D", "Shift+D", "Find the nuclei in view", lambda dock: dock.find_nuclei_in_view()),
    Key("Shift-O", "Shift+O", "Nuclei on the slide on or off", lambda dock: dock.toggle_nuclei()),
    Key("Shift-T", "Shift+T", "Train a model", lambda dock: dock.side_docks.toggle("training")),
    Key("Shift-I", "Shift+I", "Nucleus features of a cohort", _toggle_interpretation),
    Key("Shift-U", "Shift+U", "Next slide without your call", lambda dock: dock.step_in_list(1, unread=True)),
    Key("Alt-PageDown", "Alt+Page down", "Next slide of the list", lambda dock: dock.step_in_list(1)),
    Key("Alt-PageUp", "Alt+Page up", "The slide before it", lambda dock: dock.step_in_list(-1)),
    Key("Shift-M", "Shift+M", "Measure a line; Esc ends it", lambda dock: dock.measuring.toggle()),
    Key(UNDO_KEY, "Ctrl+Z", "Take the last change of the ROI back", lambda dock: dock.review.roi.undo()),
    Key(REDO_KEY, "Ctrl+Shift+Z", "Make it again", lambda dock: dock.review.roi.redo()),
    Key("F1", "F1", "All keys", lambda dock: dock.show_help()),
    Key("F2", "F2", "napari's layers and tools", lambda dock: dock.navigation.layers_button.toggle()),
)

BESIDE = ("Shift-G", "Shift-W", "Shift-U", "Alt-PageDown", "Alt-PageUp", "Shift-K", "Shift-T", "Shift-I")
"""Names of keys of what opens beside the slide: the help lists them apart."""

WINDOW_KEYS = (("Ctrl+O", "Open a slide"), ("Ctrl+S", "Save the session"))
"""Of the menu that the program's own window has; inside another napari these are napari's."""

MOUSE_KEYS = (("Right click", "What can be done there"),)
"""Of the slide, and of the rows that list its regions."""

PANEL_KEYS = (
    ("Tab, Shift+Tab", "Next control, the one before"),
    ("Alt+letter", "The control with this letter underlined"),
    ("Arrow keys", "In the gallery: fly from patch to patch"),
    ("Ctrl, Shift+click", "In the gallery: choose several patches"),
    ("Enter", "In the work list: open the slide"),
    ("Click on a nucleus", "Choose it in the table; a row flies there"),
)
NAPARI_KEYS = (
    ("Mouse wheel", "Zoom"),
    ("Drag", "Move the slide"),
    ("Ctrl+Y", "Turn the picture into three dimensions and back"),
    ("Ctrl+R", "Reset the view"),
    ("Esc, double click", "End a shape that is being drawn"),
    ("Delete", "Remove selected shapes"),
)


class Keys:
    """Binds the keys while the dock lives.

    Parameters
    ----------
    viewer
        Where they are pressed.
    dock
        What they act on.
    """

    def __init__(self, viewer: ViewerModel, dock: ReviewDock) -> None:
        self._viewer, self._dock = viewer, dock
        for key in KEYS:
            viewer.bind_key(key.name, _pressed(key, dock), overwrite=True)
        for layer in viewer.layers:
            self._come_first(layer)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def close(self) -> None:
        """Give the keys back."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for key in KEYS:
            self._viewer.bind_key(key.name, None)
        for layer in self._viewer.layers:
            for name in LAYER_TOOLS_KEYS:
                layer.bind_key(name, None)

    def _on_inserted(self, event: Any) -> None:  # noqa: ANN401 - napari's untyped event
        self._come_first(event.value)

    def _come_first(self, layer: Layer) -> None:
        for key in KEYS:
            if key.name in LAYER_TOOLS_KEYS:
                layer.bind_key(key.name, _pressed(key, self._dock), overwrite=True)


def _pressed(key: Key, dock: ReviewDock) -> Callable[[Any], None]:
    def press(_viewer: Any) -> None:  # noqa: ANN401 - napari hands itself over
        key.act(dock)

    return press


def help_groups(*, in_program: bool) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what the help lists: title, and rows of key and effect; `in_program`: in its own window."""
    on_the_slide = [(key.shown, key.effect) for key in KEYS if key.name not in BESIDE]
    return [
        ("On the slide", [*on_the_slide, *MOUSE_KEYS, *(WINDOW_KEYS if in_program else ())]),
        ("Beside the slide", [(key.shown, key.effect) for key in KEYS if key.name in BESIDE]),
        ("In the panels", list(PANEL_KEYS)),
        ("napari's own", list(NAPARI_KEYS)),
    ]
