"""Preset, brand kit and platform: found by name, or the default with a note."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from pytoon_pipeline.briefs.file_names import find_path
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.kit_findings import brand_findings
from pytoon_pipeline.compiler.preset_findings import preset_findings
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET
from pytoon_pipeline.errors import PresetError, Problem


def choose_preset_and_brand(d: PlanDraft) -> None:
    library = d.shop.presets
    d.facts = library.facts()
    _choose_preset(d)
    d.brand = _find_brand(d)
    name = d.spec.constraints.safe_zone
    platform = d.facts.profiles.get(name)
    if platform is None:
        _report_unknown(d, "platform", name, sorted(d.facts.profiles), "platform")
        platform = d.facts.profiles["universal_ads"]
    d.clear_box = d.box(platform.clear_box)
    d.spec.constraints.clear_box = d.clear_box
    d.spec.constraints.max_duration = min(
        d.spec.constraints.max_duration, d.facts.delivery.max_seconds
    )


def _report_unknown(d: PlanDraft, what: str, name: str, known: list[str], field: str) -> None:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    d.error(
        f"{what}.unknown",
        f"there is no {what} {name!r}.",
        f"{hint}Known: {', '.join(known)}.",
        field,
    )


def _known_name(name: str, names: list[str]) -> str:
    """A name as it is known, whatever its capitals; itself where it is not."""
    plain = name.strip().lower()
    return plain if name not in names and plain in names else name


def _choose_preset(d: PlanDraft) -> None:
    archetype, name = d.spec.archetype, d.spec.preset or DEFAULT_PRESET[d.spec.archetype]
    known = d.shop.presets.preset_names(archetype)
    name = _known_name(name, known)
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
            _report_unknown(d, "preset", name, known, "preset")
        name = DEFAULT_PRESET[archetype]
    findings = preset_findings(d.shop.presets, archetype, name, d.shop.fonts)
    _report_findings(d, findings)
    # Where it can't be used the default stands in, to find what else is wrong.
    usable = not any(p.severity == "error" for p in findings)
    d.preset = d.shop.presets.preset(archetype, name if usable else DEFAULT_PRESET[archetype])
    d.spec.preset = name


def _report_findings(d: PlanDraft, findings: list[Problem]) -> None:
    """Files of presets are named from their own folder, which is elsewhere on each machine: what is
    said of a plan is kept in it."""
    for p in findings:
        path, shown = Path(p.file or ""), p.file
        for folder in d.shop.presets.folders:
            if path.is_relative_to(folder):
                shown = f"presets/{path.relative_to(folder).as_posix()}"
                break
        d.problems.append(replace(p, file=shown))


def _find_brand(d: PlanDraft) -> Brand:
    """A kit of the presets folder by name, or a file inside the brief's folder."""
    library = d.shop.presets
    d.spec.brand = name = _known_name(d.spec.brand, library.brand_names())
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
        if name not in library.brand_names():
            raise KeyError(name)
        kit = library.find(f"brands/{name}/brand.yaml")
        findings = brand_findings(library, kit, d.shop.fonts) if kit else []
        _report_findings(d, findings)
        return _without_unusable_logo(library.brand(name), findings)
    except KeyError:
        _report_unknown(d, "brand", name, library.brand_names(), "brand")
    except PresetError as error:
        said = {(p.code, p.field) for p in d.problems}
        _report_findings(d, [p for p in error.problems if (p.code, p.field) not in said])
    return library.brand("neutral")


def _own_kit(d: PlanDraft, path: Path) -> Brand:
    """A kit that came with the brief, and so is to be trusted no more than the brief."""
    library, name = d.shop.presets, d.spec.brand
    findings = brand_findings(library, path, d.shop.fonts)
    for p in findings:
        place = f"{name}: {p.field}" if p.field else name
        message = f"the brand kit {place}: {p.message}"
        d.problems.append(Problem(p.code, message, p.remedy, p.severity, d.file, "brand"))
    try:
        return _without_unusable_logo(library.brand_file(path), findings)
    except PresetError:
        return library.brand("neutral")


def _without_unusable_logo(brand: Brand, findings: list[Problem]) -> Brand:
    """Without a logo that can't be used; that is said already."""
    bad = any(p.severity == "error" and (p.field or "").startswith("logo.") for p in findings)
    return brand.model_copy(update={"logo": None}) if bad else brand
