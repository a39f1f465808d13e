"""What is wrong with brand kits and preset files, all at once, each with file, field and remedy.

`spec.presets` reads them; here they are held against what they need: colours against each other,
logos against the places they stand in, fonts against those that are installed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pytoon_pipeline.briefs.reading import could_not_read
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.preset_findings import (
    FRAME,
    kit_file,
    named_colours,
    preset_findings,
)
from pytoon_pipeline.compiler.preset_model import PAIRS, ROLES, Preset
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET, PresetLibrary, read_data_file
from pytoon_pipeline.errors import PresetError, Problem
from pytoon_pipeline.media.copies import private_copy
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.picture.contrast import contrast_ratio, relative_luminance
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.logos import (
    LOST,
    READABLE,
    contrast_of,
    luminance_of,
    readable_near,
)

MARK_HEIGHT = 84
"""Pixels of such a frame that a watermark may be high."""
CARD_LOGO = 620, 420
"""Most pixels of such a frame that the logo of an end card is wide and high."""
SEE_THROUGH = 250
"""Alpha above which a pixel hides what is behind it."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?%&+-/()'\""
"""What any brief may say; other scripts fall back to fonts that have them."""


# All of them -------------------------------------------------------------------------------------


@dataclass
class KitSurvey:
    """Every preset and every brand kit of a library: those that can be used, and what is wrong."""

    presets: dict[str, dict[str, Preset]] = field(default_factory=dict)
    """archetype -> name -> preset."""
    brands: dict[str, Brand] = field(default_factory=dict)
    problems: dict[tuple[str, str], list[Problem]] = field(default_factory=dict)
    """("brand", name) or (archetype, name) -> what is to be said of it."""


def survey_kits(library: PresetLibrary, fonts: FontLibrary) -> KitSurvey:
    """Look at everything. One file that is wrong keeps no other from being looked at."""
    found = KitSurvey()
    for archetype in sorted(DEFAULT_PRESET):
        found.presets[archetype] = {}
        for name in library.preset_names(archetype):
            problems = preset_findings(library, archetype, name, fonts)
            if problems:
                found.problems[archetype, name] = problems
            try:
                found.presets[archetype][name] = library.preset(archetype, name)
            except PresetError:
                continue
    for name in library.brand_names():
        problems = brand_findings(library, kit_file(library, f"brands/{name}/brand.yaml"), fonts)
        if problems:
            found.problems["brand", name] = problems
        try:
            found.brands[name] = library.brand(name)
        except PresetError:
            continue
    return found


# Brand kits --------------------------------------------------------------------------------------


def brand_findings(library: PresetLibrary, path: Path, fonts: FontLibrary) -> list[Problem]:
    """What is wrong with the kit of a file `brand.yaml`. Remembered as long as nothing changes that
    lies beside it: hundreds of briefs use the same."""
    found = _remember_findings(library, path, fonts, _folder_stamp(path.parent))
    if could_not_read(found):
        _remember_findings.cache_clear()
    return list(found)


def _folder_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a folder."""
    try:
        files = [(p.name, p.stat()) for p in folder.iterdir() if p.is_file()]
    except OSError:
        return ()
    return tuple(sorted((name, info.st_size, info.st_mtime_ns) for name, info in files))


@lru_cache(maxsize=256)
def _remember_findings(
    library: PresetLibrary, path: Path, fonts: FontLibrary, _stamp: object
) -> list[Problem]:
    kit, problems = read_data_file(path, Brand, folder=path.parent)
    if kit is None:
        return problems

    def report_finding(
        code: str, place: str, message: str, remedy: str, severity: str = "warning"
    ) -> None:
        problems.append(Problem(code, message, remedy, severity, file=str(path), field=place))

    shown = _filled_up(library, kit)
    _judge_roles(library, kit, {p.field or "" for p in problems}, report_finding)
    _judge_contrast(shown, report_finding)
    if kit.fonts is not None:
        for role, family in (("heading", kit.fonts.heading), ("body", kit.fonts.body)):
            _judge_font(f"fonts.{role}", family, fonts, report_finding)
    _judge_logos(shown, report_finding)
    return problems


_Say = Callable[..., None]


def _filled_up(library: PresetLibrary, kit: Brand) -> Brand:
    """With the neutral kit's roles where the kit has none."""
    try:
        neutral = library.brand("neutral")
    except (KeyError, PresetError):
        return kit
    return kit.model_copy(update={"colors": {**neutral.colors, **kit.colors}})


