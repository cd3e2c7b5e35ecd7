"""What our files say of themselves: where they count from, µm/px and slide, in members others ignore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from napari_aln.annotations.rings import MAX_COORDINATE_PX
from napari_aln.geometry import Mpp, plausible_mpp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

Origin = Literal["level0", "bounds"]
"""Where (0, 0) of a file lies: the level-0 corner, or the corner of the slide's bounds (QuPath, MIRAX)."""

MEMBER = "napari_aln"
"""Our member of a GeoJSON document; in XML, the start of our attributes' names."""

UNIT = "level-0 pixels"

_MPP_ORIGINS = ("file", "user", "missing")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a file states; nothing, for a file of another program."""

    origin: Origin | None = None
    origin_l0_xy: tuple[float, float] = (0.0, 0.0)  # level-0 px of the file's (0, 0)
    mpp: Mpp | None = None
    slide_hash: str = ""
    mpp_origin: str = ""  # "file" or "user"; empty where it is not known

    @classmethod
    def to_write(
        cls,
        origin: Origin,
        bounds_xy: tuple[float, float],
        mpp: Mpp | None,
        slide_hash: str,
        mpp_origin: str = "",
    ) -> Statement:
        """Return what a new file states."""
        x, y = bounds_xy if origin == "bounds" else (0.0, 0.0)
        return cls(origin, (float(x), float(y)), mpp, slide_hash, mpp_origin)

    @classmethod
    def of_json(cls, document: Any) -> Statement:  # noqa: ANN401
        """Read our member of a parsed GeoJSON document."""
        note = document.get(MEMBER) if isinstance(document, dict) else None
        return cls._read(note) if isinstance(note, dict) else cls()

    @classmethod
    def of_xml(cls, root: Element) -> Statement:
        """Read our attributes of an XML file's root."""
        note: dict[str, Any] = {
            name: root.get(f"{MEMBER}_{name}")
            for name in ("origin", "origin_l0_xy", "mpp", "mpp_origin", "slide_hash")
        }
        for pair in ("origin_l0_xy", "mpp"):
            note[pair] = (note[pair] or "").split()
        return cls._read(note)

    @classmethod
    def _read(cls, note: Mapping[str, Any]) -> Statement:
        stated_hash = note.get("slide_hash")
        slide_hash = stated_hash if isinstance(stated_hash, str) else ""
        mpp_origin = next((known for known in _MPP_ORIGINS if note.get("mpp_origin") == known), "")
        xy, mpp = _pair(note.get("origin_l0_xy")), _pair(note.get("mpp"))
        known_mpp = plausible_mpp(*mpp) if mpp else None
        origin: Origin | None = "level0" if note.get("origin") == "level0" else None
        if note.get("origin") == "bounds":
            origin = "bounds"
        if origin is None or xy is None or max(map(abs, xy)) > MAX_COORDINATE_PX:
            return cls(mpp=known_mpp, slide_hash=slide_hash, mpp_origin=mpp_origin)
        return cls(origin, xy, known_mpp, slide_hash, mpp_origin)

    def as_json(self) -> dict[str, Any]:
        """Return our member of a GeoJSON document."""
        return {
            "origin": self.origin,
            "origin_l0_xy": list(self.origin_l0_xy),
            "unit": UNIT,
            "mpp": None if self.mpp is None else list(self.mpp),
            "mpp_origin": self.mpp_origin,
            "slide_hash": self.slide_hash,
            "program": f"napari-aln {version('napari-aln')}",
        }

    def as_attributes(self) -> dict[str, str]:
        """Return our attributes of an XML file's root."""
        values = {name: _text(value) for name, value in self.as_json().items()}
        return {f"{MEMBER}_{name}": value for name, value in values.items() if value}


def _pair(value: Any) -> tuple[float, float] | None:  # noqa: ANN401
    try:
        x, y = (float(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def _text(value: Any) -> str:  # noqa: ANN401
    """Return a value as XML attribute: a list as numbers between blanks, None as nothing."""
    return " ".join(map(repr, value)) if isinstance(value, list) else str(value or "")
