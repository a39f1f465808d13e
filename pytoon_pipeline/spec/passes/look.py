"""Preset, brand kit and platform: found by name, or the default with a note."""

from __future__ import annotations

import difflib
from pathlib import Path

from pytoon_pipeline.briefs.names import find_path
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.errors import PresetError
from pytoon_pipeline.media.probe import UnreadableMedia, probe
from pytoon_pipeline.spec.draft import Draft
from pytoon_pipeline.spec.presets import DEFAULT_PRESET, Brand


def choose_look(d: Draft) -> None:
    library = d.shop.presets
    d.facts = library.facts()
    _choose_preset(d)
    d.brand = _find_brand(d)
    name = d.spec.constraints.safe_zone
    platform = d.facts.profiles.get(name)
    if platform is None:
        _unknown(d, "platform", name, sorted(d.facts.profiles), "platform")
        platform = d.facts.profiles["universal_ads"]
    d.clear_box = d.box(platform.clear_box)
    d.spec.constraints.clear_box = d.clear_box
    d.spec.constraints.max_duration = min(
        d.spec.constraints.max_duration, d.facts.delivery.max_seconds
    )


def _unknown(d: Draft, what: str, name: str, known: list[str], field: str) -> None:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    d.error(
        f"{what}.unknown",
        f"there is no {what} {name!r}.",
        f"{hint}Known: {', '.join(known)}.",
        field,
    )


def _known(name: str, names: list[str]) -> str:
    """A name as it is known, whatever its capitals; itself where it is not."""
    plain = name.strip().lower()
    return plain if name not in names and plain in names else name


def _choose_preset(d: Draft) -> None:
    archetype, name = d.spec.archetype, d.spec.preset or DEFAULT_PRESET[d.spec.archetype]
    known = d.shop.presets.preset_names(archetype)
    name = _known(name, known)
    if name not in known:
        other = [a for a in DEFAULT_PRESET if name in d.shop.presets.preset_names(a)]
        if other:
            d.error(
                "preset.archetype",
                f"the preset {name!r} belongs to the archetype {other[0]!r}, not {archetype!r}.",
                f"Write archetype: {other[0]}, or choose one of {', '.join(known)}.",
                "preset",
            )
        else:
            _unknown(d, "preset", name, known, "preset")
        name = DEFAULT_PRESET[archetype]
    d.preset = d.shop.presets.preset(archetype, name)
    d.spec.preset = name


def _find_brand(d: Draft) -> Brand:
    """A kit of the presets folder by name, or a file inside the brief's folder."""
    library = d.shop.presets
    d.spec.brand = name = _known(d.spec.brand, library.brand_names())
    try:
        if name.lower().endswith((".yaml", ".yml")):
            path = (d.folder / find_path(d.folder, name).path).resolve()
            if not path.is_relative_to(d.folder.resolve()) or not path.is_file():
                d.error(
                    "brand.missing",
                    f"the brand kit {name!r} is not a file in the folder of this brief.",
                    "Put it beside the brief, or name a kit of presets/brands.",
                    "brand",
                )
                return library.brand("neutral")
            return _own_kit(d, path)
        return library.brand(name)
    except KeyError:
        _unknown(d, "brand", name, library.brand_names(), "brand")
    except PresetError as error:
        d.problems.extend(error.problems)
    return library.brand("neutral")


def _own_kit(d: Draft, path: Path) -> Brand:
    """A kit that came with the brief, and so is to be trusted no more than the brief."""
    library, name = d.shop.presets, d.spec.brand
    data, problems = read_document(path, name)
    if data is None:
        d.problems.extend(problems)
        return library.brand("neutral")
    try:
        brand = library.brand_file(path)
    except PresetError as error:
        for p in error.problems:
            place = f"{name}: {p.field}" if p.field else name
            d.error(p.code, f"the brand kit {place}: {p.message}", "Mend it there.", "brand")
        return library.brand("neutral")
    logo = brand.logo
    if logo is None or all(_good_logo(d, brand, f) for f in (logo.on_pictures, logo.on_ground)):
        return brand
    return brand.model_copy(update={"logo": None})


def _good_logo(d: Draft, brand: Brand, name: str | None) -> bool:
    """A picture beside the kit; the problem is reported. That it is missing is said later."""
    if name is None:
        return True
    folder = brand.folder.resolve()
    inside = "\0" not in name and "\\" not in name and (folder / name).resolve()
    if not inside or not inside.is_relative_to(folder) or ".." in Path(name).parts:
        d.error(
            "media.outside", f"the logo {name!r} leads out of the folder of the brand kit.",
            "Copy the file beside the kit and name it from there.", "brand",
        )
        return False
    if not inside.exists():
        return True
    try:
        kind = probe(inside).kind
    except UnreadableMedia as error:
        d.error(error.code, error.message, error.remedy, "brand")
        return False
    if kind != "image":
        d.error("media.kind", f"the logo {name} is no picture.", "Give a PNG.", "brand")
    return kind == "image"
