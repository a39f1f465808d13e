"""Presets, brand kits and platform facts: data files under `presets/`, read and checked here."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field

from pytoon_pipeline.briefs.model import Archetype, Text
from pytoon_pipeline.briefs.reading import MAX_BYTES, read_document
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.errors import PresetError, Problem
from pytoon_pipeline.files import read_file
from pytoon_pipeline.plan.fields import Box, Colour, Fraction01
from pytoon_pipeline.plan.segment import TransitionKind
from pytoon_pipeline.plan.text import Entrance, Shadow, TextBox

DEFAULT_PRESET: dict[str, str] = {"hero": "daylight", "overlay": "studio", "meme": "classic"}


class _PresetData(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


D = TypeVar("D", bound=_PresetData)


ColourRole = str
"""A role of the brand kit's `colors`, or a colour."""
ROLES: dict[str, str] = {
    "text": "Words on pictures.",
    "accent": "The plate behind the last line, and badges.",
    "on_accent": "Words on `accent`.",
    "ground": "The ground of overlays and of the end card, where it is light.",
    "ground_deep": "The same ground in its shade, at the lower edge.",
    "on_ground": "Words on `ground` and on `ground_deep`.",
    "deep": "A dark ground, lit from the middle, behind cut-outs.",
    "deep_low": "The same dark ground in its shade, at the edges.",
    "on_deep": "Words on `deep` and on `deep_low`.",
    "paper": "The plate behind words, and the ground of memes.",
    "on_paper": "Words on `paper`.",
    "ink": "Outlines of words, and words on pictures too bright for `text`.",
}
"""Roles of a brand kit's `colors` that the presets use -> what each is seen as."""
PAIRS: tuple[tuple[str, str], ...] = (
    ("on_accent", "accent"),
    ("on_ground", "ground"),
    ("on_ground", "ground_deep"),
    ("on_deep", "deep"),
    ("on_deep", "deep_low"),
    ("text", "deep"),
    ("on_paper", "paper"),
    ("text", "ink"),
    ("paper", "ink"),
)
"""Roles that are read together: the words, and what they stand on."""


class Pacing(_PresetData):
    """Seconds on screen."""

    still: float = Field(gt=0, le=60)
    shortest: float = Field(gt=0, le=60)
    clip: float = Field(gt=0, le=60, description="Longest a clip runs when the brief is silent.")


class PresetTransitions(_PresetData):
    kinds: list[TransitionKind] = Field(min_length=1)
    seconds: float = Field(ge=0, le=3)
    lively: list[TransitionKind] = Field(
        min_length=1, description="Used when the brief is not brand safe."
    )
    safe: list[TransitionKind] = Field(
        default=["cut", "fade", "fade_black", "slide"],
        description="What a brand-safe brief may ask for by name.",
    )


class PresetMotion(_PresetData):
    kinds: list[str] = Field(min_length=1)
    amount: float = Field(ge=0, le=0.5)
    lively: float = Field(ge=0, le=0.5, description="Amount when the brief is not brand safe.")


class PresetMedia(_PresetData):
    fit: Literal["auto", "cover", "contain", "frame"] = "auto"
    most_crop: Fraction01 = 0.4
    contain_crop: Fraction01 = Field(
        0.0, description="Share that a picture shown whole may lose, to stand larger."
    )
    box: Box | None = None
    anchor: Literal["top", "middle"] = "middle"
    radius: int = 0
    shadow: Fraction01 = 0.0


class PresetBackground(_PresetData):
    kind: Literal["color", "gradient", "blur"]
    colors: list[ColourRole] = Field(default_factory=list)
    light: tuple[Fraction01, Fraction01] | None = Field(
        None, description="Gradient: x, y on the frame where its first colour is brightest."
    )
    darken: Fraction01 = 0.0
    parallax: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.0, description="Travel of a blurred or pictured ground, a share of the frame's height."
    )


class PresetGenerated(_PresetData):
    """Footage that a model makes."""

    seconds: float = Field(4.5, gt=0, le=12, description="Of a scene, when the brief is silent.")
    stretch: Literal["ping_pong", "slow_down"] = Field(
        "ping_pong",
        description="Where a take is shorter than its scene: back and forth, or slower.",
    )


class PresetTextBox(TextBox):
    color: ColourRole


