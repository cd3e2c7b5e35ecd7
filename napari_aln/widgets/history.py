"""Undo and redo of something immutable: the steps themselves are kept."""

from __future__ import annotations

from typing import Generic, TypeVar

from app_model.types import KeyCode, KeyMod

Step = TypeVar("Step")

MOST_STEPS = 200
UNDO_KEY = int(KeyMod.CtrlCmd | KeyCode.KeyZ)
REDO_KEY = int(KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ)


class History(Generic[Step]):
    """The steps up to now, and those that were taken back.

    Parameters
    ----------
    start
        What there is before the first step.
    """

    def __init__(self, start: Step) -> None:
        self.reset(start)

    @property
    def now(self) -> Step:
        """The present step."""
        return self._past[-1]

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return len(self._past) > 1

    @property
    def can_redo(self) -> bool:
        """Whether a step that was taken back can be taken again."""
        return bool(self._future)

    def reset(self, start: Step) -> None:
        """Begin anew; nothing can be taken back."""
        self._past = [start]
        self._future: list[Step] = []

    def add(self, step: Step) -> None:
        """Take a step; what was taken back is gone. A step that changes nothing is none."""
        if step == self.now:
            return
        self._past = [*self._past, step][-MOST_STEPS:]
        self._future = []

    def undo(self) -> Step:
        """Take the last step back and return what there is then."""
        if self.can_undo:
            self._future.append(self._past.pop())
        return self.now

    def redo(self) -> Step:
        """Take a step again that was taken back."""
        if self._future:
            self._past.append(self._future.pop())
        return self.now
