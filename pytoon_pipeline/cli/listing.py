"""`pytoon presets` and `pytoon engines`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    make_visible,
    open_console,
    print_json,
    settings_and_logs,
    show_problem,
)
from pytoon_pipeline.compiler.kit_findings import survey_kits
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET, open_presets
from pytoon_pipeline.errors import PresetError
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.stages.services import open_fonts

DEFAULT_BRAND = "neutral"
DEFAULT_PLATFORM = "universal_ads"


def make_table(to: Console, title: str, *columns: str) -> Table:
    """A table without lines around it."""
    made = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
        padding=(0, 2, 0, 0),
        expand=False,
    )
    for number, name in enumerate(columns):
        made.add_column(name, no_wrap=number == 0, overflow="fold")
    return made


def print_table(to: Console, made: Table) -> None:
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


def _format_box(box: tuple[int, int, int, int]) -> str:
    return f"x {box[0]}-{box[2]}, y {box[1]}-{box[3]}"


def _describe_origin(folder: Path) -> str:
    """Where an entry comes from: a folder of one's own, or Pytoon itself."""
    if folder.is_relative_to(Path.cwd()):
        return folder.relative_to(Path.cwd()).as_posix()
    return "pytoon" if folder == project_data("presets") else str(folder)


def list_presets(as_json: bool) -> int:
    settings = settings_and_logs()
    library = open_presets(*settings.presets_dirs)
    found = survey_kits(library, open_fonts(settings))
    looks, brands = found.presets, found.brands
    profiles = library.facts().profiles
    try:
        tracks = library.tracks()
    except PresetError as error:  # Music that can't be listed hides nothing else.
        tracks = {}
        found.problems["music", "ledger"] = error.problems
    from_ = {
        **{
            (archetype, name): _describe_origin(
                library.folder_of(library.find(f"{archetype}/{name}.yaml"))  # type: ignore
            )
            for archetype, named in looks.items()
            for name in named
        },
        **{("brand", n): _describe_origin(library.folder_of(b.folder)) for n, b in brands.items()},
        **{
            ("music", n): _describe_origin(library.folder_of(library.track_file(n))) for n in tracks
        },
    }
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
                        "from": from_[archetype, name],
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
                        "from": from_["brand", name],
                    }
                    for name, brand in brands.items()
                ],
                "platforms": [
                    {"name": name, "default": name == DEFAULT_PLATFORM, **profile.model_dump()}
                    for name, profile in profiles.items()
                ],
                "music": [
                    {"name": name, **track, "from": from_["music", name]}
                    for name, track in tracks.items()
                ],
                "problems": [
                    {"of": "/".join(place), **problem.as_dict()}
                    for place, problems in found.problems.items()
                    for problem in problems
                ],
            }
        )
        return OK
    to = open_console()
    made = make_table(
        to, "Presets (* is the default)", "archetype", "preset", "title", "from", "what it is"
    )
    for archetype, named in looks.items():
        for name, look in named.items():
            mark = " *" if DEFAULT_PRESET[archetype] == name else ""
            made.add_row(
                archetype,
                Text(name + mark, "bold"),
                look.title,
                make_visible(from_[archetype, name]),
                look.summary,
            )
    print_table(to, made)
    made = make_table(to, "Brands", "brand", "name", "fonts", "logo", "from")
    for name, brand in brands.items():
        fonts = (
            ", ".join(dict.fromkeys([brand.fonts.heading, brand.fonts.body]))
            if (brand.fonts)
            else ""
        )
        made.add_row(
            Text(name + (" *" if name == DEFAULT_BRAND else ""), "bold"),
            make_visible(brand.name),
            fonts,
            "yes" if brand.logo else "no",
            make_visible(from_["brand", name]),
        )
    print_table(to, made)
    made = make_table(
        to,
        "Platforms (where words and logos may stand, of 1080x1920)",
        "platform",
        "title",
        "clear box",
    )
    for name, profile in profiles.items():
        made.add_row(
            Text(name + (" *" if name == DEFAULT_PLATFORM else ""), "bold"),
            profile.title,
            _format_box(profile.clear_box),
        )
    print_table(to, made)
    made = make_table(to, "Music", "track", "title", "length", "licence", "from")
    for name, track in tracks.items():
        seconds = track.get("seconds")
        made.add_row(
            Text(name, "bold"),
            make_visible(track.get("title", "")),
            f"{seconds:.0f} s" if isinstance(seconds, int | float) else "",
            make_visible(track.get("licence", "")),
            make_visible(from_["music", name]),
        )
    if tracks:
        print_table(to, made)
    for (kind, name), problems in found.problems.items():
        to.print(Text(f"{kind} {make_visible(name)}", "bold"), soft_wrap=True)
        for problem in problems:
            show_problem(to, problem)
    return OK


def list_engines(as_json: bool) -> int:
    """Exit code 1 when not one engine is ready."""
    from pytoon_pipeline.stages.services import engine_states, open_services

    states = engine_states(open_services(settings_and_logs()))
    if as_json:
        print_json(
            [
                {"name": name, "ok": ready is True, "in_use": ready is not None, "detail": detail}
                for name, ready, detail in states
            ]
        )
    else:
        to = open_console()
        made = make_table(to, "Engines", "engine", "ready", "detail")
        shown = {True: ("yes", "green"), False: ("NO", "bold red"), None: ("-", "dim")}
        for name, ready, detail in states:
            made.add_row(Text(name, "bold"), Text(*shown[ready]), make_visible(detail))
        print_table(to, made)
    return OK if any(ready for _, ready, _ in states) else FAILED
