"""One program's own command with a slide, in this process, until the slide is whole on the canvas.

Run by ``bench_viewer.py`` with the Python of either program: ``command_to_picture.py ours|napari-wsi SLIDE``.
Prints the time at which that was, in seconds since the epoch, and ends the process.
"""

from __future__ import annotations

import os
import sys
import time

MOST_S = 60


def _serve_until_drawn(*_: object, **__: object) -> None:
    """Stand in for `napari.run`: the window has been built, and its events are about to be served."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication
    from vispy import gloo

    viewer = napari.current_viewer()
    filled = set()  # layers that were given their picture anew, with nothing missing in it

    def on_inserted(event: object) -> None:
        layer = event.value
        pyramid = _pyramid_of(layer)
        if pyramid is not None:
            layer.events.set_data.connect(lambda _: filled.add(layer) if not pyramid.pending else None)

    def on_draw(_event: object) -> None:
        gloo.gl.glFinish()
        slides = [layer for layer in viewer.layers if getattr(layer, "multiscale", False)]
        if slides and all(layer.loaded and is_whole(layer) for layer in slides):
            print(time.time(), flush=True)
            os._exit(0)

    def is_whole(layer: object) -> bool:
        pyramid = _pyramid_of(layer)
        return pyramid is None or pyramid.returned_whole or layer in filled

    viewer.layers.events.inserted.connect(on_inserted)
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(on_draw, position="last")
    QTimer.singleShot(MOST_S * 1000, lambda: os._exit(1))
    QApplication.instance().exec()


def _pyramid_of(layer: object) -> object | None:
    """Return ours, which is drawn before all of it is decoded; None of the others'."""
    return getattr(layer.data[0], "_pyramid", None) if getattr(layer, "multiscale", False) else None


def main() -> None:
    """Run the command."""
    contender, slide = sys.argv[1:]
    import napari

    napari.run = _serve_until_drawn
    if contender == "ours":
        sys.argv = ["napari-aln", "view", slide]
        from napari_aln.cli import main as run_command
    else:
        sys.argv = ["napari", "--plugin", "napari-wsi", slide]
        from napari.__main__ import main as run_command
    run_command()


if __name__ == "__main__":
    main()
