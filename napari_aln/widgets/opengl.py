"""Asks for an OpenGL context and prints what draws it; a program, as Qt aborts where there is no display."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext

RENDERER, VERSION = 0x1F01, 0x1F02


def main() -> None:
    """Print renderer and version, or end with a code other than 0."""
    application = QGuiApplication([])
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    if not (context.create() and context.makeCurrent(surface)):
        raise SystemExit("no OpenGL context")
    gl = context.functions()
    print(f"{gl.glGetString(RENDERER)}, OpenGL {gl.glGetString(VERSION)}")  # noqa: T201 - its one purpose
    context.doneCurrent()
    del application


if __name__ == "__main__":
    main()
