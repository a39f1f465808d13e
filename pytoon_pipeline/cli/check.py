"""`pytoon check` and `pytoon spec`: compile, render nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pytoon_pipeline.briefs.reading import MAX_BYTES
from pytoon_pipeline.briefs.source import BRIEF_FILES, SPEC_FILES, BriefSource
from pytoon_pipeline.cli.terminal import (
    OK,
    REFUSED,
    make_visible,
    open_console,
    print_json,
    settings_and_logs,
    show_problem,
    show_problems,
)
from pytoon_pipeline.errors import BriefError, Problem, UserError
from pytoon_pipeline.files import read_file
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.settings import Settings

KIT_FILE = "brand.yaml"
PRESET_FOLDERS = ("hero", "overlay", "meme")
"""Folders of presets."""


def gather_briefs(
    paths: Sequence[Path],
) -> tuple[list[BriefSource], list[tuple[Path, list[Problem]]]]:
    """The briefs of what was named, each once, in the order they were named, and what could not
    be taken: one wrong path does not keep the others from being looked at."""
    found: dict[str, BriefSource] = {}
    refused: list[tuple[Path, list[Problem]]] = []
    for path in paths:
        notes: list[Problem] = []
        try:
            sources = find_sources([path], notes)
        except UserError as error:
            refused.append((path, error.problems))
        else:
            wrong = [p for p in notes if p.severity == "error"]
            if wrong:
                refused.append((path, wrong))
            show_problems(p for p in notes if p.severity != "error")
            for source in sources:
                found.setdefault(source.origin, source)
    return list(found.values()), refused


def shown_path(path: Path) -> str:
    """A path as a person would type it: from the working folder where it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def count_of(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _summarise(problems: Sequence[Problem]) -> str:
    kinds = [
        count_of(n, word)
        for severity, word in (("error", "error"), ("warning", "warning"), ("info", "note"))
        if (n := sum(p.severity == severity for p in problems))
    ]
    return ", ".join(kinds) or "no problems"


def show_brief(
    to: Console, name: str, path: Path, state: str, style: str, problems: Sequence[Problem]
) -> None:
    """A brief and what is to be said of it."""
    row = Text().append(f"{state:<8} ", style).append(make_visible(name), "bold")
    if str(path) != name:
        row.append(f"  {make_visible(shown_path(path))}", "dim")
    to.print(row, soft_wrap=True)
    own = (f"{name}/{path.name}", path.name, str(path))
    for problem in problems:
        show_problem(to, problem, with_file=problem.file not in own)


@dataclass
class SharedProblems:
    """What is wrong in the same way with several rows of a table, or variants of a brief, said once
    for all of them."""

    found: dict[tuple[str, ...], list[tuple[str, Problem]]] = field(default_factory=dict)

    def take(self, source: BriefSource, problems: Sequence[Problem]) -> list[Problem]:
        """Those problems that are of this brief alone; the others are kept to be shown together."""
        if source.document is None:
            return list(problems)
        own = []
        for problem in problems:
            if problem.code.startswith(_OF_ALL):
                key = (str(source.path), problem.code, problem.severity)
                self.found.setdefault(key, []).append((source.name, problem))
            else:
                own.append(problem)
        return own

    def show(self, to: Console) -> list[Problem]:
        """What was printed."""
        told = []
        for (path, _, _), found in self.found.items():
            names = list(dict.fromkeys(name for name, _ in found))
            first = found[0][1]
            most = max((p for _, p in found), key=lambda p: _number_in(p.message))
            listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if names[6:] else "")
            if len(names) == 1:
                message = f"{listed}: {first.message}"
            else:
                message = f"{len(names)} of its briefs ({listed}); most of all: {most.message}"
            place = first.field if len({p.field for _, p in found}) == 1 else None
            said = replace(most, message=message, file=shown_path(Path(path)), field=place)
            show_problem(to, said)
            told.append(said)
        return told


_OF_ALL = ("duration.", "media.enlarged", "text.template", "caption.fast", "music.licence")
"""Beginnings of the codes of what a table or a mapping decides for all of its rows."""


def _number_in(message: str) -> float:
    """The seconds or the factor that a problem names, to tell the worst of several."""
    found = re.search(r"(?:need|needs|enlarged|is) (\d+(?:\.\d+)?)", message)
    return float(found[1]) if found else 0.0


