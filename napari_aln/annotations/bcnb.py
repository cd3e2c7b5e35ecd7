"""The BCNB data set's annotation JSON: ``{"positive": [{"name", "vertices"}], "negative": [...]}``."""

from __future__ import annotations

from typing import Any

from napari_aln.annotations.rings import polygon_of
from napari_aln.errors import AnnotationError
from napari_aln.records import Region

CLASSIFICATION = {"positive": "tumour ROI", "negative": "negative"}


def is_bcnb(document: Any) -> bool:  # noqa: ANN401
    """Tell BCNB's JSON from GeoJSON."""
    return (
        isinstance(document, dict)
        and "type" not in document
        and bool(CLASSIFICATION.keys() & document.keys())
    )


def regions_of(document: dict[str, Any], name: str, shift_xy: tuple[float, float]) -> tuple[Region, ...]:
    """Read both lists; a positive outline is a tumour ROI, a negative one is classified ``negative``.

    Raises
    ------
    AnnotationError
        The lists are malformed or both empty.
    """
    regions: list[Region] = []
    for sign, classification in CLASSIFICATION.items():
        outlines = document.get(sign) or []
        if not isinstance(outlines, list):
            raise AnnotationError(f'{name}: "{sign}" is not a list.', "Fetch the data set's file again.")
        for number, outline in enumerate(outlines, start=1):
            where = f"{name}: {sign} region {number}"
            if not isinstance(outline, dict) or "vertices" not in outline:
                raise AnnotationError(f"{where} has no vertices.", "Fetch the data set's file again.")
            polygon = polygon_of([outline["vertices"]], where, shift_xy)
            regions.append(Region(polygon, str(outline.get("name") or ""), classification))
    if not regions:
        raise AnnotationError(f"{name} holds no region.", "Draw one, or use the whole-slide mode.")
    return tuple(regions)
