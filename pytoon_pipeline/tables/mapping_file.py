"""Mapping files: how the columns of another program's table become the fields of a brief."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pytoon_pipeline.briefs.reading import could_not_read, read_document
from pytoon_pipeline.briefs.scalars import AsWrittenText
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.tables.offers import (
    OfferColumnNames,
)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) or value is None else value


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


_Text = Annotated[str, BeforeValidator(_as_text)]
_Texts = Annotated[list[_Text], BeforeValidator(_as_list)]
_Templates = Annotated[list[_Text], BeforeValidator(lambda v: [] if v is None else _as_list(v))]
_Names = Annotated[
    list[_Text] | None, BeforeValidator(lambda v: None if v is None else _as_list(v))
]


class MappingFile(BaseModel):
    """`<table>.mapping.yaml`, or `mapping.yaml` for all tables of a folder."""

    model_config = ConfigDict(extra="forbid")

    use: str | None = Field(None, description="A mapping of presets/mappings to start from.")
    match: list[str] = Field(
        default_factory=list, description="Columns that a table must have to be taken by itself."
    )
    aliases: dict[str, _Texts] = Field(
        default_factory=dict,
        description="Column -> other names that it has; each stands for all of them.",
    )
    encoding: str | None = Field(
        None,
        min_length=1,
        max_length=40,
        description="Of a table of text that is not UTF-8: windows-1251, shift-jis, gbk.",
    )
    name: _Names = Field(
        None, description="Column that names a brief, or a template; the first that is filled."
    )
    campaign: str | None = Field(None, description="Column that names its campaign, or a template.")
    group_by: str | None = Field(
        None,
        description="Column whose rows of one value are one brief; capitals and blanks "
        "make no difference.",
    )
    order_by: str | None = Field(
        None, description="Column of numbers that the media of a group are ordered by."
    )
    line_break: str | None = Field(
        None, min_length=1, description="What stands for a line break in texts."
    )
    separator: str | None = Field(
        None, min_length=1, description="Between several values in a cell of a list."
    )
    fields: dict[str, _Templates] = Field(
        default_factory=dict,
        description="Field -> template. Of several for one line the first that is filled counts; "
        "lists take all of them.",
    )
    defaults: Annotated[dict[str, Any], AsWrittenText] = Field(
        default_factory=dict, description="What a brief says where the table says nothing."
    )
    skip: dict[str, _Texts] = Field(
        default_factory=dict, description="Column -> values; rows that hold one are passed over."
    )
    prices: OfferColumnNames = Field(
        default_factory=OfferColumnNames,
        description="Columns of prices and of a sale's dates, and the currency of those without.",
    )


def mapping_path(table: Path) -> Path | None:
    """Return the path of the mapping that lies beside a table, None where there is none."""
    for name in (f"{table.stem}.mapping", "mapping"):
        for suffix in (".yaml", ".yml"):
            path = table.with_name(name + suffix)
            if path.is_file():
                return path
    return None


def built_in_mappings() -> dict[str, Path]:
    """Return the mappings of all presets folders, name -> path. A mapping of the user's own
    replaces one of the same name that Pytoon brings with it."""
    found: dict[str, Path] = {}
    for folder in load_settings().presets_dirs:
        for path in sorted((folder / "mappings").glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def read_mapping(beside: Path | None) -> tuple[MappingFile | None, list[Problem]]:
    """Read the mapping file beside a table. Returns None where there is none or where it can't be
    read, and its problems."""
    return _read_mapping(beside, beside.name) if beside is not None else (None, [])


@lru_cache(maxsize=64)
def _read_once(
    path: Path, shown: str, _mtime_ns: int
) -> tuple[MappingFile | None, tuple[Problem, ...]]:
    mapping, problems = _read_mapping(path, shown)
    return mapping, tuple(problems)


def read_built_in(path: Path) -> tuple[MappingFile | None, list[Problem]]:
    """Read a mapping of `built_in_mappings`; again only when its file has changed."""
    shown = f"presets/mappings/{path.name}"
    mapping, problems = _read_once(path, shown, path.stat().st_mtime_ns)
    if could_not_read(problems):
        _read_once.cache_clear()
    return mapping, list(problems)


def _read_mapping(path: Path, shown: str) -> tuple[MappingFile | None, list[Problem]]:
    data, unclear = read_document(path, shown, MappingFile)
    if data is None:
        return None, unclear
    mapping, problems = validate_data(MappingFile, data, shown)
    return mapping, [p for p in unclear if p.severity == "error"] + problems


def merge_base(own: MappingFile, shown: str) -> tuple[MappingFile | None, list[Problem]]:
    """Return a mapping together with the built-in one that it starts from (`use`), and the problems
    of both; None where that one is not known or has problems."""
    if own.use is None:
        return own, []
    known = built_in_mappings()
    if own.use not in known:
        return None, [
            Problem(
                "mapping.use",
                f"{own.use!r} is no mapping of presets/mappings.",
                f"There are {', '.join(known)}.",
                file=shown,
                field="use",
            )
        ]
    base, problems = read_built_in(known[own.use])
    if base is None or problems:
        return None, problems
    said = own.model_dump(exclude_unset=True)
    if own.prices.model_fields_set:
        said["prices"] = {**base.prices.model_dump(exclude_unset=True), **said.get("prices", {})}
    for part in ("fields", "defaults", "skip", "aliases"):
        said[part] = {**getattr(base, part), **getattr(own, part)}
    return MappingFile.model_validate({**base.model_dump(exclude_unset=True), **said}), []
