"""Sample data in napari's menu: the demonstration slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    LayerData = tuple[Any, dict[str, Any], str]


def demo_slide() -> list[LayerData]:
    """Return the synthetic demonstration slide as a layer."""
    from napari_aln.contributions.readers import read_slide
    from napari_aln.workflows.demo import SLIDE, sample_path

    return read_slide(str(sample_path(SLIDE)))
