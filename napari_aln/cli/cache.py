"""``napari-aln cache``: what the feature cache holds, and emptying it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from napari_aln.cli import output
from napari_aln.cli.output import AsJson
from napari_aln.cohort.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(help="The feature cache, and the stores of training.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Option("--cache-dir", help="Another cache folder than the user's own.")]


@app.command()
def info(
    cache_dir: Folder = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show where the cache lies, how large it is and when its entries were last used; the stores in sum."""
    from napari_aln.store.features import FeatureCache
    from napari_aln.store.training_features import TrainingStore
    from napari_aln.store.training_patches import PatchStore

    cache, stores = FeatureCache(cache_dir), (TrainingStore(cache_dir), PatchStore(cache_dir))
    entries = cache.entries()
    if as_json:
        told = [
            {
                "folder": str(kept.root),
                "entries": len(kept.entries()),
                "bytes": sum(e[1] for e in kept.entries()),
                "held": [
                    {
                        "entry": held.name,
                        "bytes": size,
                        "last_used_utc": datetime.fromtimestamp(used, UTC).isoformat(),
                    }
                    for held, size, used in kept.entries()
                ],
            }
            for kept in (cache, *stores)
        ]
        output.print_json(told)
        return
    output.show(f"{cache.root}: {counted(len(entries), 'entry', 'entries')}, {_size(entries)}")
    for folder, size, used in entries:
        output.show(
            f"  {folder.name}  {decimal(size):>9}  last used {datetime.fromtimestamp(used):%Y-%m-%d %H:%M}"
        )
    for store in stores:
        kept = store.entries()
        output.show(f"{store.root}: {counted(len(kept), 'slide')}, {_size(kept)}")


def _size(entries: Sequence[tuple[Path, int, float]]) -> str:
    return decimal(sum(size for _, size, _ in entries))


@app.command()
def clear(
    cache_dir: Folder = None,
    training: Annotated[
        bool, typer.Option("--training", help="Also what trainings keep of slides: features and patches.")
    ] = False,
) -> None:
    """Delete all cached features. Results are not touched; the next run reads the slides again."""
    from napari_aln.store.features import FeatureCache
    from napari_aln.store.training_features import TrainingStore
    from napari_aln.store.training_patches import PatchStore

    stores = [FeatureCache(cache_dir)]
    if training:
        stores += [TrainingStore(cache_dir), PatchStore(cache_dir)]
    freed = sum(store.clear() for store in stores)
    output.remark(f"Freed {decimal(freed)}.")
