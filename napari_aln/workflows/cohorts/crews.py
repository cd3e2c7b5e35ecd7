"""Who predicts the slides of a cohort: what local processes and a cluster have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_aln.workflows.cohorts.slide_tasks import Delivered, Failure, SlideTask


class Order(NamedTuple):
    """One slide to be predicted; `key` tells it from the others."""

    key: str
    task: SlideTask
    sha256: str


class Said(NamedTuple):
    """How far a slide is, in words."""

    key: str
    text: str


class Ended(NamedTuple):
    """What became of a slide."""

    key: str
    outcome: Delivered | Failure


class Crew(Protocol):
    """Takes slides and says what becomes of them; each order ends once."""

    def room(self) -> int:
        """Return how many orders can be taken now."""
        ...

    def take(self, order: Order) -> None:
        """Begin a slide; there must be room."""
        ...

    def events(self) -> Sequence[Said | Ended]:
        """Wait a moment, return what happened.

        Raises
        ------
        DeviceError
            No more can be expected.
        """
        ...

    def close(self) -> None:
        """Give up what goes on."""
        ...
