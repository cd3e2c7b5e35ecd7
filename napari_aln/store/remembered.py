"""What the window remembers between starts: µm/px the user gave, recent slides, loaded bundles.

One small JSON file in the user's configuration folder. µm/px is kept by the slide's content hash; the lists
hold paths, which never enter a result.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict

from napari_aln.geometry import Mpp, plausible_mpp
from napari_aln.store.atomic import atomic_file
from napari_aln.store.json_document import parse_json

RECENT_LIMIT = 10


class _Content(BaseModel):
    model_config = ConfigDict(extra="ignore")

    mpp: dict[str, tuple[float, float]] = {}  # slide hash -> µm/px along x and y
    recent: list[Path] = []
    bundles: list[Path] = []
    hide_names: bool = False
    reader_id: str = ""


class Remembered:
    """The user's own small memory.

    Parameters
    ----------
    path
        The file; left out: ``NAPARI_ALN_CONFIG``, else the user's configuration folder. One that is absent or
        damaged counts as empty, and is written anew with the next thing worth remembering.
    """

    def __init__(self, path: Path | None = None) -> None:
        folder = os.environ.get("NAPARI_ALN_CONFIG") or user_config_path("napari-aln", appauthor=False)
        self._path = path or Path(folder) / "remembered.json"
        try:
            self._content = _Content.model_validate(parse_json(self._path.read_bytes()))
        except (OSError, ValueError):
            self._content = _Content()

    def mpp(self, slide_hash: str) -> Mpp | None:
        """Return the µm/px the user once gave for this slide."""
        given = self._content.mpp.get(slide_hash)
        return plausible_mpp(*given) if given else None

    def remember_mpp(self, slide_hash: str, mpp: Mpp) -> None:
        """Keep the µm/px the user gave for this slide."""
        self._content.mpp[slide_hash] = (mpp.x, mpp.y)
        self._write()

    @property
    def recent(self) -> tuple[Path, ...]:
        """Slides opened lately, the newest first."""
        return tuple(self._content.recent)

    def remember_slide(self, path: Path) -> None:
        """Put a slide on top of the recent ones."""
        others = [p for p in self._content.recent if p != path]
        self._content.recent = [path, *others][:RECENT_LIMIT]
        self._write()

    def forget_slides(self) -> None:
        """Empty the list of recent slides."""
        self._content.recent = []
        self._write()

    @property
    def bundles(self) -> tuple[Path, ...]:
        """Bundles that were loaded when the window was last used."""
        return tuple(self._content.bundles)

    def remember_bundles(self, paths: list[Path]) -> None:
        """Keep which bundles are loaded."""
        self._content.bundles = paths
        self._write()

    @property
    def hide_names(self) -> bool:
        """Whether file names are replaced by the slide's alias on the screen."""
        return self._content.hide_names

    def remember_hide_names(self, hide: bool) -> None:
        """Keep whether file names are hidden."""
        self._content.hide_names = hide
        self._write()

    @property
    def reader_id(self) -> str:
        """Who last made calls in a work list: initials or a number; empty while nobody was named."""
        return self._content.reader_id

    def remember_reader(self, reader_id: str) -> None:
        """Keep who makes calls."""
        self._content.reader_id = reader_id
        self._write()

    def _write(self) -> None:
        with atomic_file(self._path) as temporary:
            # Escaped to ASCII: a path need not be text that can be encoded.
            temporary.write_text(
                json.dumps(self._content.model_dump(mode="json"), indent=1), encoding="ascii"
            )
