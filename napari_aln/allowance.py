"""How much of the computer this process may use: memory and processors, by whatever allows least.

A container (Linux control groups, version 1 and 2) or a scheduler may allow less than the computer has. What
chooses threads or a limit of memory asks here.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINER, AFFINITY = "the container's limit", "the processors this process is bound to"
_GROUPS, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class Memory(NamedTuple):
    """Bytes; `allowed` and `free` are this process's. `limited_by` is empty where all is allowed."""

    allowed: int
    free: int
    installed: int
    limited_by: str


class Processors(NamedTuple):
    """Processors. `allowed` may be a part of one; `limited_by` is empty where all are allowed."""

    allowed: float
    installed: int
    limited_by: str

    @property
    def threads(self) -> int:
        """How many threads can be busy at once, at least one."""
        return max(1, math.ceil(self.allowed))


def memory() -> Memory:
    """Return what memory there is for this process."""
    machine = psutil.virtual_memory()
    allowed, free, limited_by = int(machine.total), int(machine.available), ""
    for folder in _folders("memory"):
        limit = _number(folder, "memory.max", "memory.limit_in_bytes")
        if limit is None or limit >= machine.total:  # version 1 writes a huge number for no limit
            continue
        if limit < allowed:
            allowed, limited_by = int(limit), CONTAINER
        used = _number(folder, "memory.current", "memory.usage_in_bytes") or 0.0
        free = min(free, max(0, int(limit - used + _reclaimable(folder))))
    return Memory(allowed, free, int(machine.total), limited_by)


def processors() -> Processors:
    """Return what processors there are for this process."""
    installed = os.cpu_count() or 1
    allowed, limited_by = float(installed), ""
    bound = _bound()
    if bound is not None and bound < allowed:
        allowed, limited_by = float(bound), AFFINITY
    for folder in _folders("cpu"):
        share = _share_of_time(folder)
        if share is not None and share < allowed:
            allowed, limited_by = share, CONTAINER
    return Processors(allowed, installed, limited_by)


def threads_of_container() -> int | None:
    """Return how many threads a container leaves, where libraries that count processors would take more."""
    found = processors()
    return found.threads if found.limited_by == CONTAINER else None


def _bound() -> int | None:
    process: Any = psutil.Process()
    if not hasattr(process, "cpu_affinity"):  # macOS
        return None
    with contextlib.suppress(psutil.Error, OSError):
        return len(process.cpu_affinity()) or None
    return None


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's groups and of those above, which all limit it."""
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        names, _, below = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        roots = {_GROUPS / names, _GROUPS / controller} if names else {_GROUPS, _GROUPS / "unified"}
        inner = below.strip("/")
        for root in roots:
            # A container may see its own group as the root: then the path below names folders it has not.
            for folder in (root / inner, *(root / inner).parents):
                if folder.is_dir():
                    yield folder
                if folder == root:
                    break


def _number(folder: Path, *names: str) -> float | None:
    """Return the number in the first of these files that holds one."""
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            return float((folder / name).read_text(encoding="ascii"))
    return None


def _reclaimable(folder: Path) -> int:
    """Return the bytes of file contents kept in memory, which make room when room is needed."""
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        stat = dict(line.split(" ", 1) for line in lines)
        # In version 1 the plain number leaves out the groups below, which the limit counts.
        return int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return 0


def _share_of_time(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" or float(period) <= 0 else float(quota) / float(period)
    quota_us = _number(folder, "cpu.cfs_quota_us")
    period_us = _number(folder, "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and quota_us > 0 and period_us else None
