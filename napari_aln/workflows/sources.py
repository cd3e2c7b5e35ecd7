"""Finding the slide and the model that a result was made from: by content, never by name alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from napari_aln.errors import BundleError, SlideError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX, CARD_NAME
from napari_aln.shipped import sample_path
from napari_aln.slides.first_open import open_untried
from napari_aln.slides.formats import SLIDE_SUFFIXES
from napari_aln.store.remembered import Remembered
from napari_aln.workflows.demo import BUNDLES, SLIDE
from napari_aln.workflows.folders import slides_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_aln.mil.bundle import Bundle

_BLOCK_BYTES = 1 << 22


def find_slide(quick_hash: str, given: Path | None, folders: Sequence[Path], name: str | None = None) -> Path:
    """Return where a slide lies.

    Parameters
    ----------
    quick_hash
        Its quick hash.
    given
        The slide, or a folder that holds it somewhere below. None: `name` in `folders`, then the slides that
        the window opened lately, then all slides that lie in `folders` themselves.
    folders
        Where to look without `given`.
    name
        What its file was called, where that is known.

    Raises
    ------
    SlideError
        It does not exist, cannot be opened, is another slide, or no such slide was found.
    """
    if given is not None and not (given.is_dir() and _hash_of(given) is None):
        with open_untried(given) as slide:
            found = slide.info.quick_hash
        if found != quick_hash:
            raise SlideError(
                f"{given} is another slide than the result's: its hash is {found[:12]}…, "
                f"the result was made on {quick_hash[:12]}….",
                "Give the slide that the result was made on, or a folder that holds it: --slide.",
            )
        return given
    candidates = slides_below(given) if given is not None else _likely_slides(folders, name)
    for path in candidates:
        if _hash_of(path) == quick_hash:
            return path
    where = f"below {given}" if given is not None else "beside the result or in this folder"
    raise SlideError(
        f"The slide of the result (hash {quick_hash[:12]}…) was not found {where}.",
        "Say where it lies: --slide FILE, or --slide FOLDER to look for it by content.",
    )


def _likely_slides(folders: Sequence[Path], name: str | None) -> Iterator[Path]:
    if name:
        yield from (folder / name for folder in folders)
    yield from Remembered().recent
    for folder in folders:
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in SLIDE_SUFFIXES)
    yield sample_path(SLIDE)


def _hash_of(path: Path) -> str | None:
    try:
        with open_untried(path) as slide:
            return slide.info.quick_hash
    except (SlideError, OSError):
        return None


def find_bundle(sha256: str, card_sha256: str, given: Sequence[Path], folders: Sequence[Path]) -> Bundle:
    """Return the model with these weights; of several, the one with this card.

    Parameters
    ----------
    sha256, card_sha256
        Of the weights and of the card.
    given
        Bundles, or folders that hold them somewhere below. Empty: those that ship, those that the window
        has loaded, and what lies in `folders` themselves.
    folders
        Where to look without `given`.

    Raises
    ------
    UsageError
        There is no such bundle.
    BundleError
        One that was named is damaged.
    """
    same_weights = None
    for path, named in _bundles_of(given) if given else _likely_bundles(folders):
        try:
            bundle = open_bundle(path)
        except BundleError:
            if named:
                raise
            continue
        if bundle.sha256 == sha256 and bundle.card_sha256 == card_sha256:
            return bundle
        if bundle.sha256 == sha256:
            same_weights = same_weights or bundle
    if same_weights is not None:
        return same_weights
    where = "among those given" if given else "beside the result, in this folder or among the demo models"
    raise UsageError(
        f"The model of the result (weights {sha256[:12]}…) was not found {where}.",
        "Say where it lies: --model BUNDLE, or --model FOLDER to look for it by content.",
    )


def _bundles_of(given: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    for path in given:
        if path.is_dir() and not (path / CARD_NAME).is_file():
            yield from ((found, False) for found in sorted(path.rglob(f"*{BUNDLE_SUFFIX}")))
        else:
            yield path, True


def _likely_bundles(folders: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    for folder in [*folders, sample_path(BUNDLES[0]).parent]:
        yield from ((found, False) for found in sorted(folder.glob(f"*{BUNDLE_SUFFIX}")))
    yield from ((found, False) for found in Remembered().bundles)


def sha256_of(slide: Path) -> tuple[str, int]:
    """Return the SHA-256 of every byte of a slide, and of how many files.

    A slide of several files (a DICOM folder, a MIRAX file and its folder) has that of its files' own
    SHA-256 in hexadecimal, sorted, a line each: the same whatever the files are called.
    """
    files = [path for path in _parts(slide) if path.is_file()]
    digests = [_digest(path) for path in files]
    if len(digests) == 1:
        return digests[0], 1
    return hashlib.sha256("".join(f"{own}\n" for own in sorted(digests)).encode()).hexdigest(), len(digests)


def _parts(slide: Path) -> Iterator[Path]:
    if slide.is_dir():
        yield from slide.rglob("*")
        return
    yield slide
    beside = slide.with_suffix("")
    if slide.suffix.lower() == ".mrxs" and beside.is_dir():
        yield from beside.rglob("*")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