def check_briefs(paths: Sequence[Path], *, strict: bool, as_json: bool) -> int:
    """Exit code 2 when there is an error, or with `strict` a warning."""
    settings = settings_and_logs()
    kits, paths = split_kits(paths)
    sources, refused = gather_briefs(paths)
    bad = {"error", "warning"} if strict else {"error"}
    to = open_console()
    everything: list[Problem] = []
    clean = 0
    said: set[Problem] = set()
    for path, problems in _checked_kits(kits, settings):
        everything += problems
        ok = not any(p.severity in bad for p in problems)
        clean += ok
        if as_json:
            _print_json(str(path), None, None, ok, problems)
        else:
            state, style = ("ok", "bold green") if ok else ("refused", "bold red")
            show_brief(to, make_visible(path), path, state, style, problems)
    shared = SharedProblems()
    for path, problems in refused:
        everything += problems
        if as_json:
            _print_json(str(path), None, None, False, problems)
        else:
            show_brief(to, make_visible(path), path, "refused", "bold red", problems)
    for source, spec, problems in _check_sources(sources, settings):
        ok = spec is not None and not any(p.severity in bad for p in problems)
        if not as_json:
            # What is wrong with a kit or a preset is said once, not for each brief that uses it.
            problems = [p for p in problems if not (_is_of_presets(p) and p in said)]
            said |= {p for p in problems if _is_of_presets(p)}
        clean += ok
        if as_json:
            everything += problems
            _print_json(str(source.path), source.key, source.campaign, ok, problems)
            continue
        state, style = ("ok", "bold green") if ok else ("refused", "bold red")
        own = shared.take(source, problems)
        everything += own
        show_brief(to, source.key, source.path, state, style, own)
    if not as_json:
        everything += shared.show(to)  # Counted as they are shown: once.
        if everything or len(sources) > 1:
            to.print()
        looked_at = [
            count_of(n, what)
            for n, what in (
                (len(sources) + len(refused), "brief"),
                (sum(k.name == KIT_FILE for k in kits), "brand kit"),
                (sum(k.name != KIT_FILE for k in kits), "preset file"),
            )
            if n
        ]
        to.print(
            f"{' and '.join(looked_at)}: {clean} ok, {_summarise(everything)}.", soft_wrap=True
        )
    return OK if clean == len(sources) + len(kits) and not refused else REFUSED


def _is_of_presets(problem: Problem) -> bool:
    return (problem.file or "").startswith("presets/")


def split_kits(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files of brand kits and presets among what was named, a kit's folder included, and the
    rest: briefs."""
    kits, rest = [], []
    for path in paths:
        inside = path / KIT_FILE
        if path.name == KIT_FILE or inside.is_file():
            kits.append(path if path.name == KIT_FILE else inside)
        elif (
            path.suffix == ".yaml"
            and path.absolute().parent.name in PRESET_FOLDERS
            and (path.name not in (*BRIEF_FILES, *SPEC_FILES) and _is_preset(path))
        ):
            kits.append(path)
        else:
            rest.append(path)
    return kits, rest


def _is_preset(path: Path) -> bool:
    """A flat brief may lie in a folder named `hero`; only presets have types."""
    try:
        return b"\ntype:" in read_file(path, MAX_BYTES)
    except OSError:
        return False


def _checked_kits(paths: Sequence[Path], settings: Settings):
    if not paths:
        return
    from pytoon_pipeline.compiler.kit_findings import brand_findings
    from pytoon_pipeline.compiler.preset_findings import preset_file_findings
    from pytoon_pipeline.compiler.presets import open_presets
    from pytoon_pipeline.stages.services import open_fonts

    library, fonts = open_presets(*settings.presets_dirs), open_fonts(settings)
    for path in paths:
        file = path.absolute()
        if path.name == KIT_FILE:
            problems = brand_findings(library, file, fonts)
        else:
            problems = preset_file_findings(library, file.parent.name, file, fonts)
        yield path, [replace(p, file=shown_path(Path(p.file))) if p.file else p for p in problems]


def _check_sources(sources: Sequence[BriefSource], settings: Settings):
    if not sources:
        return
    from pytoon_pipeline.stages.compile import check_source
    from pytoon_pipeline.stages.services import open_services

    services = open_services(settings)
    for source in sources:
        spec, problems = check_source(source, services)
        yield source, spec, problems


def _print_json(
    brief: str, key: str | None, campaign: str | None, ok: bool, problems: Sequence[Problem]
) -> None:
    print_json(
        {
            "brief": brief,
            "key": key,
            "campaign": campaign,
            "ok": ok,
            "exit_code": OK if ok else REFUSED,
            "problems": [p.as_dict() for p in problems],
        }
    )


def print_spec(path: Path, *, camel: bool) -> int:
    """The complete RenderSpec on stdout; what is to be said of it on stderr."""
    settings = settings_and_logs()
    sources = find_sources([path])
    if len(sources) > 1:
        names = ", ".join(s.name for s in sources[:6]) + (", ..." if len(sources) > 6 else "")
        raise UserError(
            Problem(
                "call.several",
                f"holds {len(sources)} briefs: {names}.",
                "Name one of them.",
                file=str(path),
            )
        )
    from pytoon_pipeline.stages.compile import spec_json

    source, spec, problems = next(iter(_check_sources(sources, settings)))
    if spec is None:
        raise BriefError(problems)
    to = open_console(stderr=True)
    for problem in problems:
        show_problem(to, problem)
    sys.stdout.write(spec_json(spec, camel=camel))
    return OK
