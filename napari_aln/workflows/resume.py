"""Session files, and reviews that were not ended, as a face asks for them: each on a thread of its own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.errors import SlideError, StoreError
from napari_aln.records import Progress
from napari_aln.store.autosave import recoverable
from napari_aln.store.result import alias_of_hash
from napari_aln.store.session import parse_session, read_session, write_session
from napari_aln.workflows.session import reopen
from napari_aln.workflows.sources import find_slide

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_aln.store.features import FeatureCache
    from napari_aln.store.session import SavedReview
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
    moved together. What is found there is checked as any other. Where names were hidden the file does not
    say what its slide is called: that is looked for by content, beside it and among lately opened ones.

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
    if slide_path is None and not known.exists():
        if beside.exists():
            slide_path = beside
        elif saved.session.hide_names:
            yield Progress("look for the slide", 0, 1)
            with contextlib.suppress(SlideError):
                slide_path = find_slide(saved.session.slide.quick_hash, None, [path.parent])
    return (yield from reopen(saved, slide_path=slide_path, cache=cache))


def nameless(saved: SavedReview) -> SavedReview:
    """Return a session that can be handed on, where names are hidden: its slide is told by content alone."""
    session = saved.session
    if not session.hide_names:
        return saved
    own, stand_in = session.slide.path, Path(f"{alias_of_hash(session.slide.quick_hash)}-not-named")
    kept = {
        "slide": session.slide.model_copy(update={"path": stand_in}),
        "work_list": None if _tells(str(session.work_list), own) else session.work_list,
        "window": {name: value for name, value in session.window.items() if not _tells(str(value), own)},
    }
    return replace(saved, session=session.model_copy(update=kept))


def _tells(text: str, slide: Path) -> bool:
    """Whether a path, such as that of measured nuclei, says what the slide or its folder is called."""
    return slide.stem in text or str(slide.parent) in text


def save_session(maker: SessionMaker, review: Review, path: Path) -> Generator[Progress, None, Path]:
    """Write a session file with everything in it, yield once, return where; see `nameless`.

    Raises
    ------
    StoreError
        It could not be written.
    """
    write_session(nameless(maker.make(review)), path)
    yield Progress("write", 1, 1)
    return path
