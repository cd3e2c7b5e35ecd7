"""Where the files lie that come with the program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def sample_path(name: str) -> Path:
    """Return where a demo file lies: inside an installed package, or beside it in a checkout."""
    package = Path(str(files("napari_aln")))
    installed = package / "_sample_data" / name
    return installed if installed.is_file() else package.parent / "sample_data" / name
