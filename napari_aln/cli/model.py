"""``napari-aln model``: look into bundles, check them, import reference checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from napari_aln.cli import output
from napari_aln.cli.output import AsJson

if TYPE_CHECKING:
    from napari_aln.mil.bundle import Bundle
    from napari_aln.nuclei.bundle import NucleusBundle

app = typer.Typer(help="Model bundles.", no_args_is_help=True)

_EMPTY: tuple[object, ...] = (None, "", [], {})

BundlePath = Annotated[Path, typer.Argument(help="A bundle: an .alnmodel file or its folder.")]


@app.command()
def show(bundle: BundlePath, *, as_json: AsJson = False) -> None:
    """Show a bundle's card: what it was trained on, for what, and how well it did."""
    card = _opened(bundle).card
    if as_json:
        output.print_json(card.model_dump(mode="json"))
        return
    table = Table(title=escape(card.name), title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in card.model_dump(mode="json").items():
        if name != "name" and value not in _EMPTY:
            table.add_row(name, _readable(value))
    output.show(table)
    output.show(card.notice)


def _opened(path: Path) -> Bundle | NucleusBundle:
    """Open a bundle that predicts, or one that finds nuclei."""
    from napari_aln.mil.bundle import open_bundle
    from napari_aln.nuclei.bundle import holds_nucleus_model, open_nucleus_bundle

    return open_nucleus_bundle(path) if holds_nucleus_model(path) else open_bundle(path)


def _readable(value: object) -> str | Table:
    """Return a card's value as text; parts of one kind as rows, with no number in two pieces."""
    if isinstance(value, dict):
        part = Table.grid(padding=(0, 1))
        part.add_column()
        part.add_column(overflow="fold")
        for name, inner in value.items():
            if inner not in _EMPTY:
                part.add_row(escape(name), _readable(inner))
        return part
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        part = Table.grid(padding=(0, 1))
        for name in value[0]:
            in_numbers = not any(isinstance(row[name], str) for row in value)
            part.add_column(overflow="ellipsis" if in_numbers else "fold", no_wrap=in_numbers)
        part.add_row(*(name.replace("_", "\n") for name in value[0]), style="dim")
        for row in value:
            part.add_row(*(_readable(inner) if inner is not None else "" for inner in row.values()))
        return part
    if isinstance(value, list):
        between = "\n" if value and isinstance(value[0], list) else ", "
        return between.join(str(_readable(item)) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


@app.command()
def verify(bundle: BundlePath, *, as_json: AsJson = False) -> None:
    """Check a bundle whole: hash, card, every tensor, and that its network can be built."""
    checked = _opened(bundle)
    checked.network()
    name, sha256 = checked.card.name, checked.card.weights_sha256
    if as_json:
        output.print_json({"whole": True, "name": name, "sha256": sha256})
        return
    output.show(f"{bundle}: whole. {name}, SHA-256 {sha256}")


@app.command("import-balnmp")
def import_balnmp(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the reference implementation (.pth).")],
    encoder: Annotated[str, typer.Option(help="Its encoder, for example vgg16_bn.")],
    mode: Annotated[
        Literal["dlcnb", "dlcnbc"], typer.Option(help="dlcnb: image only; dlcnbc: with clinical values.")
    ],
    mpp: Annotated[float, typer.Option(help="µm/px of the patches it was trained on.")],
    out: Annotated[Path, typer.Option(help="The bundle to write, for example model.alnmodel.")],
    clinical_stats: Annotated[
        Path | None,
        typer.Option(
            help='JSON {"age": {"mean", "std"}, "tumor_size": {"mean", "std"}} of its training cohort.'
        ),
    ] = None,
    norm_statistics: Annotated[
        Literal["running", "bag"],
        typer.Option(
            help="running: ordinary evaluation. bag: BatchNorm as the reference scores (no cache, no maps)."
        ),
    ] = "running",
) -> None:
    """Turn a reference checkpoint into a bundle. It is read as plain weights; nothing in it can run."""
    from napari_aln.mil.balnmp import import_balnmp as import_checkpoint

    bundle = import_checkpoint(
        checkpoint, encoder, mode, mpp, out, clinical_stats=clinical_stats, norm_statistics=norm_statistics
    )
    output.wrote(out, f"Wrote {out}: {bundle.card.name}, SHA-256 {bundle.sha256}")
