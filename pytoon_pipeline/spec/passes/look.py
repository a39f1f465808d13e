"""Preset, brand kit and platform: found by name, or the default with a note."""

from __future__ import annotations

import difflib

from pytoon_pipeline.errors import PresetError
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


def _choose_preset(d: Draft) -> None:
    archetype, name = d.spec.archetype, d.spec.preset or DEFAULT_PRESET[d.spec.archetype]
    known = d.shop.presets.preset_names(archetype)
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
    name, library = d.spec.brand, d.shop.presets
    try:
        if name.lower().endswith((".yaml", ".yml")):
            path = (d.folder / name).resolve()
            if not path.is_relative_to(d.folder.resolve()) or not path.is_file():
                d.error(
                    "brand.missing",
                    f"the brand kit {name!r} is not a file in the folder of this brief.",
                    "Put it beside the brief, or name a kit of presets/brands.",
                    "brand",
                )
                return library.brand("neutral")
            return library.brand_file(path)
        return library.brand(name)
    except KeyError:
        _unknown(d, "brand", name, library.brand_names(), "brand")
    except PresetError as error:
        d.problems.extend(error.problems)
    return library.brand("neutral")
