"""Presets, brand kits and platform facts: data files under `presets/`, read and checked here."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TypeVar

import yaml

from pytoon_pipeline.briefs.reading import MAX_BYTES, read_document
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.compiler.brand_model import Brand, BrandFonts
from pytoon_pipeline.compiler.platform_model import PlatformFacts, ReviewWord, ReviewWordList
from pytoon_pipeline.compiler.preset_model import Preset, PresetData
from pytoon_pipeline.errors import PresetError, Problem
from pytoon_pipeline.files import read_file

DEFAULT_PRESET: dict[str, str] = {"hero": "daylight", "overlay": "studio", "meme": "classic"}


D = TypeVar("D", bound=PresetData)


def read_data_file(path: Path, model: type[D], **extra: object) -> tuple[D | None, list[Problem]]:
    """A data file as its model, and every problem of it. With problems the model is what is left
    without the faulty parts, or None."""
    data, problems = read_document(path, str(path))
    if data is None:
        return None, problems
    mended = _named_colours(data, str(path), problems) if model is Brand else data
    made, found = validate_data(model, {**mended, **extra}, str(path))
    return made, problems + found


def _named_colours(data: dict, shown: str, problems: list[Problem]) -> dict:
    """A kit's data without the colours that are none; they are reported."""
    colours = data.get("colors")
    if not isinstance(colours, dict):
        return data
    for role, value in colours.items():
        if isinstance(value, str) and _COLOUR.fullmatch(value):
            continue
        if value is None:
            said = "is empty: without quotes a colour's # begins a comment."
            remedy = f'Write {role}: "#RRGGBB", in quotes.'
        else:
            said = f"{value!r} is not a colour."
            close = _as_hex(value)
            remedy = f'Write {role}: "{close}".' if close else 'Write it as "#RRGGBB", in quotes.'
        problems.append(Problem("brand.color", said, remedy, file=shown, field=f"colors.{role}"))
    good = {r: v for r, v in colours.items() if isinstance(v, str) and _COLOUR.fullmatch(v)}
    return {**data, "colors": good}


_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


def _as_hex(value: object) -> str | None:
    """What a colour that is written in another way comes to: `red`, `#b42`, `rgb(184, 70, 47)`,
    `B8462F`."""
    from PIL import ImageColor

    text = str(value).strip()
    for written in (text, f"#{text}"):
        try:
            red, green, blue = ImageColor.getrgb(written)[:3]
        except ValueError:
            continue
        return f"#{red:02X}{green:02X}{blue:02X}"
    return None


def _read_model(path: Path, model: type[D], **extra: object) -> D:
    made, problems = read_data_file(path, model, **extra)
    if made is None or problems:
        raise PresetError(problems)
    return made


