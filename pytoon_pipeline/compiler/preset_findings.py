"""What is wrong with a preset file, each fault with file, field and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from pytoon_pipeline.briefs.reading import could_not_read
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.preset_model import ROLES, Preset
from pytoon_pipeline.compiler.presets import PresetLibrary, read_data_file
from pytoon_pipeline.errors import PresetError, Problem
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.plan.segment import MOTIONS


def preset_findings(
    library: PresetLibrary, archetype: str, name: str, fonts: FontLibrary
) -> list[Problem]:
    """What is wrong with a preset's file; remembered until the file changes."""
    path = kit_file(library, f"{archetype}/{name}.yaml")
    return preset_file_findings(library, archetype, path, fonts)


def preset_file_findings(
    library: PresetLibrary, archetype: str, path: Path, fonts: FontLibrary
) -> list[Problem]:
    """The same of a file that need not lie in the library."""
    try:
        info = path.stat()
        stamp = info.st_size, info.st_mtime_ns
    except OSError:
        stamp = 0, 0
    found = _preset_findings(library, archetype, path, fonts, stamp)
    if could_not_read(found):
        _preset_findings.cache_clear()
    return list(found)


ReportFinding = Callable[..., None]
"""Code, place, message, remedy, and severity where it is no error."""


@lru_cache(maxsize=256)
def _preset_findings(
    library: PresetLibrary, archetype: str, path: Path, fonts: FontLibrary, _stamp: object
) -> list[Problem]:
    preset, problems = read_data_file(path, Preset, name=path.stem)
    if preset is None:
        return problems

    def report_finding(
        code: str, place: str, message: str, remedy: str, severity: str = "error"
    ) -> None:
        problems.append(Problem(code, message, remedy, severity, file=str(path), field=place))

    _judge_archetype(preset, archetype, report_finding)
    _judge_colours(preset, {*ROLES, *_roles_of_kits(library)}, report_finding)
    _judge_type(preset, fonts, report_finding)
    _judge_boxes(preset, report_finding)
    _judge_music(preset, library, report_finding)
    return problems


def _judge_archetype(preset: Preset, archetype: str, report_finding: ReportFinding) -> None:
    """The folder and the movements of a preset."""
    if preset.archetype != archetype:
        report_finding(
            "preset.archetype",
            "archetype",
            f"is {preset.archetype!r}, and the file lies in the folder {archetype}.",
            f"Write archetype: {archetype}, or move the file to {preset.archetype}.",
        )
    for number, kind in enumerate(preset.motion.kinds):
        if kind not in MOTIONS:
            report_finding(
                "preset.motion",
                f"motion.kinds[{number}]",
                f"there is no motion {kind!r}.",
                _suggest_name(kind, MOTIONS),
            )


def _judge_colours(preset: Preset, known: set[str], report_finding: ReportFinding) -> None:
    """Colours are roles of brand kits, or `#RRGGBB`."""
    for place, role in named_colours(preset):
        if role.startswith("#"):
            if len(role) != 7 or set(role[1:].lower()) - set("0123456789abcdef"):
                report_finding(
                    "preset.color", place, f"{role!r} is not a colour.", 'Write "#RRGGBB".'
                )
        elif role not in known:
            report_finding(
                "preset.color",
                place,
                f"{role!r} is not a role of brand kits.",
                _suggest_name(role, tuple(ROLES)),
            )


def _judge_type(preset: Preset, fonts: FontLibrary, report_finding: ReportFinding) -> None:
    """Sizes in order, and fonts that are installed."""
    for role in ("hook", "beat", "cta"):
        kind = getattr(preset.type, role)
        if kind.min_px > kind.max_px:
            report_finding(
                "preset.type",
                f"type.{role}.min_px",
                f"{kind.min_px} is more than max_px {kind.max_px}.",
                "Exchange them.",
            )
        if kind.font not in ("heading", "body") and fonts.find(kind.font, kind.weight) is None:
            report_finding(
                "font.unknown",
                f"type.{role}.font",
                f"the font {kind.font!r} is not installed.",
                "Write heading or body for the brand's own, or put its files into the fonts "
                "folder of presets.",
                "warning",
            )
        for family in kind.fallback:
            if fonts.find(family, kind.weight) is None:
                report_finding(
                    "font.unknown",
                    f"type.{role}.fallback",
                    f"the font {family!r} is not installed.",
                    "Put its files into the fonts folder of presets, or leave it out.",
                    "warning",
                )


def _judge_boxes(preset: Preset, report_finding: ReportFinding) -> None:
    """Boxes lie on a frame of 1080x1920."""
    boxes = {"text_area": preset.text_area, "media.box": preset.media.box}
    boxes |= {f"type.{r}.area": getattr(preset.type, r).area for r in ("hook", "beat", "cta")}
    for place, box in boxes.items():
        if box is not None and not (
            0 <= box[0] < box[2] <= FRAME[0] and 0 <= box[1] < box[3] <= FRAME[1]
        ):
            report_finding(
                "preset.box",
                place,
                f"{list(box)} is no area of a frame of 1080x1920.",
                "Write [left, top, right, bottom] in its pixels.",
            )


def _judge_music(preset: Preset, library: PresetLibrary, report_finding: ReportFinding) -> None:
    """The track is one of the library."""
    try:
        tracks = sorted(library.tracks())
    except (PresetError, KeyError, TypeError, AttributeError):
        tracks = []  # Music is judged where it is listed.
    if preset.music and tracks and preset.music not in tracks:
        report_finding(
            "preset.music",
            "music",
            f"there is no track {preset.music!r}.",
            _suggest_name(preset.music, tuple(tracks)),
        )


def _suggest_name(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(known)}."


def _roles_of_kits(library: PresetLibrary) -> set[str]:
    """Roles that kits of one's own have beside those that all have."""
    found: set[str] = set()
    for name in library.brand_names():
        kit, _ = read_data_file(kit_file(library, f"brands/{name}/brand.yaml"), Brand)
        found |= set(kit.colors) if kit is not None else set()
    return found


def named_colours(preset: Preset) -> Iterator[tuple[str, str]]:
    """Field -> role or colour, of all that a preset names."""
    for number, role in enumerate(preset.background.colors):
        yield f"background.colors[{number}]", role
    for role in ("hook", "beat", "cta"):
        kind = getattr(preset.type, role)
        yield f"type.{role}.color", kind.color
        if kind.stroke:
            yield f"type.{role}.stroke_color", kind.stroke_color
        if kind.alternate:
            yield f"type.{role}.alternate", kind.alternate
        if kind.box:
            yield f"type.{role}.box.color", kind.box.color


FRAME = 1080, 1920
"""Pixels of a finished frame: what logos are measured against."""


def kit_file(library: PresetLibrary, name: str) -> Path:
    path = library.find(name)
    assert path is not None, name
    return path
