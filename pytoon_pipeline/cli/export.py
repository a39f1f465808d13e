"""`pytoon export`: a brief's timeline and media, for an editing program."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.cli.check import count_of, gather_briefs, show_brief, shown_path
from pytoon_pipeline.cli.files import writable_folder
from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    REFUSED,
    make_visible,
    open_console,
    print_json,
    print_labelled,
    problem_of,
    settings_and_logs,
)
from pytoon_pipeline.errors import Problem, PytoonError, UserError
from pytoon_pipeline.media.probe import hash_file
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.stages.compile import compile_source, spec_json
from pytoon_pipeline.stages.documents import MetricsDocument
from pytoon_pipeline.stages.export import MEDIA, export_files, export_timeline
from pytoon_pipeline.stages.services import Services, open_services
from pytoon_pipeline.store.publish import publish_folder


def export_briefs(paths: Sequence[Path], *, out: Path, as_json: bool) -> int:
    """Exit code: 2 when a brief was refused, else 1 when one failed, else 0."""
    services = open_services(settings_and_logs())
    to = open_console(stderr=as_json)
    sources, refused = gather_briefs(paths)
    if sources:
        writable_folder(out)
    codes = []

    def print_result(name: str, path: Path, file: Path | None, problems: Sequence[Problem]) -> None:
        failed = any(p.code.startswith("failed.") for p in problems)
        code = OK if file else FAILED if failed else REFUSED
        codes.append(code)
        if as_json:
            print_json(
                {
                    "brief": str(path),
                    "key": name,
                    "ok": code == OK,
                    "exit_code": code,
                    "timeline": str(file) if file else None,
                    "problems": [p.as_dict() for p in problems],
                }
            )
            return
        word, style = {
            OK: ("done", "bold green"),
            FAILED: ("FAILED", "bold red"),
            REFUSED: ("refused", "bold red"),
        }[code]
        show_brief(to, name, path, word, style, problems)
        if file:
            print_labelled(to, "timeline", shown_path(file))

    for path, problems in refused:
        print_result(make_visible(path), path, None, problems)
    written: set[Path] = set()
    for source in sources:
        try:
            target = _target_folder(source, out, written)
            file, notes = _export_brief(source, services, target)
        except PytoonError as error:
            print_result(source.key, source.path, None, problem_of(error))
        else:
            written.add(target)
            print_result(source.key, source.path, file, notes)
    if len(codes) > 1 and not as_json:
        to.print(f"\n{count_of(len(codes), 'brief')}: {codes.count(OK)} exported.")
    return max(codes, default=OK)


def _target_folder(source: BriefSource, out: Path, written: set[Path]) -> Path:
    """`<out>/<campaign>/<brief>`. A folder there is replaced only if it is an earlier export, and
    not one of the same call. Raises UserError."""
    target = Path(os.path.abspath(out.joinpath(*source.key.split("/"))))
    file = f"{target.name}.otio"
    message = ""
    if target in written:
        message = "was just written for another brief of the same name."
    elif os.path.lexists(target):
        names = {p.name for p in target.iterdir()} if target.is_dir() else {target.name}
        other = names - {file, "captions.srt", MEDIA}
        if target.is_symlink() or other or (names and file not in names):
            message = "is there already and is no earlier export."
    if message:
        raise UserError(
            Problem(
                "out.taken",
                message,
                "Choose another folder for --out.",
                file=str(target),
                field="--out",
            )
        )
    return target


def _export_brief(
    source: BriefSource, services: Services, target: Path
) -> tuple[Path, list[Problem]]:
    """The timeline's file, and what is to be said of it."""
    name = target.name
    spec = compile_source(source, services)
    video, prints, notes = _find_finished(source, spec, services)
    made = export_timeline(spec, name, finished=video is not None, fingerprints=prints)
    publish_folder(target, export_files(made, spec, name, services, video))
    return target / f"{name}.otio", notes


def _find_finished(
    source: BriefSource, spec: Plan, services: Services
) -> tuple[Path | None, dict[str, str], list[Problem]]:
    """The finished video of this very plan, if there is one, beside it or in the store; the names
    of its segments; what is to be said."""
    store, folder = services.store, f"videos/{source.key}"
    if source.kind == "spec" and (source.folder / "metrics.json").is_file():
        video, written = source.folder / "video.mp4", source.folder / "metrics.json"
    elif all(store.exists(f"{folder}/{n}") for n in ("video.mp4", "metrics.json")):
        video, written = (store.local(f"{folder}/{n}") for n in ("video.mp4", "metrics.json"))
        if store.read_bytes(f"{folder}/render_spec.json").decode() != spec_json(spec):
            return None, {}, [_left_out("The rendered video is of an earlier state of the brief")]
    else:
        return None, {}, []
    try:
        metrics = MetricsDocument.model_validate_json(written.read_bytes())
        whole = hash_file(video) == metrics.video.sha256
    except (OSError, ValueError):
        whole = False
    if not whole or metrics.video.frames != build_timeline(spec).frames:
        return None, {}, [_left_out(f"{shown_path(video)} is not the video of this plan")]
    return video, {r.segment_id: r.fingerprint for r in metrics.segments}, []


def _left_out(why: str) -> Problem:
    return Problem(
        "export.video", f"{why}; it is left out of the timeline.", "Render the brief first.", "info"
    )
