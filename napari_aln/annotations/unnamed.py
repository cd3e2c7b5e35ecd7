"""Regions that say nothing of whose they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_aln.annotations.usable import is_tumour

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_aln.records import Region


def without_names(regions: Iterable[Region]) -> list[Region]:
    """Return regions without names; classes that are no tumour ROI's go by number, so that none becomes one.

    A region may be called after the patient, and so may a class that somebody made up.
    """
    regions = list(regions)
    others = dict.fromkeys(one.classification for one in regions if not is_tumour(one.classification))
    alias = {name: f"class {number}" for number, name in enumerate(others, start=1)}
    return [
        replace(one, name="", classification=alias.get(one.classification, one.classification))
        for one in regions
    ]
