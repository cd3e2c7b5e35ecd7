"""``napari-aln demo``: the main job on the bundled slide and models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_aln.cli import output, progress, view
from napari_aln.cli.predict import show_result


def demo(
    out: Annotated[Path, typer.Option(help="Where the result folder goes.")] = Path("napari-aln-demo"),
    no_gui: Annotated[bool, typer.Option("--no-gui", help="Open no window afterwards.")] = False,
) -> None:
    """Predict the bundled synthetic slide in both modes and write the result folder with its report."""
    from napari_aln.store.atomic import check_writable
    from napari_aln.workflows.demo import demo as demo_workflow
    from napari_aln.workflows.doctor import has_display

    check_writable(out)
    result, place = progress.run(demo_workflow(out), "demo")
    show_result(result, place, "Demonstration: synthetic tissue, no clinical meaning")
    output.remark(f"Open {place / 'report.html'} in a browser.")
    if no_gui:
        return
    if not has_display():
        output.remark("No display was found, so no window is opened.")
        return
    output.remark("The review window opens on the same slide.")
    view.show((), demo=True)
