"""Command-line flags from the settings models: title, help, unit and bounds stand there, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

import typer
from pydantic import BaseModel, ValidationError

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from typer.models import OptionInfo

Model = TypeVar("Model", bound=BaseModel)


def flag(settings: type[BaseModel], name: str, *declarations: str) -> OptionInfo:
    """Return the option of one setting. Its default is None: not given, so that the settings' own holds."""
    field = settings.model_fields[name]
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else ""
    choices = [str(c) for c in get_args(field.annotation) if isinstance(c, str)]
    notes = [
        f"One of: {', '.join(choices)}." if choices else "",
        f"In {unit}." if unit else "",
        f"Default: {field.default}." if field.default is not None else "",
    ]
    text = " ".join([field.description or "", *(note for note in notes if note)])
    option: OptionInfo = typer.Option(*(declarations or (f"--{name.replace('_', '-')}",)), help=text)
    return option


def chosen(settings: type[Model], **values: Any) -> Model:  # noqa: ANN401
    """Build settings from the flags that were given.

    Raises
    ------
    UsageError
        A value is out of bounds.
    """
    try:
        return settings(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise UsageError(
            f"--{name} {first.get('input')}: {first['msg']}.", "See --help for what it may be."
        ) from error
