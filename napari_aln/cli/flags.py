"""Command-line flags from the settings models: title, help, unit and bounds stand there, once."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel, ValidationError

from napari_aln.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo
    from typer.models import OptionInfo

Model = TypeVar("Model", bound=BaseModel)


def takes(
    names: dict[str, str] | None = None, /, **settings: type[BaseModel]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each plain field of settings models; it gets the models, filled and checked.

    What is on by default in one of them takes "on" or "off": a second flag beside it, `--no-...`, would have
    a column of its own in the help, which cuts off the names of all others in terminals of 80 columns.

    Parameters
    ----------
    names
        Field to flag declaration, where they shall differ.
    **settings
        Parameter of the command to the model it takes. Fields that are models themselves are left out.

    Raises
    ------
    UsageError
        When the command runs: a value is out of bounds.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        fields: dict[str, list[type[BaseModel]]] = {}
        for model in settings.values():
            for name in _plain_fields(model):
                fields.setdefault(name, []).append(model)
        own = get_type_hints(command, include_extras=True)
        kept = [p for p in inspect.signature(command).parameters.values() if p.name not in settings]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(models, name, (names or {}).get(name)),
            )
            for name, models in fields.items()
        ]

        @functools.wraps(command)
        def run(**values: Any) -> None:  # noqa: ANN401
            given = {name: values.pop(name) for name in fields}
            filled = {key: chosen(model, given, names) for key, model in settings.items()}
            command(**values, **filled)

        parameters = [p.replace(annotation=own[p.name], kind=p.KEYWORD_ONLY) for p in kept] + added
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _plain_fields(model: type[BaseModel]) -> list[str]:
    """Return the fields that a flag can give: all but nested models."""
    return [
        name
        for name, field in model.model_fields.items()
        if not (inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel))
    ]


def _annotation(models: list[type[BaseModel]], name: str, declaration: str | None) -> Any:  # noqa: ANN401
    hint: Any = models[-1].model_fields[name].annotation
    if _is_switch(models, name):
        hint = Literal["on", "off"]  # as pydantic reads them
    return Annotated[hint | None, _option(models, name, declaration or f"--{name.replace('_', '-')}")]


def _is_switch(models: list[type[BaseModel]], name: str) -> bool:
    return any(model.model_fields[name].default is True for model in models)


def _option(models: list[type[BaseModel]], name: str, declaration: str) -> OptionInfo:
    """Return a field's option. It defaults to None, not given, so that each model's own default holds."""
    field = models[-1].model_fields[name]
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else ""
    off = "off" if _is_switch(models, name) else ""
    defaults = {_as_typed(model.model_fields[name].default, off): model for model in models}
    shown = [
        default if len(defaults) == 1 else f"{default} ({model.model_config.get('title')})"
        for default, model in defaults.items()
        if default
    ]
    notes = [
        f"In {unit}." if unit else "",
        _bounds(field),
        f"Default: {', '.join(shown)}." if shown else "",
    ]
    text = " ".join([field.description or "", *(note for note in notes if note)])
    kinds = [f"<{kind.__name__}>" for kind in get_args(field.annotation) if inspect.isclass(kind)]
    metavar = " ".join(kinds) if get_origin(field.annotation) in (list, tuple) else None  # else typer's own
    option: OptionInfo = typer.Option(declaration, help=text, metavar=metavar)
    return option


def _as_typed(default: Any, off: str) -> str:  # noqa: ANN401
    """Return a default as it is typed behind its flag, empty where there is none; `off` stands for False."""
    if isinstance(default, bool):
        return "on" if default else off
    if isinstance(default, (list, tuple)):
        return (" " if isinstance(default, tuple) else ", ").join(map(str, default))
    return "" if default is None else str(default)


def _bounds(field: FieldInfo) -> str:
    """Return between which values a field lies, as a sentence; empty where it has no bounds."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    limits = [
        f"{word} {getattr(limit, key):.10g}"
        for key, word in words.items()
        for limit in field.metadata
        if hasattr(limit, key)
    ]
    return f"{', '.join(limits).capitalize()}." if limits else ""


def chosen(model: type[Model], given: dict[str, Any], names: dict[str, str] | None = None) -> Model:
    """Fill a settings model with those of its fields that were given.

    Raises
    ------
    UsageError
        A value is out of bounds.
    """
    own = {name: value for name, value in given.items() if value is not None and name in model.model_fields}
    try:
        return model(**own)
    except ValidationError as error:
        first = error.errors()[0]
        flags = {
            name: (names or {}).get(name) or f"--{name.replace('_', '-')}" for name in model.model_fields
        }
        if first["loc"]:
            fact = f"{flags.get(str(first['loc'][0]), first['loc'][0])} {first.get('input')}: {first['msg']}"
        else:  # of several flags together
            fact = first["msg"].removeprefix("Value error, ").removesuffix(".")
            fact = re.sub(r"\w+", lambda word: flags.get(word[0], word[0]), fact)
        raise UsageError(f"{fact}.", "See --help for what it may be.") from error
