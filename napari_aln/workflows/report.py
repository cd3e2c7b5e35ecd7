"""The report: one HTML file with its pictures inside, readable without this program or a network."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_aln.store.result import ResultDocument


def render_report(document: ResultDocument, pictures: Mapping[str, Path]) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    document
        The result, made in private mode: a report never names the slide's file.
    pictures
        Caption to PNG file, in the order of showing.
    """
    environment = Environment(
        loader=PackageLoader("napari_aln.workflows"), autoescape=True, undefined=StrictUndefined
    )
    inlined = [
        {"caption": caption, "base64": base64.b64encode(path.read_bytes()).decode()}
        for caption, path in pictures.items()
    ]
    record = json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return environment.get_template("report.html.j2").render(doc=document, pictures=inlined, record=record)
