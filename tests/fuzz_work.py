"""Puts broken input through Pytoon, in a process of its own: a line of JSON for each.

python tests/fuzz_work.py KIND SEED FIRST LAST FOLDER
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fuzz

from pytoon_pipeline.errors import Problem, PytoonError, UserError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import sandbox
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.compile import check_source
from pytoon_pipeline.stages.services import Services, open_services

MEDIA = "media"
DOCUMENTS = "documents"
REQUESTS = "requests"
RENDERS = "renders"


class Unclear(AssertionError):
    """A refusal that does not say what, where and what to do."""


def clear(problems: list[Problem], *, field: bool = False) -> str:
    """`refused`, if every error names a file and a remedy, and a field where there is one."""
    errors = [p for p in problems if p.severity == "error"]
    for p in errors:
        if not (p.file and p.message and p.remedy) or (field and not p.field):
            raise Unclear(repr(p))
        if "Traceback" in str(p) or "object at 0x" in str(p):
            raise Unclear(repr(p))
        str(p).encode()  # It can be printed and stored.
    if not errors:
        raise Unclear("nothing came, and no reason for it")
    return "refused"


def compiled(services: Services, folder: Path, *, field: bool) -> str:
    """What becomes of a folder of briefs."""
    try:
        sources = find_sources([folder])
    except UserError as error:
        return clear(error.problems)
    outcome = "accepted"
    for source in sources:
        spec, problems = check_source(source, services)
        if spec is None:
            outcome = clear(problems, field=field)
    return outcome


def medium(services: Services, folder: Path, name: str, data: bytes) -> str:
    """A file as the medium of a brief: a picture or clip in it, a sound as its music."""
    (folder / name).write_bytes(data)
    sound = name.startswith("sound")
    brief = (
        {"media": [{"text": "A card"}], "music": {"path": name, "licence": "own"}}
        if sound
        else {"media": [name], "music": "none"}
    )
    (folder / "brief.yaml").write_text(json.dumps(brief))
    return compiled(services, folder, field=True)


def rendered(services: Services, folder: Path, name: str, data: bytes) -> str:
    """The same, and the whole video where it compiles."""
    from pytoon_pipeline.stages.assemble import assemble_video
    from pytoon_pipeline.stages.compile import compile_source
    from pytoon_pipeline.stages.results import make_thumbnail, write_metrics
    from pytoon_pipeline.stages.segments import render_segments

    (folder / name).write_bytes(data)
    card = {"type": "text", "text": "A card", "duration": 0.4}
    spec = {"archetype": "hero", "resolution": "270x480", "segments": [card]}
    if name.startswith("sound"):
        spec["audioTrack"] = name
    else:
        spec["segments"] = [{"media": name, "duration": 0.4, "transition": "cut"}, card]
    (folder / "render_spec.json").write_text(json.dumps(spec))
    source = find_sources([folder])[0]
    try:
        plan = compile_source(source, services)
    except UserError as error:
        return clear(error.problems, field=True)
    try:
        segments = render_segments(plan, services, source.key)
        video = assemble_video(plan, segments, services, source.key)
        make_thumbnail(plan, video, services, source.key)
        write_metrics(plan, segments, video, services, source.key)
    except PytoonError as error:
        return f"failed: {type(error).__name__}"
    return "degraded" if video.degraded else "rendered"


def document(services: Services, folder: Path, name: str, data: bytes) -> str:
    shutil.copy(folder.parent / "a.png", folder / "a.png")
    shutil.copy(folder.parent / "b.mp4", folder / "b.mp4")
    (folder / name).write_bytes(data)
    return compiled(services, folder, field=False)


def request(data: bytes) -> str:
    """The body of a call, as far as it goes before a job is made of it."""
    from pytoon_pipeline.service.errors import ApiError
    from pytoon_pipeline.service.request import accept_request
    from pytoon_pipeline.service.upload import ReceivedRequest, read_json

    try:
        accepted = accept_request(ReceivedRequest(read_json(data)), {})
    except ApiError as error:
        if not str(error) or not (400 <= error.status < 500):
            raise Unclear(repr(error)) from error
        return "refused"
    accepted.as_json().encode()
    return "accepted"


def inputs(kind: str, seed: int, first: int, last: int, folder: Path) -> Iterator[tuple]:
    """Number, label, file name and bytes."""
    if kind == DOCUMENTS:
        for i, (what, name, data) in enumerate(fuzz.documents(seed, last)):
            if i >= first:
                yield i, what, name, data
        return
    if kind == REQUESTS:
        for i in range(first, last):
            r = random.Random(f"{seed} {i}")
            said = {"brief": fuzz.brief(r)} if i % 2 else {"spec": fuzz.spec(r)}
            if r.random() < 0.6:  # Media would have to be sent; words need not.
                said = {"brief": {**fuzz.brief(r), "media": [{"text": r.choice(fuzz.WORDS)}]}}
            if r.random() < 0.3:
                said[r.choice(("campaign", "name", "priority", "webhook", "x"))] = fuzz.value(r)
            data = fuzz.as_json(said)
            yield i, "request", "", fuzz.broken(r, data) if r.random() < 0.3 else data
        return
    good = {p.name: p.read_bytes() for p in sorted((folder / "good").iterdir())}
    names = [n for n in good if n.partition(".")[0] in ("picture", "clip", "sound")]
    for i in range(first, last):
        r = random.Random(f"{seed} {i}")
        name = names[i % len(names)]
        yield i, name, name, fuzz.broken(r, good[name])


def main(kind: str, seed: int, first: int, last: int, folder: Path) -> None:
    os.environ["PYTOON_HOME"] = str(folder / "home")
    services = open_services(load_settings())
    for i, label, name, data in inputs(kind, seed, first, last, folder):
        print(json.dumps({"began": i, "label": label}), flush=True)
        place = folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        began = time.monotonic()
        try:
            if kind == REQUESTS:
                outcome = request(data)
            else:
                do = {MEDIA: medium, DOCUMENTS: document, RENDERS: rendered}[kind]
                outcome = do(services, place, name, data)
        except Exception as error:
            import traceback

            kept = folder / f"found-{kind}-{i}"
            shutil.copytree(place, kept, dirs_exist_ok=True)
            outcome = f"fault: {type(error).__name__}: {str(error)[:300]}"
            print(traceback.format_exc(), file=sys.stderr, flush=True)
        seconds = time.monotonic() - began
        print(
            json.dumps(
                {"label": label, "outcome": outcome, "seconds": round(seconds, 3), "rss": peak()}
            ),
            flush=True,
        )


def peak() -> int:
    """MB at most, of this process and of the one that examines files."""
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, examiner_peak())


def examiner_peak() -> int:
    """MB at most, of the process that examines files; 0 while there is none."""
    if sandbox._helper is not None:
        with suppress(OSError):
            status = Path(f"/proc/{sandbox._helper.process.pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) // 1024
    return 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
