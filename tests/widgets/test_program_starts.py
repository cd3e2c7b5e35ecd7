"""How the program starts its window: what it is made of is searched for unused cycles no more."""

from __future__ import annotations

import gc

import pytest

from napari_aln.cli.view import show
from napari_aln.errors import UsageError
from napari_aln.widgets import window


@pytest.fixture
def collecting(monkeypatch):
    """Return whether cycles were searched for while the window was built, and while it was served."""
    seen = {}
    monkeypatch.setattr(window, "open_window", lambda *_, **__: seen.update(built=gc.isenabled()))
    monkeypatch.setattr(
        window, "run", lambda: seen.update(served=gc.isenabled(), set_aside=gc.get_freeze_count())
    )
    return seen


def test_cycles_are_searched_for_while_the_window_is_served_not_while_it_is_built(collecting):
    gc.unfreeze()
    show([])
    assert collecting["built"] is False
    assert collecting["served"] is True
    assert collecting["set_aside"] > 10_000


def test_a_window_that_cannot_be_built_leaves_the_search_on(monkeypatch):
    def fails(*_, **__):
        raise UsageError("No.", "Try again.")

    monkeypatch.setattr(window, "open_window", fails)
    with pytest.raises(UsageError):
        show([])
    assert gc.isenabled()
