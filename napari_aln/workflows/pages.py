"""HTML pages from templates: text in them is text, never markup; a value that is missing is an error."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from jinja2 import Template


def environment() -> Environment:
    """Return what templates are read with; filters may be added."""
    return Environment(
        loader=PackageLoader("napari_aln.workflows"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def template(name: str) -> Template:
    """Return the template of this name in ``templates``."""
    return environment().get_template(name)
