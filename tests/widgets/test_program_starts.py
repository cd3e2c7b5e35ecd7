"""How the program starts its window: few heaps, and no search for unused cycles in what it is made of."""

from __future__ import annotations

import gc

import pytest

from napari_aln.cli import view
from napari_aln.cli.view import show
from napari_aln.errors import UsageError
from napari_aln.slides import first_open
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


def test_heaps_are_limited_before_anything_starts_threads(monkeypatch, tissue_slide):
    begun = []
    monkeypatch.setattr(view, "prepare_heaps", lambda: begun.append("heaps"))
    monkeypatch.setattr(first_open, "warm_up", lambda: begun.append("process"))
    monkeypatch.setattr(window, "open_window", lambda *_, **__: begun.append("window"))
    monkeypatch.setattr(window, "run", lambda: None)
    show([tissue_slide])
    assert begun == ["heaps", "process", "window"]