def _judge_roles(library: PresetLibrary, kit: Brand, faulty: set[str], say: _Say) -> None:
    known = {*ROLES, *_roles_of_presets(library)}
    for role in kit.colors:
        if role in known:
            continue
        close = difflib.get_close_matches(role, sorted(known), 1, 0.7)
        said = f"{role!r} is not a role that a preset uses."
        if close:
            say("brand.role", f"colors.{role}", said, f"Did you mean {close[0]!r}?", "error")
        else:
            say("brand.role", f"colors.{role}", said, f"Known are: {', '.join(ROLES)}.")
    missing = [r for r in ROLES if r not in kit.colors and f"colors.{r}" not in faulty]
    if missing:
        say(
            "brand.role_missing",
            "colors",
            f"{', '.join(missing)}: taken from the neutral kit.",
            "Add them, for the video to be in the brand's colours throughout.",
            "warning" if kit.colors else "info",
        )


def _roles_of_presets(library: PresetLibrary) -> set[str]:
    """The roles that preset files name, those of one's own included."""
    found: set[str] = set()
    for archetype in DEFAULT_PRESET:
        for name in library.preset_names(archetype):
            preset, _ = read_data_file(
                kit_file(library, f"{archetype}/{name}.yaml"), Preset, name=name
            )
            if preset is not None:
                found |= {role for _, role in named_colours(preset)}
    return found


def _judge_contrast(kit: Brand, say: _Say) -> None:
    for words, ground in PAIRS:
        a, b = kit.colors.get(words), kit.colors.get(ground)
        if a is None or b is None:
            continue
        found = contrast_of(a, b)
        if found < READABLE:
            others = tuple(kit.colors[g] for w, g in PAIRS if w == words and g in kit.colors)
            say(
                "brand.contrast",
                f"colors.{words}",
                f"{a} on {ground} {b} has a contrast of {found:.1f}:1; words are read well from "
                f"{READABLE}:1.",
                f'Write {words}: "{readable_near(a, others)}", or '
                f'{ground}: "{readable_near(b, (a,))}".',
            )


def _judge_font(place: str, family: str, fonts: FontLibrary, say: _Say) -> None:
    face = fonts.find(family, 700)
    if face is None:
        if family.lower().endswith((".ttf", ".otf", ".ttc", ".woff", ".woff2")):
            said, remedy = (
                f"{family!r} is a file, not a family.",
                "Put the file (TTF or OTF) into the fonts folder of presets and write the "
                "family's name, as `pytoon doctor` lists it.",
            )
        else:
            close = difflib.get_close_matches(family, fonts.families(), 1, 0.7)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            said, remedy = (
                f"the font {family!r} is not installed.",
                f"{hint}Put its files into the fonts folder of presets; `pytoon doctor` lists "
                "those there are.",
            )
        say("font.unknown", place, said, remedy)
        return
    lacking = [c for c in LETTERS if not fonts.covers_characters(face, c)]
    if lacking:
        shown = "".join(lacking) if len(lacking) <= 12 else f"{''.join(lacking[:12])} and more"
        say(
            "font.letters",
            place,
            f"the font {family!r} has no {shown}; another font's are taken.",
            "Choose a font with all letters, figures and signs.",
        )


# Logos -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LogoReading:
    """What a logo's file holds."""

    width: int
    height: int
    opaque: bool
    luminance: float


