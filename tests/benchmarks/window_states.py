"""The states of the window, in the order in which a user meets them; see `screenshots.py`."""

from __future__ import annotations

from states_of_files import FileStates, leave_unfinished
from states_of_review import ReviewStates

BEFORE_RUNS = (
    "empty", "new_list", "training", "recovery", "failed", "asking", "associated", "help", "open", "layers",
    "settings", "mask", "outlines", "measure", "polygon", "nuclei", "origin",
)  # fmt: skip
WITH_RUNS = (
    "running", "cancelled", "one", "two", "split", "attention", "top", "x10", "x40", "points", "signed",
    "difference", "brush", "stale", "gallery",
)  # fmt: skip
AFTER_THEM = ("session", "patient", "withheld", "list")
STATES = (*BEFORE_RUNS, *WITH_RUNS, *AFTER_THEM)


class Walk(FileStates, ReviewStates):
    """Leads a window through the states."""

    def lead(self) -> None:
        """Open the window and walk."""
        if self.wants("recovery"):
            leave_unfinished(self.files)
        self.window.open()
        self.grab("empty")
        for state in ("new_list", "training", "recovery", "failed", "asking", "associated"):
            if self.wants(state):
                getattr(self, state)()
        self.demo()  # its models are used from then on
        if self.wants(*WITH_RUNS):
            self.runs()
            self.maps()
        for state in ("brush", "stale", "gallery", "session", "patient"):
            if self.wants(state):
                getattr(self, state)()
        if self.wants("withheld", "list"):
            self.work_list()
        self.window.viewer.close()
