"""Session files, and reviews that were not ended, as a face asks for them: each on a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_aln.errors import StoreError
from napari_aln.records import Progress
from napari_aln.store.autosave import recoverable
from napari_aln.store.session import parse_session, read_session, write_session
from napari_aln.workflows.session import reopen

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_aln.store.features import FeatureCache
    from napari_aln.workflows.session import Reopened, Review, SessionMaker


@dataclass(frozen=True)
class Unfinished:
    """A review whose window was killed."""

    path: Path
    slide_path: Path
    slide_hash: str
    saved_at: str  # UTC, ISO 8601
    hide_names: bool


def unfinished(folder: Path) -> Generator[Progress, None, tuple[tuple[Unfinished, ...], int]]:
    """Yield once, return reviews that can be recovered, newest first, and how many more cannot be read."""
    yield Progress("look for unfinished reviews", 0, 1)
    found, unreadable = [], 0
    for path in recoverable(folder):
        try:
            session = parse_session(path.read_bytes(), path)
        except FileNotFoundError:  # another window was quicker
            continue
        except (OSError, StoreError):
            unreadable += 1
        else:
            slide = session.slide
            found.append(Unfinished(path, slide.path, slide.quick_hash, session.saved_at, session.hide_names))
    return tuple(found), unreadable


def open_session(
    path: Path, *, slide_path: Path | None = None, cache: FeatureCache | None = None
) -> Generator[Progress, None, Reopened]:
    """Yield progress, return the review of a session file.

    A slide that is not where it was is looked for beside the session file, by its name: both may have been
    moved together. What is found there is checked as any other.

    Parameters
    ----------
    path
        The session file.
    slide_path
        Where the slide lies now, if it was moved.
    cache
        Where features are kept.

    Raises
    ------
    StoreError, SlideMovedError, SlideError
        As `read_session` and `reopen`.
    """
    yield Progress("read", 0, 1)
    saved = read_session(path)
    known = saved.session.slide.path
    beside = path.parent / known.name
    if slide_path is None and not known.exists() and beside.exists():
        slide_path = beside
    return (yield from reopen(saved, slide_path=slide_path, cache=cache))


def save_session(maker: SessionMaker, review: Review, path: Path) -> Generator[Progress, None, Path]:
    """Write a session file with everything in it, yield once, return where.

    Raises
    ------
    StoreError
        It could not be written.
    """
    write_session(maker.make(review), path)
    yield Progress("write", 1, 1)
    return path
