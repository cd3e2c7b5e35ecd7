"""``napari-aln cache``: what the feature cache holds, and emptying it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The feature cache.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Option("--cache-dir", help="Another cache folder than the user's own.")]


@app.command()
def info(cache_dir: Folder = None) -> None:
    """Show where the cache lies, how large it is and when its entries were last used."""
    from napari_aln.store.features import FeatureCache

    cache = FeatureCache(cache_dir)
    entries = cache.entries()
    console = Console(soft_wrap=True)
    console.print(f"{cache.root}: {len(entries)} entries, {sum(e[1] for e in entries) / 1e6:.1f} MB")
    for folder, size, used in entries:
        console.print(
            f"  {folder.name}  {size / 1e6:8.1f} MB  last used {datetime.fromtimestamp(used):%Y-%m-%d %H:%M}"
        )


@app.command()
def clear(cache_dir: Folder = None) -> None:
    """Delete all cached features. Results are not touched; the next run reads the slides again."""
    from napari_aln.store.features import FeatureCache

    freed = FeatureCache(cache_dir).clear()
    Console().print(f"Freed {freed / 1e6:.1f} MB.")
