"""What a work list is made of: slides, patients, calls and what models said."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, get_args

from pydantic import TypeAdapter

from napari_aln.errors import WorkListError
from napari_aln.records import Clinical, Mode
from napari_aln.store.json_document import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_aln.records import RunRecord

_Given = ParamSpec("_Given")
_Read = TypeVar("_Read")

State = Literal["new", "open", "read", "failed"]

Limits = tuple[float, float]
"""Values at both ends of a map's colours."""

Model = tuple[str, str, str]
"""What tells models apart: mode, hash of the weights and of the card."""


@dataclass(frozen=True)
class NewSlide:
    """A slide to add."""

    path: Path
    patient_id: str | None = None
    roi: Path | None = None
    quick_hash: str | None = None  # where it is known already


@dataclass(frozen=True)
class Patient:
    """What a cohort table says of a patient."""

    patient_id: str
    clinical: Clinical = Clinical()  # noqa: RUF009 - frozen
    reference: str | None = None  # the class by the reference standard; handed out as model numbers are


@dataclass(frozen=True)
class WorkItem:
    """A slide of the list. Holds nothing of what a model said."""

    item_id: int
    path: Path
    quick_hash: str | None  # None while nobody could open it
    patient_id: str | None  # None: the slide stands for a patient of its own
    roi: Path | None
    state: State
    failure: str | None  # why it could not be opened or scored
    next_step: str | None
    opened_at: datetime | None
    read_at: datetime | None


def patients_by_number(items: Iterable[WorkItem]) -> dict[str, str]:
    """Return patient id -> what patients of a list are called where names are hidden: by their order."""
    ids = dict.fromkeys(item.patient_id for item in items if item.patient_id)
    return {patient_id: f"Patient {number}" for number, patient_id in enumerate(ids, start=1)}


@dataclass(frozen=True)
class Call:
    """A reader's own call on a slide. Calls are added, never overwritten."""

    item_id: int
    reader_id: str
    aln_class: str
    confidence: float | None  # 0..1: how sure the reader is of this class
    comment: str
    made_at: datetime
    model_seen_at: datetime | None  # when the reader first had model numbers of the patient; None: blind


@dataclass(frozen=True)
class RunSummary:
    """What a model said of a slide, and where the whole result lies."""

    run: str
    mode: Mode
    model_name: str
    model_sha256: str
    card_sha256: str
    classes: tuple[str, ...]
    probabilities: dict[str, float]
    bag_spread: dict[str, float]
    prediction: str
    threshold: float | None
    operating_point: str
    seed: int
    map_limits: dict[str, Limits] = field(default_factory=dict)  # map -> the colour scale of this slide alone
    folder: Path | None = None  # the result folder, with result.json
    recorded_at: datetime | None = None

    @classmethod
    def of(cls, record: RunRecord, map_limits: Mapping[str, Limits] | None = None) -> Self:
        """Take the summary from a run."""
        elsewhere = ("map_limits", "folder", "recorded_at")
        own = [name for name in cls.__dataclass_fields__ if name not in elsewhere]
        return cls(**{name: getattr(record, name) for name in own}, map_limits=dict(map_limits or {}))

    @property
    def model(self) -> Model:
        """What tells models apart: mode, weights and card."""
        return self.mode, self.model_sha256, self.card_sha256


def check_call(classes: Sequence[str], reader_id: str, aln_class: str, confidence: float | None) -> None:
    """Refuse a call without a reader, of a class that is none of the list's, or of impossible confidence."""
    if not reader_id.strip():
        raise WorkListError("The call names no reader.", "Give the reader's initials or number.")
    if aln_class not in classes:
        raise WorkListError(f"{aln_class!r} is no class of this list.", f"Call one of {', '.join(classes)}.")
    if confidence is not None and not 0.0 <= confidence <= 1.0:
        raise WorkListError(f"The confidence {confidence} is not in 0 to 1.", "Give a share of 1.")


_RUN = TypeAdapter(RunSummary)
_CLASSES = TypeAdapter(tuple[str, ...])
_CLINICAL = TypeAdapter(Clinical)


def _understood(read: Callable[_Given, _Read]) -> Callable[_Given, _Read]:
    """Make a reader of rows say that they are damaged, where another program changed them."""

    @functools.wraps(read)
    def checked(*args: _Given.args, **kwargs: _Given.kwargs) -> _Read:
        try:
            return read(*args, **kwargs)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            what = " ".join(str(error).split())[:120]
            raise WorkListError(
                f"The work list holds an entry that makes no sense ({what}).",
                "Another program changed it: go back to the copy beside it, whose name ends in .backup.",
            ) from error

    return checked


@_understood
def item_of(row: tuple[Any, ...], home: Path) -> WorkItem:
    """Read a slide from its row; paths are relative to the list's folder, or absolute."""
    item_id, path, quick_hash, patient, roi, state, failure, next_step, opened, read = row
    if state not in get_args(State):
        raise ValueError(f"the state {state!r}")
    places = home / path, quick_hash, patient, home / roi if roi else None
    return WorkItem(item_id, *places, state, failure, next_step, maybe_time_of(opened), maybe_time_of(read))


@_understood
def call_of(row: tuple[Any, ...]) -> Call:
    """Read a call from its row."""
    item_id, reader_id, aln_class, confidence, comment, made_at, seen_at = row
    times = time_of(made_at), maybe_time_of(seen_at)
    return Call(item_id, reader_id, aln_class, confidence, comment, *times)


@_understood
def run_of(row: tuple[Any, ...], home: Path) -> RunSummary:
    """Read what a model said from its row."""
    folder, recorded_at, summary = row
    run = _RUN.validate_python(parse_json(summary))
    return replace(run, folder=home / folder if folder else None, recorded_at=time_of(recorded_at))


@_understood
def classes_of(text: str) -> tuple[str, ...]:
    """Read what a reader may call."""
    return _CLASSES.validate_python(parse_json(text))


@_understood
def clinical_of(text: str) -> Clinical:
    """Read a patient's clinical values."""
    return _CLINICAL.validate_python(parse_json(text))


@_understood
def time_of(stamp: str) -> datetime:
    """Read a time stamp of the file."""
    return datetime.fromisoformat(stamp)


def maybe_time_of(stamp: str | None) -> datetime | None:
    """Read a time stamp that may be missing."""
    return None if stamp is None else time_of(stamp)
