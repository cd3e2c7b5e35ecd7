"""How settings are described."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def setting(default: Any, title: str, help_text: str, unit: str = "", **bounds: Any) -> Any:  # noqa: ANN401
    """Describe one setting; `bounds` are pydantic's ge, gt, le, lt."""
    return Field(default, title=title, description=help_text, json_schema_extra={"unit": unit}, **bounds)


class Settings(BaseModel):
    """Never changed once made; an unknown setting is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
