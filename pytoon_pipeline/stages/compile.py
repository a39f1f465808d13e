"""The stage `render_spec`: a source becomes a plan, and its media come into the store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pytoon_pipeline.briefs.parcel import unpack
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import BriefError, Problem, StoreError
from pytoon_pipeline.scratch import working_folder
from pytoon_pipeline.spec.compile import Compiled, compile_file
from pytoon_pipeline.spec.model import RenderSpec
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.store.seen import still


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
    return _stored(_compile(source, services), services)


def compile_parcel(
    key: str, contents: str, services: Services, place: Path | None = None
) -> RenderSpec:
    """The same, on any machine, of a brief that was packed with these contents. `place` is the
    folder that it was packed from, for messages. Raises StoreError, too."""
    scratch = services.settings.scratch
    with ExitStack() as kept:
        try:
            folder = kept.enter_context(working_folder(scratch, "brief-"))
        except OSError as error:
            raise StoreError(f"{scratch} can't be written to: {error.strerror}.") from error
        source, roots = unpack(key, contents, services.store, folder)
        shop = replace(services.workshop, media_roots=roots)
        compiled = compile_file(
            source.path, source.folder, source.kind, source.shown, shop, source.document
        )
        here, there = str(source.folder), str(place or source.key)
        problems = [_moved(p, here, there) for p in compiled.problems]
        return _stored(replace(compiled, problems=problems), services)


def _moved(problem: Problem, here: str, there: str) -> Problem:
    """A problem of a file whose whole path is said, at the place where a person finds it."""
    texts = {n: getattr(problem, n) for n in ("file", "message", "remedy")}
    return replace(problem, **{n: t and t.replace(here, there) for n, t in texts.items()})


def _stored(compiled: Compiled, services: Services) -> RenderSpec:
    if compiled.spec is None:
        raise BriefError([p for p in compiled.problems if p.severity == "error"])
    for asset in compiled.spec.assets:
        if not still(services.store, asset.key):
            services.store.put(asset.key, compiled.files[asset.id], once=True)
    return compiled.spec


def spec_json(spec: RenderSpec, *, camel: bool = False) -> str:
    """The plan as people read it and as it is stored."""
    return spec.model_dump_json(indent=2, exclude_none=True, by_alias=camel) + "\n"
