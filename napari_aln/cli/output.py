"""What a command says and where: ``--json`` and ``--quiet``, one way for all commands.

Results go to stdout; progress, warnings and errors go to stderr.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_aln.evaluation.tables import finite

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from napari_aln.evaluation.tables import PaperTable

AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document and nothing else; numbers unrounded, null where unknown."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress and no remarks: what writes files prints their place alone, what only looks prints "
        "what it found. Warnings and errors still go to stderr.",
    ),
]


class _Speech:
    quiet = False


def start(*, quiet: bool) -> None:
    """Begin a call of the program; what an earlier one of this process asked for no longer holds."""
    _Speech.quiet = quiet


def is_quiet() -> bool:
    """Whether this call asked for ``--quiet``."""
    return _Speech.quiet


def with_quiet(app: typer.Typer) -> typer.Typer:
    """Let each command of an application, and of those below it, take ``--quiet`` too."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _with_quiet(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_quiet(group.typer_instance)
    return app


def _with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    own = get_type_hints(command, include_extras=True)

    @functools.wraps(command)
    def run(*, quiet: bool, **values: Any) -> None:  # noqa: ANN401
        _Speech.quiet |= quiet
        command(**values)

    parameters = [
        p.replace(annotation=own[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
    ]
    parameters.append(
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def show(content: RenderableType) -> None:
    """Print what a command found, a table or a line. It is no markup where it is text."""
    if isinstance(content, str):
        Console(soft_wrap=True).print(content, markup=False)
    else:
        Console().print(content)


def remark(content: RenderableType) -> None:
    """Print what is good to know, and need not be."""
    if not _Speech.quiet:
        show(content)


def remark_table(table: PaperTable, without: tuple[str, ...] = ()) -> None:
    """Print a table as the papers have it, without columns whose names end so: terminals are narrow.

    Where lines must wrap, they do between words: a number in two pieces is read as another one.
    """
    places = [place for place, name in enumerate(table.columns) if not name.endswith(without)]
    shown = Table(title=escape(table.title), title_justify="left")
    for place in places:
        shown.add_column(escape(table.columns[place]), overflow="fold")
    for row in table.rows:
        shown.add_row(*(escape(row[place]) for place in places))
    _keep_words_whole(shown, [[name[place] for name in (table.columns, *table.rows)] for place in places])
    remark(shown)


def _keep_words_whole(shown: Table, cells: list[list[str]]) -> None:
    """Set the widths of a table's columns so that the terminal wraps between words, where they fit at all."""
    words = [max(cell_len(word) for cell in column for word in [*cell.split(), ""]) for column in cells]
    wanted = [max(map(cell_len, column)) for column in cells]
    for padding in (1, 0):
        spare = Console().width - sum(words) - len(words) * (2 * padding + 1) - 1
        if spare >= 0:
            share = min(1.0, spare / max(1, sum(wanted) - sum(words)))
            shown.padding = (0, padding)
            for column, word, want in zip(shown.columns, words, wanted, strict=True):
                column.width = word + int(share * (want - word))
            return


def wrote(place: Path, said: str) -> None:
    """Say what was written: in a sentence, or for ``--quiet`` by its path alone, as it is."""
    if _Speech.quiet:
        typer.echo(os.fsencode(place) if os.name == "posix" else str(place))
    else:
        show(said)


def warn(sentence: str, label: str = "Warning:") -> None:
    """Print on stderr what changes what a result means."""
    before = f"[yellow]{label}[/] " if label else ""
    Console(stderr=True, soft_wrap=True).print(f"{before}{escape(sentence)}", highlight=False)


def print_json(document: object) -> None:
    """Print the one document of ``--json``.

    It is ASCII: what a file's name or text may hold to harm a terminal, or what a terminal's encoding lacks,
    stands there as an escape.
    """
    text = json.dumps(_plain(document), indent=1, allow_nan=False)
    typer.echo(text.replace("\x7f", "\\u007f"))


def _plain(value: object) -> object:
    """Return what JSON can say of a value: numbers that are none become null, paths text."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return finite(value)
    return str(value) if isinstance(value, Path) else value
