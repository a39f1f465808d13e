"""`pytoon doctor`: everything a render needs, tried out for real."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from rich.text import Text

from pytoon_pipeline import __version__
from pytoon_pipeline.cli.doctor_findings import (
    LITTLE_DISK,
    REMEDIES,
    TOO_LITTLE_DISK,
    DoctorContext,
    DoctorFinding,
)
from pytoon_pipeline.cli.doctor_media import (
    check_decoders,
    check_examining,
    check_ffmpeg,
    check_opencv,
)
from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    REFUSED,
    open_console,
    print_json,
    print_labelled,
)
from pytoon_pipeline.errors import PytoonError, UserError
from pytoon_pipeline.stages.services import engine_states, open_services

if TYPE_CHECKING:
    from pytoon_pipeline.store import S3Store

SCRIPTS = {
    "Latin": "Kaffeehaus",
    "Greek": "καφές",
    "Cyrillic": "кофе",
    "Hebrew": "קפה",
    "Arabic": "قهوة",
    "Devanagari": "कॉफ़ी",
    "Thai": "กาแฟ",
    "Japanese": "コーヒー",
    "Chinese": "咖啡",
    "Korean": "커피",
    "emoji": "☕",
}
"""Script -> a word to shape."""


def _check_python(_: DoctorContext) -> Iterator[DoctorFinding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield DoctorFinding(
        "pytoon",
        "ok" if sys.version_info >= (3, 11) else "fail",
        f"{__version__} on Python {platform.python_version()}, {platform.machine()}, {cores} cores",
        "Pytoon needs Python 3.11 or newer.",
    )


def _check_settings(p: DoctorContext) -> Iterator[DoctorFinding]:
    s = p.settings
    yield DoctorFinding("settings", "ok", f"home {s.home}, {s.workers} segments at a time")
    if s.briefs_dir.is_dir():
        yield DoctorFinding("briefs", "ok", f"the sensor watches {s.briefs_dir}")
    else:
        yield DoctorFinding(
            "briefs", "off", f"{s.briefs_dir} is not there: `pytoon dev` makes it and watches it"
        )


def _check_presets(p: DoctorContext) -> Iterator[DoctorFinding]:
    library = p.library
    looks = library.presets()
    library.facts()
    lost = [
        f"music/{entry['file']}"
        for name, entry in library.tracks().items()
        if not library.track_file(name).is_file()
    ]
    for name, brand in library.brands().items():
        files = [brand.logo.on_pictures, brand.logo.on_ground] if brand.logo else []
        lost += [f"{name}/{f}" for f in files if f and not (brand.folder / f).is_file()]
    count = sum(len(named) for named in looks.values())
    detail = (
        f"{count} presets, {len(library.brand_names())} brands, {len(library.tracks())} tracks"
        f" in {', '.join(map(str, library.folders))}"
    )
    if lost:
        yield DoctorFinding(
            "presets",
            "fail",
            f"files are missing: {', '.join(lost)}",
            "Restore them, or take their entries out.",
        )
    broken = library.problems()
    for problem in broken:
        yield DoctorFinding("presets", "fail", str(replace(problem, remedy="")), problem.remedy)
    if not lost and not broken:
        yield DoctorFinding("presets", "ok", detail)


def _check_fonts(p: DoctorContext) -> Iterator[DoctorFinding]:
    library, fonts = p.library, p.fonts
    known = {f.casefold() for f in fonts.families()}
    needed = set()
    for brand in library.brands().values():
        chosen = brand.fonts
        needed |= {chosen.heading, chosen.body} if chosen else set()
    for named in library.presets().values():
        for look in named.values():
            # A preset names a family, or a role of the brand kit.
            types = (look.type.hook, look.type.beat, look.type.cta)
            needed |= {t.font for t in types} - {"heading", "body"}
    lacking = sorted(f for f in needed if f.casefold() not in known)
    if lacking:
        yield DoctorFinding(
            "fonts",
            "fail",
            f"no {', '.join(lacking)}",
            f"Put their files into {p.settings.presets_dir / 'fonts'}.",
        )
    else:
        yield DoctorFinding("fonts", "ok", ", ".join(p.own_fonts.families()))
    for problem in p.own_fonts.skipped:
        yield DoctorFinding("fonts", "warn", f"{problem.file}: {problem.message}", problem.remedy)


def _check_shaping(p: DoctorContext) -> Iterator[DoctorFinding]:
    from importlib.metadata import version

    import freetype
    import uharfbuzz

    from pytoon_pipeline.errors import UserError
    from pytoon_pipeline.picture.font_choice import FontSpec
    from pytoon_pipeline.picture.shaping import ShapedParagraph

    libraries = (
        f"HarfBuzz {uharfbuzz.version_string()}, FreeType "
        f"{'.'.join(map(str, freetype.version()))}, BudouX {version('budoux')}"
    )
    spec = FontSpec(family=p.library.brand("neutral").fonts.body, weight=500)  # type: ignore[union-attr]
    drawn: dict[str, list[str]] = {}
    lacking = []
    for script, word in SCRIPTS.items():
        try:
            line = ShapedParagraph(word, spec, p.fonts).line(0, len(word))
        except UserError:
            lacking.append(script)
            continue
        if line.glyphs and line.advance > 0:
            drawn.setdefault(line.glyphs[0].face.family, []).append(script)
        else:
            lacking.append(script)
    latin = any("Latin" in scripts for scripts in drawn.values())
    yield DoctorFinding(
        "text",
        "ok" if latin else "fail",
        libraries if latin else f"{libraries}; no Latin font",
        "Restore the project's fonts.",
    )
    by_font = "; ".join(f"{', '.join(scripts)}: {font}" for font, scripts in drawn.items())
    if lacking:
        yield DoctorFinding(
            "scripts",
            "warn",
            f"{by_font}; no font here for {', '.join(lacking)}",
            "Needed only for captions in them: put a Noto font into a folder of PYTOON_FONTS_DIR.",
        )
    else:
        yield DoctorFinding("scripts", "ok", by_font)


def _check_store(p: DoctorContext) -> Iterator[DoctorFinding]:
    from pytoon_pipeline.store import FolderStore, S3Store, open_store

    store = open_store(p.settings)
    store.patience = 0.0
    if isinstance(store, S3Store):
        yield from _check_bucket(store, p.settings.store)
        return
    if not isinstance(store, FolderStore):
        return
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store.root) as file:
            file.write(b"pytoon")
    except OSError as error:
        yield DoctorFinding(
            "store", "fail", f"{store.root} can't be written: {error.strerror}", REMEDIES["store"]
        )
        return
    free = shutil.disk_usage(store.root).free
    state = "fail" if free < TOO_LITTLE_DISK else "warn" if free < LITTLE_DISK else "ok"
    yield DoctorFinding(
        "store",
        state,
        f"{store.root}, {free / 1e9:.1f} GB free",
        "Make room." if (state != "ok") else "",
    )


def _check_bucket(store: S3Store, place: str) -> Iterator[DoctorFinding]:
    """All that is asked of a bucket, tried on an object of its own."""
    key = f"doctor/{uuid4().hex}.txt"
    store.exists(key)  # The first question of a process takes longer: its client is made.
    started = time.monotonic()
    store.put_bytes(key, b"pytoon", once=True)
    seconds = time.monotonic() - started
    try:
        same = store.read_bytes(key) == b"pytoon" and key in store.keys("doctor")
        honest = store.honours_conditions(key)
        store.sweep(7 * 86400)
    finally:
        store.delete(key)
    if not same:
        yield DoctorFinding(
            "store", "fail", f"{place} does not give what it was given", REMEDIES["store"]
        )
        return
    yield DoctorFinding(
        "store",
        "ok",
        f"{place} takes, gives, lists and deletes; a put takes {1000 * seconds:.0f} ms",
    )
    if not honest:
        yield DoctorFinding(
            "store writes",
            "warn",
            "the server passes over If-None-Match",
            "Of two machines that finish the same segment at once the last one stays, not the "
            "first. Take a server that knows conditional writes (docs/s3.md).",
        )


def _check_dagster(p: DoctorContext) -> Iterator[DoctorFinding]:
    import dagster

    from pytoon_pipeline.runtime.brief_runs import open_instance

    with open_instance(p.settings) as instance:
        runs = instance.get_runs_count()
    yield DoctorFinding(
        "dagster",
        "ok",
        f"{dagster.__version__}, home {p.settings.dagster_home}, {runs} runs recorded",
    )


def _check_engines(p: DoctorContext) -> Iterator[DoctorFinding]:
    for name, ready, detail in engine_states(open_services(p.settings)):
        # The compositor renders what no other engine does; the others are a choice.
        bad = "fail" if name == "compositor" else "warn"
        state = "ok" if ready else "off" if ready is None else bad
        yield DoctorFinding(f"engine {name}", state, detail)


def _check_credentials(p: DoctorContext) -> Iterator[DoctorFinding]:
    from pytoon_pipeline.media.credentials import check_identity, load_identity

    identity = load_identity(p.settings.c2pa_certificate, p.settings.c2pa_key)
    if identity is None:
        state = "fail" if p.settings.c2pa_required else "ok"
        remedy = "Set PYTOON_C2PA_CERTIFICATE and PYTOON_C2PA_KEY." if state == "fail" else ""
        yield DoctorFinding(
            "credentials", state, "none; generated footage is marked, not signed", remedy
        )
        return
    check_identity(identity)
    yield DoctorFinding("credentials", "ok", f"{identity.name}, until {identity.until:%Y-%m-%d}")


CHECKS: tuple[Callable[[DoctorContext], Iterator[DoctorFinding]], ...] = (
    _check_python,
    _check_settings,
    check_ffmpeg,
    check_decoders,
    check_examining,
    check_opencv,
    _check_presets,
    _check_fonts,
    _check_shaping,
    _check_store,
    _check_dagster,
    _check_engines,
    _check_credentials,
)


def iterate_findings(patient: DoctorContext) -> Iterator[DoctorFinding]:
    """All findings; a check that breaks is one too."""
    for check in CHECKS:
        name = check.__name__.lstrip("_").removeprefix("check_")
        try:
            yield from check(patient)
        except UserError as error:
            for problem in error.problems:
                place = ": ".join(x for x in (problem.file, problem.field) if x)
                yield DoctorFinding(
                    name,
                    "fail",
                    f"{place}: {problem.message}" if place else problem.message,
                    problem.remedy,
                )
        except PytoonError as error:
            yield DoctorFinding(name, "fail", str(error), REMEDIES.get(name, ""))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            yield DoctorFinding(name, "fail", said, REMEDIES.get(name, "Reinstall Pytoon."))


def run_doctor(as_json: bool) -> int:
    """Exit code 1 when something that is needed fails, 2 when it is a setting."""
    patient = DoctorContext()
    try:
        patient.settings  # noqa: B018 - without settings there is nothing to look at
    except UserError:
        if not as_json:
            raise
        findings = [f for f in iterate_findings(patient) if f.name == "settings"]
        print_json({"ok": False, "findings": [asdict(f) for f in findings]})
        return REFUSED
    to = open_console()
    findings = []
    styles = {
        "ok": ("ok", "green"),
        "off": ("-", "dim"),
        "warn": ("warn", "bold yellow"),
        "fail": ("FAIL", "bold red"),
    }
    for finding in iterate_findings(patient):
        findings.append(finding)
        if as_json:
            continue
        label, style = styles[finding.state]
        head = Text().append(f"{label:<6}", style).append(finding.name, "bold")
        print_labelled(to, head, finding.detail, indent=28)
        if finding.remedy and finding.state != "ok":
            print_labelled(to, "", f"-> {finding.remedy}", indent=28)
    failed = sum(f.state == "fail" for f in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(f) for f in findings]})
    else:
        to.print()
        to.print(
            f"{failed} of {len(findings)} fail: see the remedies above."
            if failed
            else "Ready to render."
        )
    return FAILED if failed else OK
