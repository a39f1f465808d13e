"""`pytoon presets` and `pytoon engines`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    console,
    plain,
    print_json,
    settings_and_logs,
    show_problem,
)
from pytoon_pipeline.spec.kit_findings import survey
from pytoon_pipeline.spec.presets import DEFAULT_PRESET, open_presets
from pytoon_pipeline.stages.services import open_fonts

DEFAULT_BRAND = "neutral"
DEFAULT_PLATFORM = "universal_ads"


def table(to: Console, title: str, *columns: str) -> Table:
    """A table without lines around it."""
    made = Table(title=Text(title, "bold"), title_justify="left", box=None, pad_edge=False,
                 header_style="dim", padding=(0, 2, 0, 0), expand=False)
    for number, name in enumerate(columns):
        made.add_column(name, no_wrap=number == 0, overflow="fold")
    return made


def show(to: Console, made: Table) -> None:
    if to.is_terminal:
        to.print(made)
        to.print()
        return
    # Lines for a program end where their words do.
    with to.capture() as caught:
        to.print(made)
    for line in caught.get().splitlines():
        to.file.write(line.rstrip() + "\n")
    to.file.write("\n")


def _box(box: tuple[int, int, int, int]) -> str:
    return f"x {box[0]}-{box[2]}, y {box[1]}-{box[3]}"


def presets(as_json: bool) -> int:
    settings = settings_and_logs()
    library = open_presets(settings.presets_dir)
    found = survey(library, open_fonts(settings))
    looks, brands = found.presets, found.brands
    profiles = library.facts().profiles
    tracks = library.tracks()
    if as_json:
        print_json(
            {
                "presets": [
                    {
                        "archetype": archetype,
                        "name": name,
                        "title": look.title,
                        "summary": look.summary,
                        "default": DEFAULT_PRESET[archetype] == name,
                        "music": look.music,
                    }
                    for archetype, named in looks.items()
                    for name, look in named.items()
                ],
                "brands": [
                    {
                        "name": name,
                        "title": brand.name,
                        "default": name == DEFAULT_BRAND,
                        "colors": brand.colors,
                        "fonts": brand.fonts.model_dump() if brand.fonts else None,
                        "logo": brand.logo is not None,
                    }
                    for name, brand in brands.items()
                ],
                "platforms": [
                    {"name": name, "default": name == DEFAULT_PLATFORM, **profile.model_dump()}
                    for name, profile in profiles.items()
                ],
                "music": [{"name": name, **track} for name, track in tracks.items()],
                "problems": [
                    {"of": "/".join(place), **problem.as_dict()}
                    for place, problems in found.problems.items()
                    for problem in problems
                ],
            }
        )
        return OK
    to = console()
    made = table(to, "Presets (* is the default)", "archetype", "preset", "title", "what it is")
    for archetype, named in looks.items():
        for name, look in named.items():
            mark = " *" if DEFAULT_PRESET[archetype] == name else ""
            made.add_row(archetype, Text(name + mark, "bold"), look.title, look.summary)
    show(to, made)
    made = table(to, "Brands", "brand", "name", "fonts", "logo")
    for name, brand in brands.items():
        fonts = ", ".join(dict.fromkeys([brand.fonts.heading, brand.fonts.body])) if (
            brand.fonts
        ) else ""
        made.add_row(
            Text(name + (" *" if name == DEFAULT_BRAND else ""), "bold"), plain(brand.name), fonts,
            "yes" if brand.logo else "no",
        )
    show(to, made)
    made = table(to, "Platforms (where words and logos may stand, of 1080x1920)", "platform",
                 "title", "clear box")
    for name, profile in profiles.items():
        made.add_row(
            Text(name + (" *" if name == DEFAULT_PLATFORM else ""), "bold"), profile.title,
            _box(profile.clear_box),
        )
    show(to, made)
    made = table(to, "Music", "track", "title", "length", "licence")
    for name, track in tracks.items():
        seconds = track.get("seconds")
        made.add_row(
            Text(name, "bold"), plain(track.get("title", "")),
            f"{seconds:.0f} s" if isinstance(seconds, int | float) else "",
            plain(track.get("licence", "")),
        )
    if tracks:
        show(to, made)
    for (kind, name), problems in found.problems.items():
        to.print(Text(f"{kind} {plain(name)}", "bold"), soft_wrap=True)
        for problem in problems:
            show_problem(to, problem)
    return OK


def engines(as_json: bool) -> int:
    """Exit code 1 when not one engine is ready."""
    from pytoon_pipeline.stages.services import open_services

    services = open_services(settings_and_logs())
    health = [(engine.name, engine.health()) for engine in services.engines.all()]
    if as_json:
        print_json([{"name": name, "ok": h.ok, "detail": h.detail} for name, h in health])
    else:
        to = console()
        made = table(to, "Engines", "engine", "ready", "detail")
        for name, h in health:
            state = Text("yes", "green") if h.ok else Text("NO", "bold red")
            made.add_row(Text(name, "bold"), state, plain(h.detail))
        show(to, made)
    return OK if any(h.ok for _, h in health) else FAILED
