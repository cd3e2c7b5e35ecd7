"""File dialogs, which let the window go on while they are open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qtpy.QtWidgets import QWidget


def kinds(name: str, suffixes: Iterable[str]) -> str:
    """Return a dialog's filter: files with these suffixes, or all."""
    return f"{name} ({' '.join(f'*{suffix}' for suffix in suffixes)});;All files (*)"


def ask_for_files(
    parent: QWidget, title: str, wanted: str, take: Callable[[list[Path]], object], *, several: bool = True
) -> QFileDialog:
    """Let the user pick files that exist.

    Parameters
    ----------
    parent
        Whose window the dialog belongs to.
    title
        What it asks.
    wanted
        See `kinds`.
    take
        Gets what was picked.
    several
        Whether more than one may be.
    """
    dialog = _dialog(parent, "ask_for_files", title, wanted)
    modes = QFileDialog.FileMode
    dialog.setFileMode(modes.ExistingFiles if several else modes.ExistingFile)
    dialog.filesSelected.connect(lambda names: take([Path(name) for name in names]))
    dialog.open()
    return dialog


def ask_for_folder(parent: QWidget, title: str, take: Callable[[Path], object]) -> QFileDialog:
    """Let the user pick a folder; see `ask_for_files`."""
    dialog = _dialog(parent, "ask_for_folder", title)
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.fileSelected.connect(lambda name: take(Path(name)))
    dialog.open()
    return dialog


def ask_where_to_write(
    parent: QWidget,
    title: str,
    name: str,
    suggested: str,
    take: Callable[[Path], object],
    *,
    overwrites: bool = True,
    suffixes: Sequence[str] = (),
) -> QFileDialog:
    """Let the user name a file to be written.

    Parameters
    ----------
    parent, title
        See `ask_for_files`.
    name
        What such files are called.
    suggested
        A file name; its suffix is given to names without one.
    take
        Gets the path.
    overwrites
        Whether a file of that name will be overwritten, which the user is then asked about.
    suffixes
        Of all kinds of files that can be written; left out: that of `suggested` alone.
    """
    suffix = Path(suggested).suffix
    wanted = " ".join(f"*{each}" for each in suffixes or (suffix,))
    dialog = _dialog(parent, "ask_where_to_write", title, f"{name} ({wanted})")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(suffix.removeprefix("."))
    dialog.selectFile(suggested)
    dialog.setOption(QFileDialog.Option.DontConfirmOverwrite, not overwrites)
    dialog.fileSelected.connect(lambda chosen: take(Path(chosen)))
    dialog.open()
    return dialog


def _dialog(parent: QWidget, object_name: str, title: str, wanted: str = "") -> QFileDialog:
    dialog = QFileDialog(parent, title, "", wanted)
    dialog.setObjectName(object_name)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    return dialog
