"""The stage `render_spec`: a source becomes a plan, and its media come into the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from pytoon_pipeline.briefs.bundle import unpack_brief
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.errors import BriefError, Problem, StoreError
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.scratch import working_folder
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.store.reuse import touch_if_present
from pytoon_pipeline.store.sums import remember_sum
from pytoon_pipeline.tables.offers import UNTIL


def _compile_source(
    source: BriefSource,
    services: Services,
    now: dt.datetime | None = None,
    scratch: Path | None = None,
) -> CompiledPlan:
    shop = replace(services.compile_context, scratch=scratch)
    compiled = compile_file(
        source.path, source.folder, source.kind, source.shown, shop, source.document
    )
    return _judge_offer(compiled, source, now)


def _judge_offer(
    compiled: CompiledPlan, source: BriefSource, now: dt.datetime | None
) -> CompiledPlan:
    """What was made of a row of a table and stands by itself by now (a finished plan, a brief that
    was sent to a server and may have waited there) says until when it holds: a plan is warned of,
    a brief refused. Rows themselves are looked at by `_refuse_outdated`."""
    if compiled.plan is None or (source.document is not None and source.document.until):
        return compiled
    warning = _outdated_plan(compiled.plan, source, now or dt.datetime.now(dt.UTC))
    if warning is None:
        return compiled
    if source.kind == "brief":
        over = replace(warning, severity="error", remedy="Make the brief anew from its table.")
        return replace(compiled, plan=None, problems=[*compiled.problems, over])
    warnings = [*compiled.plan.metadata.get("warnings", []), warning.as_dict()]
    metadata = {**compiled.plan.metadata, "warnings": warnings}
    plan = compiled.plan.model_copy(update={"metadata": metadata})
    return replace(compiled, plan=plan, problems=[*compiled.problems, warning])


def _outdated_plan(spec: Plan, source: BriefSource, now: dt.datetime) -> Problem | None:
    """What is to be said of a plan, or of a brief of its own, that was made of a row whose offer is
    over."""
    try:
        until = dt.datetime.fromisoformat(str(spec.metadata.get(UNTIL, "")))
        if until > (now if until.tzinfo else now.replace(tzinfo=None)):
            return None
    except ValueError:
        return None  # Not ours, or nothing.
    return Problem(
        "offer.over",
        f"what it says of a price held until {until:%Y-%m-%d %H:%M}.",
        "Make the plan again from its table.",
        "warning",
        source.shown,
        f"metadata.{UNTIL}",
    )


def check_source(
    source: BriefSource, services: Services, now: dt.datetime | None = None
) -> tuple[Plan | None, list[Problem]]:
    """The plan, or None, and all that is to be said of it; nothing is copied, stored or raised.
    `now` is the present if left out."""
    compiled = _compile_source(source, services, now)
    return compiled.plan, compiled.problems


def compile_source(source: BriefSource, services: Services, now: dt.datetime | None = None) -> Plan:
    """The plan, with every file it needs in the store under its hash. Each file is copied first,
    and that copy is examined and stored: what is rendered is what was checked, whatever becomes of
    the folder meanwhile. `now` is the present if left out. Raises BriefError with all problems, and
    for a row whose offer began or ended since it was read; StoreError."""
    _refuse_outdated(source, now)
    with _working_folder(services) as folder:
        return _store_assets(_compile_source(source, services, now, folder), services, folder)


@contextmanager
def _working_folder(services: Services) -> Iterator[Path]:
    scratch = services.settings.scratch
    with ExitStack() as kept:
        try:
            folder = kept.enter_context(working_folder(scratch, "brief-"))
        except OSError as error:
            raise StoreError(f"{scratch} can't be written to: {error.strerror}.") from error
        yield folder


def _refuse_outdated(source: BriefSource, now: dt.datetime | None) -> None:
    document = source.document
    if document is None or document.is_current(now or dt.datetime.now(dt.UTC)):
        return
    raise BriefError(
        [
            Problem(
                "offer.over",
                f"what it says of the price held until {document.until}, while it waited.",
                "Render it again; what looks after the folder does so by itself.",
                file=source.shown,
                field=document.place(None),
            )
        ]
    )


def compile_parcel(key: str, contents: str, services: Services, place: Path | None = None) -> Plan:
    """The same, on any machine, of a brief that was packed with these contents. `place` is the
    folder that it was packed from, for messages. Raises StoreError, too."""
    with _working_folder(services) as folder:
        source, roots = unpack_brief(key, contents, services.store, folder)
        _refuse_outdated(source, None)
        # What comes from elsewhere, tracks and logos of the presets folder, is copied.
        copies = folder / "copies"
        copies.mkdir()
        shop = replace(
            services.compile_context,
            media_roots=roots,
            scratch=copies,
            private=source.folder.parent,
        )
        compiled = compile_file(
            source.path, source.folder, source.kind, source.shown, shop, source.document
        )
        here, there = str(source.folder), str(place or source.key)
        problems = [_relocate_problem(p, here, there) for p in compiled.problems]
        compiled = _judge_offer(replace(compiled, problems=problems), source, None)
        return _store_assets(compiled, services, copies)


def _relocate_problem(problem: Problem, here: str, there: str) -> Problem:
    """A problem of a file whose whole path is said, at the place where a person finds it."""
    texts = {n: getattr(problem, n) for n in ("file", "message", "remedy")}
    return replace(problem, **{n: t and t.replace(here, there) for n, t in texts.items()})


def _store_assets(compiled: CompiledPlan, services: Services, copies: Path) -> Plan:
    """The plan, its files in the store; those below `copies` may be moved there."""
    if compiled.plan is None:
        raise BriefError([p for p in compiled.problems if p.severity == "error"])
    for asset in compiled.plan.assets:
        if not touch_if_present(services.store, asset.key):
            file = compiled.files[asset.id]
            own = file.is_relative_to(copies)
            if own:
                remember_sum(file, asset.sha256)  # It was summed while it was copied.
            services.store.put(asset.key, file, once=True, move=own)
    return compiled.plan


def spec_json(spec: Plan, *, camel: bool = False) -> str:
    """The plan as people read it and as it is stored."""
    return spec.model_dump_json(indent=2, exclude_none=True, by_alias=camel) + "\n"