class PresetType(_PresetData):
    """A style with roles of the brand kit in place of colours and fonts."""

    font: str
    weight: int = 700
    fallback: list[str] = Field(
        default_factory=list,
        description="Families for letters that `font` lacks, before the brand's body font.",
    )
    max_px: int
    min_px: int
    max_lines: int = 2
    max_chars: int = 26
    line_height: float = 1.1
    letter_spacing: float = 0.0
    align: Literal["left", "center", "right"] = "center"
    uppercase: bool = False
    color: ColourRole
    alternate: ColourRole | None = Field(None, description="On pictures too bright for `color`.")
    stroke: float = 0.0
    stroke_color: ColourRole = "ink"
    shadow: Shadow | None = None
    box: PresetTextBox | None = None
    scrim: Fraction01 = 0.0
    place: Literal["top", "middle", "bottom"] = "middle"
    entrance: Entrance = Field(default_factory=Entrance)
    area: Box | None = Field(None, description="Where it goes; the preset's text_area if none.")
    hold: Literal["cue", "segment", "video"] = Field(
        "cue",
        description="cue: as long as a reader needs; segment: until the next line or the end of "
        "the segment; video: all through.",
    )


class PresetTypes(_PresetData):
    hook: PresetType
    beat: PresetType
    cta: PresetType


class Preset(_PresetData):
    """A named look of an archetype."""

    name: str
    archetype: Archetype
    title: str
    summary: str
    pacing: Pacing
    transitions: PresetTransitions
    motion: PresetMotion
    media: PresetMedia = Field(default_factory=PresetMedia)
    background: PresetBackground
    generated: PresetGenerated = Field(default_factory=PresetGenerated)
    type: PresetTypes
    text_area: Box | None = Field(None, description="Where all text goes; the clear box if none.")
    music: str | None = None


class BrandFonts(_PresetData):
    """Families, as the fonts' own name tables have them; `pytoon doctor` lists those there are."""

    heading: str
    body: str


class BrandLogo(_PresetData):
    """Pictures with a transparent ground, beside the kit."""

    on_pictures: str = Field(description="The light version, for pictures and dark grounds.")
    on_ground: str | None = Field(
        None, description="The dark version, for light grounds; the other one if none is given."
    )


class Watermark(_PresetData):
    """Where the logo stands over the video."""

    place: Literal["top_left", "top_right", "bottom_left", "bottom_right", "top", "bottom"] = (
        "top_left"
    )
    width: Fraction01 = Field(0.2, description="Share of the frame's width.")
    opacity: Fraction01 = 0.92


class EndCard(_PresetData):
    """How the brand's videos close: its logo on its ground, with a line or two."""

    seconds: float = Field(1.6, ge=0.8, le=10)
    headline: Text | None = None
    line: Text | None = Field(None, description="Small, below: an address, a claim.")


class Brand(_PresetData):
    """A brand's logo, colours and fonts. Files are relative to the kit's folder."""

    name: str = Field(description="As people write it.")
    colors: dict[str, Colour] = Field(
        default_factory=dict,
        description='Role -> colour, in quotes: "#B8462F". What is left out is the neutral kit\'s.',
        json_schema_extra={
            "properties": {
                role: {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$", "description": seen_as}
                for role, seen_as in ROLES.items()
            }
        },
    )
    fonts: BrandFonts | None = None
    logo: BrandLogo | None = None
    watermark: Watermark = Field(default_factory=Watermark)
    end_card: EndCard | None = None
    folder: Path = Field(default=Path("."), exclude=True)

    def color(self, role: str) -> str | None:
        """The colour of a role, or the colour itself; None when the kit has no such role."""
        return role if role.startswith("#") else self.colors.get(role)


class PlatformRules(_PresetData):
    title: str
    clear_box: Box
    source: str


class VideoDeliveryRules(_PresetData):
    preset: str
    crf: float
    maxrate_kbps: int
    bufsize_kbps: int
    profile: str
    level: str
    gop: int
    bframes: int
    lookahead: int
    threads: int


class DeliveryRules(_PresetData):
    max_seconds: float
    min_seconds: float
    max_bytes: int
    max_mbps: float
    video: VideoDeliveryRules
    audio_kbps: int


class FontSizeRules(_PresetData):
    hook_min: int
    body_min: int
    floor: int


class CaptionRules(_PresetData):
    max_chars_per_second: float
    cue_seconds: tuple[float, float]
    font_px: FontSizeRules


class LoudnessRules(_PresetData):
    target_lufs: float
    true_peak_db: float


class PlatformFacts(_PresetData):
    profiles: dict[str, PlatformRules]
    delivery: DeliveryRules
    captions: CaptionRules
    loudness: LoudnessRules


class ReviewWord(_PresetData):
    """Words that a person should look at, and why."""

    words: list[str] = Field(min_length=1, description="A star at the end: any ending.")
    why: str
    severity: Literal["warning", "info"] = "info"


class ReviewWordList(_PresetData):
    languages: dict[str, list[ReviewWord]] = Field(default_factory=dict)


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
        """archetype -> name -> preset, both sorted, of those whose files can be used
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
        """name -> kit, of those whose files can be used."""
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