class PresetLibrary:
    """What lies in folders of presets, by name: a file of an earlier folder stands in for that of
    a later one, and what a folder does not have comes from those behind it."""

    def __init__(self, *folders: Path):
        self.folders = tuple(Path(f) for f in folders)
        if self.find("platforms.yaml") is None:
            raise PresetError(
                Problem(
                    "preset.folder",
                    f"there is no platforms.yaml in {', '.join(map(str, self.folders))}.",
                    "Point PYTOON_PRESETS_DIR to a presets folder, or leave it unset.",
                    field="PYTOON_PRESETS_DIR",
                )
            )

    def find(self, name: str) -> Path | None:
        """The file (`hero/bold.yaml`) in the first folder that has it."""
        return next((f / name for f in self.folders if (f / name).is_file()), None)

    def folder_of(self, path: Path) -> Path:
        """The one of the folders that a file found here lies in."""
        return next(f for f in self.folders if path.is_relative_to(f))

    def _named_files(self, pattern: str) -> set[Path]:
        """Files of all folders that match, below their folder."""
        return {p.relative_to(f) for f in self.folders for p in f.glob(pattern)}

    def presets(self) -> dict[str, dict[str, Preset]]:
        """Archetype -> name -> preset, both sorted, of those whose files can be used
        (`spec.kit_findings` says what is wrong with the others)."""
        found: dict[str, dict[str, Preset]] = {}
        for archetype in sorted(DEFAULT_PRESET):
            found[archetype] = {}
            for name in self.preset_names(archetype):
                with suppress(PresetError):
                    found[archetype][name] = self.preset(archetype, name)
        return found

    def preset_names(self, archetype: str) -> list[str]:
        return sorted(p.stem for p in self._named_files(f"{archetype}/*.yaml"))

    def preset(self, archetype: str, name: str) -> Preset:
        """Raises PresetError when the file is wrong, KeyError when there is none."""
        if name not in self.preset_names(archetype):
            raise KeyError(name)
        return _read_model(self.find(f"{archetype}/{name}.yaml"), Preset, name=name)  # type: ignore

    def brand_names(self) -> list[str]:
        return sorted(p.parent.name for p in self._named_files("brands/*/brand.yaml"))

    def brand(self, name: str) -> Brand:
        """A kit by name. Raises as `preset`."""
        if name not in self.brand_names():
            raise KeyError(name)
        return self.brand_file(self.find(f"brands/{name}/brand.yaml"))  # type: ignore[arg-type]

    def neutral_fonts(self) -> BrandFonts:
        """The fonts of the kit `neutral`, which stand in for a kit without any."""
        fonts = self.brand("neutral").fonts
        if fonts is None:
            message = "names no fonts, and every kit without fonts falls back to its own."
            raise PresetError(
                Problem("brand.fonts", message, "Add `fonts:` to it.", file="brands/neutral")
            )
        return fonts

    def brands(self) -> dict[str, Brand]:
        """Name -> kit, of those whose files can be used."""
        found: dict[str, Brand] = {}
        for name in self.brand_names():
            with suppress(PresetError):
                found[name] = self.brand(name)
        return found

    def problems(self) -> list[Problem]:
        """Why the others of `presets` and `brands` can't be used."""
        asked: list[Callable[[], Preset | Brand]] = [
            partial(self.preset, a, n) for a in DEFAULT_PRESET for n in self.preset_names(a)
        ]
        asked += [partial(self.brand, name) for name in self.brand_names()]
        found: list[Problem] = []
        for read in asked:
            try:
                read()
            except PresetError as error:
                found += error.problems
        return found

    def brand_file(self, path: Path) -> Brand:
        """A kit from a file; roles and fonts that it leaves out come from the neutral kit."""
        brand = _read_model(path, Brand, folder=path.parent)
        plain = [f / "brands" / "neutral" / "brand.yaml" for f in self.folders]
        # A neutral kit of one's own is filled up from the one that it stands in for.
        behind = plain[plain.index(path) + 1 :] if path in plain else plain
        base = next((p for p in behind if p.is_file()), None)
        if base is None:
            return brand
        neutral = self.brand_file(base)
        return brand.model_copy(
            update={
                "colors": {**neutral.colors, **brand.colors},
                "fonts": brand.fonts or neutral.fonts,
            }
        )

    @cached_property
    def _load_facts(self) -> PlatformFacts:
        return _read_model(self.find("platforms.yaml"), PlatformFacts)  # type: ignore

    def facts(self) -> PlatformFacts:
        """`platforms.yaml`, read once."""
        return self._load_facts

    @cached_property
    def _load_review(self) -> ReviewWordList:
        path = self.find("review_words.yaml")
        if path is None:
            raise FileNotFoundError("review_words.yaml")  # Not remembered: it may come.
        return _read_model(path, ReviewWordList)

    def review_words(self, locale: str) -> list[ReviewWord]:
        """The list of a language (`de-CH` is `de`), English for one that has none."""
        try:
            languages = self._load_review.languages
        except FileNotFoundError:
            languages = ReviewWordList().languages
        language = locale.replace("_", "-").split("-")[0].lower()
        return languages.get(language, languages.get("en", []))

    def tracks(self) -> dict[str, dict]:
        """Music by name, as `music/ledger.yaml` of each folder has it."""
        return {name: entry for name, (entry, _) in self._load_tracks().items()}

    def track_file(self, name: str) -> Path:
        """The file of a track that `tracks` lists, beside the ledger that names it."""
        entry, folder = self._load_tracks()[name]
        return folder / entry["file"]

    def _load_tracks(self) -> dict[str, tuple[dict, Path]]:
        found: dict[str, tuple[dict, Path]] = {}
        for folder in reversed(self.folders):
            ledger = folder / "music" / "ledger.yaml"
            if ledger.is_file():
                for entry in _read_ledger(ledger):
                    found[entry["name"]] = (entry, ledger.parent)
        return found


def _read_ledger(path: Path) -> list[dict]:
    """The entries of a ledger of music. Raises PresetError."""
    try:
        said = yaml.safe_load(read_file(path, MAX_BYTES).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PresetError(
            Problem("preset.yaml", f"is not valid YAML: {error}", file=str(path))
        ) from error
    entries = said.get("tracks") if isinstance(said, dict) else said
    for number, entry in enumerate(entries or []):
        for key in ("name", "file", "licence"):
            if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
                raise PresetError(
                    Problem(
                        "preset.field",
                        f"a track needs `{key}`, as text.",
                        "Give every track name, file and licence.",
                        file=str(path),
                        field=f"tracks[{number}].{key}",
                    )
                )
    return entries or []


@lru_cache(maxsize=8)
def open_presets(*folders: Path) -> PresetLibrary:
    """The library of some folders, the first first, opened once per process."""
    return PresetLibrary(*folders)
