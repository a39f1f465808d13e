"""The compiler: a file -> a complete RenderSpec, or all of its problems at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.spec.draft import Draft, Workshop
from pytoon_pipeline.spec.model import Constraints, RenderSpec, Segment
from pytoon_pipeline.spec.passes import PASSES
from pytoon_pipeline.spec.reading import read_document, validate


@dataclass(frozen=True)
class Compiled:
    """What came out of a file."""

    spec: RenderSpec | None
    """None when there are errors."""
    problems: list[Problem]
    """Errors, warnings and infos, errors first."""
    files: dict[str, Path]
    """Asset id -> the local file it was read from."""


def compile_file(path: Path, folder: Path, kind: str, shown: str, shop: Workshop) -> Compiled:
    """Compile a brief (`kind` brief) or a hand-written or finished RenderSpec (`kind` spec).

    `folder` is what media paths are relative to; `shown` is the file's name in messages. Faults of
    the person are in the result, never raised.
    """
    data, problems = read_document(path, shown)
    if data is None:
        return Compiled(None, problems, {})
    if kind == "brief":
        brief, found = validate(Brief, data, shown)
        draft = None if brief is None else _from_brief(brief, folder, shown, shop)
    else:
        spec, found = validate(RenderSpec, data, shown)
        draft = None if spec is None else Draft(shown, folder, _fresh(spec), shop)
    problems += found
    if draft is None:
        return Compiled(None, problems, {})
    draft.problems += problems
    # Whatever is wrong with the fields that were taken out, the rest is compiled too, so that a
    # person learns of everything in one go.
    for compile_pass in PASSES:
        compile_pass(draft)
    order = {"error": 0, "warning": 1, "info": 2}
    found = sorted(draft.problems, key=lambda p: order[p.severity])
    if draft.broken:
        return Compiled(None, found, {})
    spec = draft.spec
    spec.metadata = {**spec.metadata, "notes": draft.notes}
    warnings = [p.as_dict() for p in found]
    if warnings:
        spec.metadata["warnings"] = warnings
    return Compiled(RenderSpec.model_validate(spec.model_dump()), found, draft.files)


def _fresh(spec: RenderSpec) -> RenderSpec:
    """A spec to work on; what an earlier compilation said of it is said anew."""
    metadata = {k: v for k, v in spec.metadata.items() if k not in ("notes", "warnings")}
    return spec.model_copy(deep=True, update={"metadata": metadata})


def _from_brief(brief: Brief, folder: Path, shown: str, shop: Workshop) -> Draft:
    """A draft with what the brief says of the whole; the passes add the rest."""
    spec = RenderSpec(
        archetype=brief.archetype,
        preset=brief.preset,
        brand=brief.brand,
        brand_safe=brief.brand_safe,
        engine_policy=brief.engine_policy,
        segments=[Segment()],
        constraints=Constraints(
            safe_zone=brief.platform, allow_regeneration=brief.allow_regeneration
        ),
        metadata={**brief.metadata, "locale": brief.locale},
    )
    return Draft(shown, folder, spec, shop, brief=brief)
