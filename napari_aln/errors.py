"""Every exception the program raises on purpose: one root, each also a builtin, carrying the next step.

None derives from ``RuntimeError``: Qt worker threads swallow those (see ``widgets/jobs``), and torch raises
them for its own reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class AlnError(Exception):
    """Root of all errors of this program.

    Parameters
    ----------
    fact
        What is wrong, in one sentence that names the file or value.
    next_step
        What the user can do about it, in one sentence.
    """

    def __init__(self, fact: str, next_step: str) -> None:
        super().__init__(fact, next_step)
        self.fact = fact
        self.next_step = next_step

    def __str__(self) -> str:
        """Return the fact and the next step as one line."""
        return f"{self.fact} {self.next_step}"


class SlideError(AlnError, OSError):
    """A slide is missing, truncated, of a type no reader knows, or fails while being read."""


class SlideMovedError(SlideError):
    """A session's slide is not where it was, or another slide lies there now.

    Parameters
    ----------
    path
        Where it was looked for; `fact` names it too.
    fact, next_step
        As of every error.
    """

    def __init__(self, path: Path, fact: str, next_step: str) -> None:
        super().__init__(fact, next_step)
        self.path = path


class MppError(AlnError, ValueError):
    """The slide has no µm/px, or an impossible one, where one is needed."""


class TissueError(AlnError, ValueError):
    """No tissue, or no patch left after the filters."""


class AnnotationError(AlnError, ValueError):
    """An annotation file cannot be read, or holds no usable region."""


class RegionError(AlnError, ValueError):
    """A region is empty, lies outside the slide, or is missing where a mode needs one."""


class BundleError(AlnError, ValueError):
    """A model bundle or checkpoint is damaged, unsafe, too new or not what it says."""


class ClinicalError(AlnError, ValueError):
    """A clinical value is missing or out of range."""


class CohortError(AlnError, ValueError):
    """A cohort table cannot be read or contradicts itself."""


class StoreError(AlnError, OSError):
    """A result folder or cache cannot be read or written."""


class WorkListError(StoreError):
    """A work list is locked, damaged, of a newer version, or does not hand out what was asked for."""


class DeviceError(AlnError, OSError):
    """The asked-for device, precision or runtime is not there, or gave up."""


class UsageError(AlnError, ValueError):
    """Options that contradict each other."""
