"""A grid of trainings, as a TOML file says it: encoders x augmentations x modes x seeds."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_aln.errors import UsageError
from napari_aln.evaluation.cases import file_stem
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX
from napari_aln.records import Mode
from napari_aln.settings.training import Augmentation, FinetuneSettings, RecipeSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

Trainer = Literal["frozen", "finetune"]

_RECIPES: dict[Trainer, type[RecipeSettings]] = {"frozen": RecipeSettings, "finetune": FinetuneSettings}
_BY_COMBINATION = {
    "encoder": "encoders",
    "augmentation": "augmentations",
    "seed": "seeds",
    "name": "nothing: models are named by what they are",
    "encoder_from": "[weights]",
    "encoder_weights": "[weights]",
    "gpus": "nothing: each training has a GPU of its own",
}
"""Fields of a recipe that differ from training to training, and where the file says them."""


class Grid(BaseModel):
    """What a grid's file holds.

    Attributes
    ----------
    trainer
        ``frozen``: heads on pooled features. ``finetune``: end to end.
    modes, encoders, augmentations, seeds
        Each is combined with each.
    recipe
        Fields of the recipe that all trainings share.
    weights
        Encoder -> its weights: a safetensors file, or a bundle. Relative to the grid's file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer: Trainer = "frozen"
    modes: tuple[Mode, ...] = Field(min_length=1)
    encoders: tuple[str, ...] = Field(min_length=1)
    augmentations: tuple[Augmentation, ...] = Field(default=("none",), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    recipe: dict[str, Any] = {}
    weights: dict[str, Path] = {}


@dataclass(frozen=True)
class Combination:
    """One training of a grid."""

    trainer: Trainer
    mode: Mode
    augmentation: str
    recipe: RecipeSettings

    @property
    def name(self) -> str:
        """Return what it is called: mode, encoder, augmentation and seed."""
        return f"{self.mode} {self.recipe.encoder} {self.augmentation} seed {self.recipe.seed}"

    @property
    def stem(self) -> str:
        """Return the stem of its files."""
        return file_stem(self.name)

    @property
    def configuration(self) -> dict[str, str]:
        """Return all that its figures depend on, besides the cohort, as text."""
        others = {"restart", "name", "threads", "device", "workers", "download"}
        fields = self.recipe.model_dump(mode="json", exclude=others)
        return {"trainer": self.trainer, "mode": self.mode} | {key: str(own) for key, own in fields.items()}


def read_grid(path: Path) -> Grid:
    """Read a grid; paths of weights come back relative to where the program runs.

    Raises
    ------
    UsageError
        The file cannot be read, is no TOML, or holds what no grid can be.
    """
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
        grid = Grid.model_validate(raw)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path} cannot be read: {reason}.", "Name a grid's file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}.", "Correct it.") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {_first(error)}.", "See the README for what a grid may say.") from error
    placed = {name: path.parent / file for name, file in grid.weights.items()}
    return grid.model_copy(update={"weights": placed})


def combinations(grid: Grid, given: Mapping[str, Any] | None = None) -> list[Combination]:
    """Return the trainings of a grid: modes first, then encoders, augmentations and seeds.

    Parameters
    ----------
    grid
        See `Grid`.
    given
        Fields of the recipe that win over the file's.

    Raises
    ------
    UsageError
        A field of the recipe is unknown, out of bounds, or one that the grid itself says; or frozen features
        shall be augmented.
    """
    shared = {**grid.recipe, **(given or {})}
    for name in shared:
        if name in _BY_COMBINATION:
            raise UsageError(
                f"The recipe of a grid cannot say {name}.", f"Say it by {_BY_COMBINATION[name]} in the file."
            )
    if grid.trainer == "frozen" and grid.augmentations != ("none",):
        raise UsageError(
            "Frozen features cannot be augmented: no pixel is read again.", 'Take trainer = "finetune".'
        )
    unknown = set(grid.weights) - set(grid.encoders)
    if unknown:
        raise UsageError(f"There are weights for {min(unknown)}, no encoder of the grid.", "Name it there.")
    every = itertools.product(grid.modes, grid.encoders, grid.augmentations, grid.seeds)
    found = [
        Combination(grid.trainer, mode, augmentation, _recipe(grid, encoder, augmentation, seed, shared))
        for mode, encoder, augmentation, seed in every
    ]
    stems = [one.stem for one in found]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice:
        raise UsageError(f"The grid names {twice} twice.", "Name everything once.")
    return found


def _recipe(
    grid: Grid, encoder: str, augmentation: str, seed: int, shared: Mapping[str, Any]
) -> RecipeSettings:
    fields = {**shared, "encoder": encoder, "seed": seed}
    if grid.trainer == "finetune":
        fields["augmentation"] = augmentation
    weights = grid.weights.get(encoder)
    if weights is not None:
        fields["encoder_from" if weights.suffix == BUNDLE_SUFFIX else "encoder_weights"] = weights
        fields["download"] = False
    try:
        return _RECIPES[grid.trainer](**fields)
    except ValidationError as error:
        raise UsageError(f"The recipe of the grid: {_first(error)}.", "Correct it.") from error


def _first(error: ValidationError) -> str:
    """Return the first thing that is wrong, with the field's name."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    known = f" ({', '.join(get_args(Mode))})" if where.startswith("modes") else ""
    return f"{where}: {first['msg']}{known}"
