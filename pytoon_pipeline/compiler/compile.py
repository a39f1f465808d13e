"""The compiler: a file -> a complete RenderSpec, or all of its problems at once."""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.briefs.source import SourceDocument
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.compiler.draft import CompileContext, PlanDraft
from pytoon_pipeline.compiler.passes import PASSES
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.plan.complete import Plan, complete_plan
from pytoon_pipeline.plan.model import Constraints, RenderSpec
from pytoon_pipeline.plan.segment import Segment


@dataclass(frozen=True)
class CompiledPlan:
    """What came out of a file."""

    plan: Plan | None
    """None when there are errors."""
    problems: list[Problem]
    """Errors, warnings and infos, errors first."""
    files: dict[str, Path]
    """Asset id -> the local file that was examined: a copy below the workshop's `scratch`, or the
    store's own file; without a `scratch` the file itself."""


def compile_file(
    path: Path,
    folder: Path,
    kind: str,
    shown: str,
    shop: CompileContext,
    document: SourceDocument | None = None,
) -> CompiledPlan:
    """Compile a brief (`kind` brief) or a hand-written or finished RenderSpec (`kind` spec).

    `folder` is what media paths are relative to; `shown` is the file's name in messages; `document`
    is what is compiled where the file is a whole of several. Faults of the person are in the
    result, never raised.
    """
    if document is None:
        model = Brief if kind == "brief" else RenderSpec
        data, problems = read_document(path, shown, model)
    else:
        data, problems = copy.deepcopy(dict(document.data)), list(document.problems)
    if data is None:
        return CompiledPlan(None, problems, {})
    draft, found = _compile_document(data, folder, kind, shown, shop, document)
    if document is not None:
        # What is wrong with a kit or a preset is no fault of a row.
        found = [document.locate_problem(p) if p.file in (None, shown) else p for p in found]
        # What was found in the row itself says where already.
        problems = [replace(p, file=p.file or shown) for p in problems]
    found = problems + found
    order = {"error": 0, "warning": 1, "info": 2}
    found.sort(key=lambda p: order[p.severity])
    if draft is None or any(p.severity == "error" for p in found):
        return CompiledPlan(None, found, {})
    spec = draft.spec
    spec.metadata = {**spec.metadata, "notes": draft.notes}
    warnings = [p.as_dict() for p in found]
    if warnings:
        spec.metadata["warnings"] = warnings
    return CompiledPlan(complete_plan(spec), found, draft.files)


def _compile_document(
    data: dict,
    folder: Path,
    kind: str,
    shown: str,
    shop: CompileContext,
    document: SourceDocument | None,
) -> tuple[PlanDraft | None, list[Problem]]:
    """The draft with all passes done, None where nothing can be compiled; and all problems."""
    names = document.files if document else {}
    if kind == "brief":
        brief, found = validate_data(Brief, data, shown)
        draft = None if brief is None else _from_brief(brief, folder, shown, shop)
    else:
        spec, found = validate_data(RenderSpec, data, shown)
        draft = (
            None if spec is None else PlanDraft(shown, folder, _copy_for_compilation(spec), shop)
        )
    if draft is None:
        return None, found
    if document is not None and document.until:
        until = dt.datetime.fromisoformat(document.until)
        draft.notes.append(f"What it says of the price holds until {until:%Y-%m-%d %H:%M} UTC.")
    draft.names = names
    draft.problems += found
    # Whatever is wrong with the fields that were taken out, the rest is compiled too, so that a
    # person learns of everything in one go.
    for compile_pass in PASSES:
        try:
            compile_pass(draft)
        except UnreadableMediaError as error:  # A logo or a track that was replaced just now.
            draft.error(error.code, error.message, error.remedy)
            break
    return draft, draft.problems


def _copy_for_compilation(spec: RenderSpec) -> RenderSpec:
    """A spec to work on; what an earlier compilation said of it is said again."""
    metadata = {k: v for k, v in spec.metadata.items() if k not in ("notes", "warnings")}
    return spec.model_copy(deep=True, update={"metadata": metadata})


def _from_brief(brief: Brief, folder: Path, shown: str, shop: CompileContext) -> PlanDraft:
    """A draft with what the brief says of the whole; the passes add the rest."""
    spec = RenderSpec(
        archetype=brief.archetype,
        preset=brief.preset,
        brand=brief.brand,
        brand_safe=brief.brand_safe,
        engine_policy=brief.engine_policy,
        segments=[Segment()],
        constraints=Constraints(
            safe_zone=brief.platform,
            allow_regeneration=brief.allow_regeneration,
            max_engine_seconds=brief.budget.seconds if brief.budget else None,
            max_cost=brief.budget.cost if brief.budget else None,
        ),
        metadata={**brief.metadata, "locale": brief.locale},
    )
    return PlanDraft(shown, folder, spec, shop, brief=brief)
