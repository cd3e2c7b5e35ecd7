"""Flags made from settings models."""

import re

import pytest
import typer
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typer.testing import CliRunner

from napari_aln.cli.app import app as program
from napari_aln.cli.flags import chosen, takes
from napari_aln.errors import UsageError


class Inner(BaseModel):
    depth: int = 1


class Knobs(BaseModel):
    level: int = Field(3, description="How loud.", json_schema_extra={"unit": "dB"}, le=10)
    share: float | None = Field(None, description="Of all.", gt=0.0, lt=1.0)
    span: tuple[int, int] = Field((1, 4), description="From, to.")
    kinds: list[str] = Field(["soft", "dry"], description="Of sound.")
    dry: bool = Field(False, description="No water.")
    echo: bool = Field(True, description="From the walls.")
    inner: Inner = Inner()


@pytest.fixture
def app():
    app = typer.Typer()
    seen = []

    @app.command()
    @takes({"dry": "--no-water"}, knobs=Knobs)
    def play(song: str, *, knobs: Knobs) -> None:
        seen.append((song, knobs))

    app.seen = seen
    return app


def test_each_plain_field_is_a_flag_with_help_unit_and_default(app):
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "How loud. In dB. At most 10. Default: 3." in text
    assert "Of all. More than 0, less than 1." in text
    assert "--no-water" in text
    assert "--inner" not in text


def test_several_values_stand_in_the_help_as_they_are_typed(app):
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "From, to. Default: 1 4." in text
    assert "Of sound. Default: soft, dry." in text
    kinds_of = dict(re.findall(r"(--[\w-]+) +(<\S+(?: <\w+>)*)", text))
    assert (kinds_of["--span"], kinds_of["--kinds"]) == ("<int> <int>", "<str>")
    assert CliRunner().invoke(app, ["fado", "--span", "2", "3", "--kinds", "dry"]).exit_code == 0
    assert (app.seen[0][1].span, app.seen[0][1].kinds) == ((2, 3), ["dry"])


def test_values_that_do_not_go_together_are_told_by_their_flags():
    class Range(BaseModel):
        low_um: float = 1.0
        high_um: float = 2.0

        @model_validator(mode="after")
        def _ordered(self):
            if self.low_um > self.high_um:
                raise ValueError("low_um is above high_um.")
            return self

    with pytest.raises(UsageError) as caught:
        chosen(Range, {"low_um": 3.0}, {"high_um": "--most-um"})
    assert caught.value.fact == "--low-um is above --most-um."


def test_a_flag_of_two_models_has_the_default_of_each():
    class Soft(Knobs):
        model_config = ConfigDict(title="--soft")
        level: int = Field(1, description="How loud.")

    class Loud(Knobs):
        model_config = ConfigDict(title="--loud")

    app, seen = typer.Typer(), []

    @app.command()
    @takes(loud=Loud, soft=Soft)
    def play(*, loud: Loud, soft: Soft) -> None:
        seen.append((loud.level, soft.level))

    runner = CliRunner()
    text = " ".join(runner.invoke(app, ["--help"], env={"COLUMNS": "200"}).output.split())
    assert "How loud. Default: 3 (--loud), 1 (--soft)." in text
    assert "Default: False" not in text
    runner.invoke(app, [])
    runner.invoke(app, ["--level", "5"])
    assert seen == [(3, 1), (5, 5)]


def test_what_is_not_given_stays_unset(app):
    runner = CliRunner()
    assert runner.invoke(app, ["fado", "--no-water"]).exit_code == 0
    ((song, knobs),) = app.seen
    assert (song, knobs.level, knobs.dry) == ("fado", 3, True)
    assert knobs.model_fields_set == {"dry"}


@pytest.mark.parametrize(("given", "echo"), [("", True), ("--echo on", True), ("--echo off", False)])
def test_what_is_on_by_default_is_turned_off_by_name(app, given, echo):
    runner = CliRunner()
    assert "From the walls. Default: on." in runner.invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert runner.invoke(app, ["fado", *given.split()]).exit_code == 0
    assert app.seen[0][1].echo is echo


def test_what_is_neither_on_nor_off_is_refused(app):
    assert CliRunner().invoke(app, ["fado", "--echo", "loud"]).exit_code == 2


def test_bounds_of_the_model_hold(app):
    outcome = CliRunner().invoke(app, ["fado", "--level", "11"])
    assert isinstance(outcome.exception, UsageError)
    assert "--level 11" in outcome.exception.fact


def every_command(command=None, words=()):
    command = command or typer.main.get_command(program)
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from every_command(child, (*words, name))


@pytest.mark.parametrize("command", list(every_command()), ids=" ".join)
def test_a_terminal_of_80_columns_cuts_no_name_off(command):
    text = CliRunner().invoke(program, [*command, "--help"], env={"COLUMNS": "80"}).output
    assert "Usage" in text
    assert "…" not in text
