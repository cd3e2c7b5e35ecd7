"""Session files, and reviews that were not ended, as a face asks for them: each on a thread of its own."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from napari_aln.annotations import without_names
from napari_aln.errors import SlideError, StoreError, UsageError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.nuclei.table import NUCLEI_PARQUET
from napari_aln.records import Progress
from napari_aln.store.autosave import kept_path, recoverable
from napari_aln.store.result import NUCLEI_JSON, alias_of_hash
from napari_aln.store.session import NUCLEI, Unplaced, parse_session, read_session, write_session
from napari_aln.workflows.review.session import Answered, SessionMaker, reopen
from napari_aln.workflows.sources import find_bundle, find_slide

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from napari_aln.store.features import FeatureCache
    from napari_aln.store.session import SavedBundle, SavedReview
    from napari_aln.workflows.review.session import Reopened, Review


@dataclass(frozen=True)
class Unfinished:
    """A review whose window was killed, or was closed without a session file."""

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


def last_state(folder: Path, slide_hash: str) -> Generator[Progress, None, Unfinished | None]:
    """Yield once, return how a slide was left when its review ended; None where that is not known."""
    yield Progress("look for the last review", 0, 1)
    path = kept_path(folder, slide_hash)
    try:
        session = parse_session(path.read_bytes(), path)
    except (OSError, StoreError):  # most slides were never reviewed; what cannot be read cannot be offered
        return None
    return Unfinished(
        path, session.slide.path, session.slide.quick_hash, session.saved_at, session.hide_names
    )


def open_session(
    path: Path, *, slide_path: Path | None = None, cache: FeatureCache | None = None
) -> Generator[Progress, None, Reopened]:
    """Yield progress, return the review of a session file.

    A slide that is not where it was is looked for beside the session file, by its name: both may have been
    moved together. What is found there is checked as any other. Where names were hidden the file does not
    say what its slide is called: that is looked for by content, beside it and among lately opened ones. So
    are models that are not where they were, and nuclei: in the folders of session and slide, and in those
    there. A work list has no content to know it by: that it belongs to the review is said.

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
    yield Progress("look for models", 0, 1)
    bundles = tuple(_found(bundle, path.parent) for bundle in saved.session.bundles)
    saved = replace(saved, session=saved.session.model_copy(update={"bundles": bundles}))
    reopened = yield from reopen(saved, slide_path=slide_path, cache=cache)
    return _placed(reopened, saved.session.unplaced, [path.parent, reopened.slide.info.path.parent])


def _placed(reopened: Reopened, unplaced: Unplaced, folders: Sequence[Path]) -> Reopened:
    """Return a review with the nuclei that were found again, and what is to be opened by hand."""
    review, problems = reopened.review, list(reopened.problems)
    if unplaced.work_list:
        problems.append(
            "A session with hidden names does not say where its work list lies: open it if it is not open "
            "(Shift+W, Open)."
        )
    if unplaced.nuclei:
        wanted = unplaced.nuclei_sha256
        tables = _nuclei_in(folders) if wanted else ()
        found = next((table for table in tables if _statement_sha256(table) == wanted), None)
        if found is None:
            problems.append(
                f"Its nuclei lie neither beside it nor beside the slide: open their {NUCLEI_PARQUET} "
                "(Shift+K, Open)."
            )
        else:
            review = replace(review, window={**review.window, NUCLEI: str(found.absolute())})
    return replace(reopened, review=review, problems=tuple(problems))


def _nuclei_in(folders: Sequence[Path]) -> Iterator[Path]:
    """Return the tables of nuclei in folders and in the folders there, as results have them."""
    for folder in dict.fromkeys(folders):
        with contextlib.suppress(OSError):  # one that may not be looked into
            yield from (folder / NUCLEI_PARQUET, *sorted(folder.glob(f"*/{NUCLEI_PARQUET}")))


def _statement_sha256(table: Path) -> str:
    """Return the SHA-256 of what is said beside a table of nuclei; empty where nothing is."""
    if table.name != NUCLEI_PARQUET or not table.is_file():
        return ""
    try:
        return hashlib.sha256(table.with_name(NUCLEI_JSON).read_bytes()).hexdigest()
    except OSError:
        return ""


def _found(bundle: SavedBundle, folder: Path) -> SavedBundle:
    """Return a model with the place where it lies now, looked for by content where it is not where it was."""
    if bundle.path.exists():
        return bundle
    try:
        path = find_bundle(bundle.sha256, bundle.card_sha256, (), [folder]).path
    except UsageError:  # `reopen` says so
        return bundle
    return bundle.model_copy(update={"path": path})


def nameless(saved: SavedReview) -> SavedReview:
    """Return a session that can be handed on, where names are hidden: slide and models by content alone.

    It says no path at all, of work list and nuclei neither: any folder may be called after the patient. That
    they belong to it is said, and of nuclei by what content they are known.
    """
    session = saved.session
    if not session.hide_names:
        return saved
    stand_in = Path(f"{alias_of_hash(session.slide.quick_hash)}-not-named")
    bundles = [
        bundle.model_copy(update={"path": Path(f"model-{bundle.sha256[:12]}{BUNDLE_SUFFIX}")})
        for bundle in session.bundles
    ]
    nuclei = session.window.get(NUCLEI)
    unplaced = Unplaced(
        work_list=session.work_list is not None,
        nuclei=isinstance(nuclei, str),
        nuclei_sha256=_statement_sha256(Path(nuclei)) if isinstance(nuclei, str) else "",
    )
    kept = {
        "slide": session.slide.model_copy(update={"path": stand_in}),
        "bundles": tuple(bundles),
        "work_list": None,
        "unplaced": unplaced,
        "window": {name: value for name, value in session.window.items() if not _is_path(value)},
    }
    return replace(saved, session=session.model_copy(update=kept))


def _is_path(value: object) -> bool:
    """Whether a value of the window is a path, such as that of measured nuclei."""
    return isinstance(value, str) and any(of(value).is_absolute() for of in (PurePosixPath, PureWindowsPath))


def _without_region_names(review: Review) -> Review:
    """Return a review whose regions, those of its answers too, say nothing of whose they are."""

    def unnamed(answer: Answered) -> Answered:
        request, result = answer.request, answer.result
        if isinstance(request.regions, tuple | list):
            request = replace(request, regions=tuple(without_names(request.regions)))
        return replace(
            answer, request=request, result=replace(result, regions=tuple(without_names(result.regions)))
        )

    return replace(
        review,
        regions=tuple(without_names(review.regions)),
        answers=tuple(unnamed(answer) for answer in review.answers),
    )


def save_session(maker: SessionMaker, review: Review, path: Path) -> Generator[Progress, None, Path]:
    """Write a session file, yield once, return where; see `write_to_hand_on`."""
    write_to_hand_on(maker, review, path)
    yield Progress("write", 1, 1)
    return path


def write_to_hand_on(maker: SessionMaker, review: Review, path: Path) -> None:
    """Write a session file with everything in it.

    Where names are hidden, it says none of slide and models, see `nameless`, and none of regions.

    Raises
    ------
    StoreError
        It could not be written.
    """
    if review.hide_names:  # what the given maker has packed stays as it is
        maker, review = SessionMaker(), _without_region_names(review)
    write_session(nameless(maker.make(review)), path)
