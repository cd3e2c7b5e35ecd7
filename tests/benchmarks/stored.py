"""Results of benchmarks on disk: what was measured, when, on what, with which versions. Names no computer."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil

from napari_aln.store.machine import machine_facts

RESULTS = Path(__file__).parent / "results"
_WIDE = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Instructions that decide how fast a network runs."""


def store(
    path: Path, settings: dict[str, Any], figures: Any, versions: dict[str, str], load_before: float
) -> None:
    """Write what was measured beside what it was measured on.

    Parameters
    ----------
    path
        A .json; the pages read those in `RESULTS`.
    settings
        Sizes, rounds and the like.
    figures
        What was measured; names carry their units.
    versions
        Of what was measured.
    load_before
        Processes that waited for a processor in the minute before, see `load`.
    """
    machine = machine_facts() | {
        "instructions": ", ".join(_instructions()) or "unknown",
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
    }
    document = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "load": {"before": round(load_before, 2), "after": round(load(), 2)},
        "versions": dict(sorted(versions.items())),
        "settings": settings,
        "figures": figures,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages, and of Python."""
    return {name: importlib.metadata.version(name) for name in packages} | {
        "python": platform.python_version()
    }


def load() -> float:
    """Return the load of the last minute; NaN on Windows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def _instructions() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return [name for name in _WIDE if name in flags]
