"""The stage `render_spec`: a source becomes a plan, and its media come into the store."""

from __future__ import annotations

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import BriefError, Problem
from pytoon_pipeline.spec.compile import Compiled, compile_file
from pytoon_pipeline.spec.model import RenderSpec
from pytoon_pipeline.stages.services import Services


def _compile(source: BriefSource, services: Services) -> Compiled:
    return compile_file(
        source.path, source.folder, source.kind, source.shown, services.workshop, source.document
    )


def check_source(
    source: BriefSource, services: Services
) -> tuple[RenderSpec | None, list[Problem]]:
    """The plan, or None, and all that is to be said of it; nothing is stored or raised."""
    compiled = _compile(source, services)
    return compiled.spec, compiled.problems


def compile_source(source: BriefSource, services: Services) -> RenderSpec:
    """The plan, with every file it needs in the store under its hash, so that what is rendered is
    what was checked, whatever becomes of the folder. Raises BriefError with all problems."""
    compiled = _compile(source, services)
    if compiled.spec is None:
        raise BriefError([p for p in compiled.problems if p.severity == "error"])
    for asset in compiled.spec.assets:
        if not services.store.exists(asset.key):
            services.store.put(asset.key, compiled.files[asset.id], once=True)
    return compiled.spec


def spec_json(spec: RenderSpec, *, camel: bool = False) -> str:
    """The plan as people read it and as it is stored."""
    return spec.model_dump_json(indent=2, exclude_none=True, by_alias=camel) + "\n"
