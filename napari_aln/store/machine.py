"""What a machine is to the numbers computed on it: two that agree here round alike. Names no computer."""

from __future__ import annotations

import platform
import sys
from functools import cache
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def machine_facts(*, with_accelerator: bool = False) -> dict[str, str]:
    """Return system and processor, and the accelerator where one was used."""
    facts = {"system": f"{platform.system()} {platform.machine()}", "processor": _processor()}
    torch = sys.modules.get("torch")  # what ran on an accelerator has loaded it
    if with_accelerator and torch is not None and torch.cuda.is_available():
        facts["accelerator"] = str(torch.cuda.get_device_name(0))
    return facts


@cache
def _processor() -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.processor() or platform.machine()
