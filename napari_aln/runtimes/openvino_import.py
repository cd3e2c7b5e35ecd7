"""The one place that imports OpenVINO, with its telemetry left out, and the one `Core` of the process.

``import openvino`` reports its use over the network through the package `openvino_telemetry` that comes with
it. Where that package cannot be imported OpenVINO takes a stub of its own; so it is hidden while OpenVINO is
imported for the first time. This program opens no connection that the user did not ask for.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_TELEMETRY = "openvino_telemetry"


def _import_openvino() -> ModuleType:
    if _TELEMETRY in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # documented: makes its import fail
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]


openvino = _import_openvino()

CORE = openvino.Core()
"""Kept until the process ends, and with it the CPU plugin.

The plugin gives the thread that loads it a stack for signals, and gives that memory back in the thread that
frees it. Freed in another one, it left the first with a stack that is gone: the next Ctrl+C was a
segmentation fault (OpenVINO 2026.4, Linux).
"""

__all__ = ["CORE", "openvino"]