@lru_cache(maxsize=256)
def _read_logo_once(path: str, root: str, _size: int, _mtime_ns: int) -> _LogoReading:
    # A kit may lie beside a brief, where it can be replaced while it is looked at.
    with private_copy(Path(path), Path(root)) as copy:
        if probe_media(copy).kind != "image":
            raise UnreadableMediaError("media.kind", f"{copy.name} is no picture.", "Give a PNG.")
        picture = load_image(copy)
    height, width = picture.shape[:2]
    if picture.shape[2] == 3:
        return _LogoReading(width, height, True, 0.5)
    return _LogoReading(
        width, height, bool(picture[..., 3].min() > SEE_THROUGH), luminance_of(picture)
    )


def _look_at_logo(path: Path, root: Path) -> _LogoReading:
    """Raises UnreadableMediaError and OSError."""
    info = path.stat()
    return _read_logo_once(str(path), str(root), info.st_size, info.st_mtime_ns)


def _judge_logos(kit: Brand, say: _Say) -> None:
    if kit.logo is None:
        return
    for role in ("on_pictures", "on_ground"):
        name, place = getattr(kit.logo, role), f"logo.{role}"
        if name is None:
            continue
        if (
            "\0" in name
            or "\\" in name
            or not (
                (path := (kit.folder / name).resolve()).is_relative_to(kit.folder.resolve())
                and ".." not in Path(name).parts
            )
        ):
            say(
                "media.outside",
                place,
                f"the logo {name!r} leads out of the folder of the kit.",
                "Copy the file beside the kit and name it from there.",
                "error",
            )
            continue
        if not path.is_file():
            say(
                "brand.logo",
                place,
                f"the logo {name} of the brand kit does not exist.",
                "Put it beside the brand kit.",
                "error",
            )
            continue
        try:
            seen = _look_at_logo(path, kit.folder)
        except UnreadableMediaError as error:
            say(error.code, place, error.message, error.remedy, "error")
            continue
        except OSError as error:
            say(
                "media.unreadable",
                place,
                f"{name} can't be read: {error.strerror}.",
                "Check its rights.",
                "error",
            )
            continue
        _judge_logo(kit, role, name, seen, say)


def _judge_logo(kit: Brand, role: str, name: str, seen: _LogoReading, say: _Say) -> None:
    place = f"logo.{role}"
    assert kit.logo is not None
    places = [w for w in _iterate_logo_places(kit, role, seen)]
    where, needed = max(places, key=lambda item: item[1], default=("", 0.0))
    if seen.width < needed:
        say(
            "brand.logo_small",
            place,
            f"{name} is {seen.width}x{seen.height} pixels and is shown {needed:.0f} wide {where}, "
            f"enlarged {needed / seen.width:.1f} times.",
            f"Give one at least {needed:.0f} pixels wide.",
            "error" if seen.width < needed / 3 else "warning",
        )
    if seen.opaque:
        say(
            "brand.logo_opaque",
            place,
            f"{name} has no transparent ground, and is shown with its own as a box.",
            "Save it as PNG with a transparent ground; `pytoon new-brand` takes a logo out of a "
            "plain one.",
        )
        return
    on_ground = role == "on_ground" or kit.logo.on_ground is None and kit.end_card is not None
    ground = kit.colors.get("ground")
    if on_ground and ground:
        found = contrast_ratio(seen.luminance, relative_luminance(ground))
        if found < LOST:
            say(
                "brand.logo_lost",
                place,
                f"{name} can hardly be seen on ground {ground} (contrast {found:.1f}:1).",
                "Give a darker version as logo.on_ground.",
            )


def _iterate_logo_places(kit: Brand, role: str, seen: _LogoReading) -> Iterator[tuple[str, float]]:
    """Where a version of the logo is shown, and how many pixels wide on a finished frame."""
    aspect = seen.width / seen.height
    yield "as a watermark", min(kit.watermark.width * FRAME[0], MARK_HEIGHT * aspect)
    on_card = role == "on_ground" or kit.logo is not None and kit.logo.on_ground is None
    if kit.end_card is not None and on_card:
        yield "on the end card", min(CARD_LOGO[0], CARD_LOGO[1] * aspect)


# Presets -----------------------------------------------------------------------------------------
