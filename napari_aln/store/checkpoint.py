"""Checkpoints of a training: one file that is whole or not there, and knows what it belongs to."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from napari_aln.errors import StoreError
from napari_aln.store.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1


def save_checkpoint(path: Path, configuration: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Write a checkpoint in one move; an earlier one stays until the new one is whole.

    Parameters
    ----------
    path
        The file.
    configuration
        Everything the training depends on, by name, as text.
    state
        Tensors, numbers, text, and lists and dicts of them.

    Raises
    ------
    StoreError
        The disk is full or may not be written; the earlier checkpoint is still there.
    """
    import torch

    content = io.BytesIO()  # torch itself answers a full disk with a RuntimeError that does not say so
    torch.save({"format": FORMAT, "configuration": dict(configuration), "state": dict(state)}, content)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path, configuration: Mapping[str, str]) -> dict[str, Any] | None:
    """Return a checkpoint's state, or None where there is none.

    Raises
    ------
    StoreError
        It is damaged, or belongs to a training of another configuration; says in what they differ.
    """
    import torch

    if not path.exists():
        return None
    again = "Begin anew with --restart, or name another --out."
    try:
        found = torch.load(path, weights_only=True)  # runs no code from the file
        known, state = found["configuration"], found["state"]
        if found["format"] != FORMAT:
            raise KeyError("format")
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise StoreError(f"The checkpoint {path} cannot be read: it is damaged or foreign.", again) from error
    differing = [
        f"{name} is {configuration.get(name, 'not set')} and was {known.get(name, 'not set')}"
        for name in dict.fromkeys([*configuration, *known])
        if configuration.get(name) != known.get(name)
    ]
    if differing:
        raise StoreError(
            f"The checkpoint {path} is of another training: {'; '.join(differing[:3])}"
            f"{f'; and {len(differing) - 3} more' if len(differing) > 3 else ''}.",
            again,
        )
    return dict(state)
