"""Brief: what a person asks for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pytoon_pipeline.briefs.scalars import DrawnText


def _normalise_word(value: Any) -> Any:
    """A word to choose, whatever its capitals."""
    return value.strip().lower() if isinstance(value, str) else value


Archetype = Annotated[Literal["hero", "overlay", "meme"], BeforeValidator(_normalise_word)]
EnginePolicy = Annotated[
    Literal["local_only", "local_preferred", "api_only"], BeforeValidator(_normalise_word)
]

_Fraction = Annotated[float, Field(ge=0, le=1)]


def _as_text(value: Any) -> Any:
    """YAML reads `cta: 50` or `hook: 2026` as numbers; a person meant the characters."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, Field(min_length=1, max_length=2000), BeforeValidator(_as_text), DrawnText()]


_SECONDS = re.compile(
    r"(?:(\d{1,2}):)?(\d{1,4})(?:[.,](\d{1,6}))?\s*(?:s|secs?|seconds?)?", re.IGNORECASE
)


def as_seconds(value: Any) -> Any:
    """`15 s`, `2,5` and `0:15` as people write them; all else as it is, `"15"`, too: in JSON that
    is no number."""
    if not isinstance(value, str) or value.strip().isdigit():
        return value
    found = _SECONDS.fullmatch(value.strip())
    if not found:
        return value
    return 60 * int(found[1] or 0) + float(f"{found[2]}.{found[3] or 0}")


def is_none(value: Any) -> bool:
    """Does it say that there is to be nothing: false, `none`, `no`, `off`?"""
    return value is False or (
        isinstance(value, str) and value.strip().lower() in ("none", "no", "off", "false")
    )


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class BackgroundItem(_StrictModel):
    """What lies behind a product: a picture or clip of one's own, or one of the preset's kinds."""

    path: str | None = Field(None, min_length=1, description="Picture or clip that fills the frame")
    kind: Literal["color", "gradient", "blur"] | None = Field(
        None, description="blur is the blurred copy of the picture itself."
    )
    colors: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        BeforeValidator(lambda v: [v] if isinstance(v, str) else v),
    ] = Field(default_factory=list, max_length=2, description="Roles of the brand kit, or #RRGGBB.")
    blur: _Fraction = Field(0, description="How far a picture or clip is out of focus.")
    darken: _Fraction | None = Field(None, description="How much darker it is made.")

    @model_validator(mode="after")
    def _require_one(self) -> BackgroundItem:
        if self.path and (self.kind or self.colors):
            raise ValueError("a background is either a file or a kind with its colours")
        if not (self.path or self.kind or self.colors):
            raise ValueError("a background needs a path, a kind or colors")
        return self


def _normalise_background(value: Any) -> Any:
    """A string is a kind, a file (it has an ending), a colour, or a role of the brand kit."""
    if is_none(value):
        return None
    if not isinstance(value, str):
        return value
    plain = value.strip()
    if plain.lower() in ("color", "colour", "gradient", "blur"):
        return {"kind": plain.lower().replace("colour", "color")}
    return {"path": plain} if "." in plain else {"colors": [plain]}


class MediaItem(_StrictModel):
    """A picture or a clip, several in one frame, or, with text alone, a card of text."""

    path: str | None = Field(None, min_length=1, description="File inside the brief's folder.")
    paths: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None, min_length=2, max_length=4, description="Files that share one frame."
    )
    arrange: Annotated[
        Literal["auto", "split", "stack", "pip"], BeforeValidator(_normalise_word)
    ] = Field(
        "auto",
        description="Of `paths`: side by side, one above the other, or the second as a small card "
        "in a corner of the first; by their shapes if auto.",
    )
    background: Annotated[BackgroundItem | None, BeforeValidator(_normalise_background)] = Field(
        None, description="What lies behind this picture, in place of the preset's."
    )
    text: Text | None = Field(None, description="Caption over this picture, or text of a card.")
    duration: Annotated[float | None, BeforeValidator(as_seconds)] = Field(
        None, gt=0, le=60, description="Seconds on screen."
    )
    fit: Annotated[Literal["auto", "cover", "contain"], BeforeValidator(_normalise_word)] = Field(
        "auto", description="Fill the frame, show the picture whole, or let the preset decide."
    )
    subject: tuple[_Fraction, _Fraction, _Fraction, _Fraction] | None = Field(
        None, description="x0, y0, x1, y1 as fractions: what no crop may cut into."
    )
    start: float = Field(0, ge=0, description="Clips: second to begin at.")
    sound: bool = Field(True, description="Clips: keep the clip's own sound.")

    @model_validator(mode="after")
    def _require_content(self) -> MediaItem:
        if not self.path and not self.paths and not self.text:
            raise ValueError("a media item needs a path, or a text to make a card of")
        if self.path and self.paths:
            raise ValueError("a media item has either a path or paths")
        if self.arrange != "auto" and not self.paths:
            raise ValueError("only several `paths` can be arranged")
        box = self.subject
        if box and not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("subject is x0, y0, x1, y1 with x0 < x1 and y0 < y1")
        return self


class MusicItem(_StrictModel):
    """A track of one's own, or one of the project's by name."""

    path: str | None = Field(None, min_length=1, description="Audio file in the brief's folder.")
    name: str | None = Field(None, min_length=1, description="A track of presets/music.")
    volume_db: float = Field(0, ge=-40, le=12)
    licence: str | None = Field(None, description="What allows the use of this track.")

    @model_validator(mode="after")
    def _require_one(self) -> MusicItem:
        if bool(self.path) == bool(self.name):
            raise ValueError("music needs either a path or a name")
        return self


class VoiceItem(_StrictModel):
    path: str = Field(min_length=1, description="Audio file in the brief's folder.")
    start: float = Field(0.3, ge=0, le=60, description="Second of the video it begins at.")
    volume_db: float = Field(0, ge=-40, le=12)


class GenerateItem(_StrictModel):
    """A prompt for footage made by a model. In short: the prompt."""

    prompt: Text
    negative_prompt: Text | None = Field(None, description="What is not to be seen.")
    from_media: str | None = Field(
        None,
        min_length=1,
        description="A picture: stands unchanged before what the prompt makes; with "
        "`allow_regeneration`, the model begins with it and redraws it.",
    )
    role: Literal["footage", "background"] | None = Field(
        None,
        description="footage fills the frame; background lies behind pictures. Unset, a prompt of "
        "an overlay is the background of its pictures.",
    )
    duration: Annotated[float | None, BeforeValidator(as_seconds)] = Field(
        None, gt=0, le=60, description="Seconds on screen."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Another one makes another take of the same prompt."
    )


def _normalise_voice(value: Any) -> Any:
    return None if is_none(value) else _normalise_item(value)


def _normalise_item(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _normalise_prompt(value: Any) -> Any:
    return {"prompt": value} if isinstance(value, str) else value


def _normalise_music(value: Any) -> Any:
    """A string with a file ending is a file; without, it is the name of a track; no, false and
    none mean silence."""
    if is_none(value):
        return False
    if isinstance(value, str):
        return {"path": value} if "." in value else {"name": value}
    return value


def _as_many(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class BudgetItem(_StrictModel):
    """Limits of what is spent on a video elsewhere than on this machine's own CPU."""

    seconds: float | None = Field(None, gt=0, description="Of engines' time, all segments.")
    cost: float | None = Field(None, ge=0, description="In the currency of PYTOON_ENGINE_COSTS.")


class ArchetypeCell(_StrictModel):
    """An archetype with the look it has there."""

    archetype: Archetype
    preset: str | None = Field(None, min_length=1)

    @property
    def mark(self) -> str:
        return f"{self.archetype}-{self.preset}" if self.preset else self.archetype


class LocaleWords(_StrictModel):
    """What is said otherwise in one language. What is left out is said as in the brief."""

    hook: Text | None = None
    hooks: Annotated[list[Text], BeforeValidator(_as_many)] = Field(
        default_factory=list, description="In place of the variants' `hooks`, one for each."
    )
    beats: Annotated[list[Text], BeforeValidator(_as_many)] = Field(default_factory=list)
    cta: Text | None = None
    ctas: Annotated[list[Text], BeforeValidator(_as_many)] = Field(default_factory=list)
    badge: Text | None = None
    voice: Annotated[VoiceItem | None, BeforeValidator(_normalise_voice)] = None

    @model_validator(mode="after")
    def _require_one(self) -> LocaleWords:
        for one, many in (("hook", "hooks"), ("cta", "ctas")):
            if getattr(self, one) and getattr(self, many):
                raise ValueError(f"a locale has either {one} or {many}")
        return self


_LOCALE = r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$"


class Variants(_StrictModel):
    """One video for each combination of what is listed here."""

    archetypes: Annotated[
        list[
            Annotated[
                ArchetypeCell,
                BeforeValidator(lambda v: {"archetype": v} if isinstance(v, str) else v),
            ]
        ],
        BeforeValidator(_as_many),
    ] = Field(default_factory=list, description="hero, or {archetype: hero, preset: bold}.")
    presets: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_many)] = (
        Field(default_factory=list, description="Looks of the brief's archetype.")
    )
    locales: Annotated[
        dict[Annotated[str, Field(pattern=_LOCALE)], LocaleWords],
        BeforeValidator(
            lambda v: (
                {n: {} for n in _as_many(v)}
                if isinstance(v, str | list)
                else {n: w or {} for n, w in v.items()}
                if isinstance(v, dict)
                else v
            )
        ),
    ] = Field(default_factory=dict, description="[en, de], or the words of each by its name.")
    hooks: Annotated[list[Text], BeforeValidator(_as_many)] = Field(default_factory=list)
    ctas: Annotated[list[Text], BeforeValidator(_as_many)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _require_consistent(self) -> Variants:
        if self.presets and self.archetypes:
            raise ValueError("presets belong to archetypes: write {archetype: ..., preset: ...}")
        marks = [a.mark for a in self.archetypes]
        for name, values in (("archetypes", marks), ("presets", self.presets)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice")
        for name, words in self.locales.items():
            for axis in ("hooks", "ctas"):
                common, own = getattr(self, axis), getattr(words, axis)
                if common and own and len(own) != len(common):
                    raise ValueError(
                        f"locale {name} has {len(own)} {axis}, the brief {len(common)}: "
                        "write one for each"
                    )
        if self.count > MAX_VARIANTS:
            raise ValueError(f"these are {self.count} videos; at most {MAX_VARIANTS} are made")
        return self

    @property
    def count(self) -> int:
        """Videos."""
        looks = max(1, len(self.archetypes)) * max(1, len(self.presets))
        said = [
            max(1, len(self.hooks_of(words))) * max(1, len(self.ctas_of(words)))
            for words in self.locales.values() or [LocaleWords()]
        ]
        return looks * sum(said)

    def hooks_of(self, words: LocaleWords) -> list[str]:
        """The hooks to choose from in a language; none where there is one for all."""
        return [] if words.hook else words.hooks or self.hooks

    def ctas_of(self, words: LocaleWords) -> list[str]:
        return [] if words.cta else words.ctas or self.ctas


MAX_VARIANTS = 500
"""Videos of one brief."""


class Brief(_StrictModel):
    """One video, asked for: `brief.yaml`, or a row of a table. With `variants` it is several."""

    archetype: Archetype = "hero"
    preset: str | None = Field(None, min_length=1, description="A look of the archetype.")
    brand: str = Field(
        "neutral", min_length=1, description="A brand kit of presets/brands, or a file beside."
    )
    brand_safe: bool = True
    engine_policy: EnginePolicy = "local_preferred"
    platform: str = Field("universal_ads", description="Safe zone that text keeps to.")
    duration: Annotated[float | None, BeforeValidator(as_seconds)] = Field(
        None, ge=3, le=60, description="Seconds of the whole video."
    )
    media: Annotated[
        list[Annotated[MediaItem, BeforeValidator(_normalise_item)]], BeforeValidator(_as_many)
    ] = Field(default_factory=list, max_length=60)
    background: Annotated[BackgroundItem | None, BeforeValidator(_normalise_background)] = Field(
        None, description="What lies behind every picture, in place of the preset's."
    )
    hook: Text | None = Field(None, description="The line that opens the video.")
    beats: Annotated[list[Text], BeforeValidator(_as_many)] = Field(
        default_factory=list, max_length=40, description="The lines between hook and cta."
    )
    cta: Text | None = Field(None, description="The call to action that ends the video.")
    badge: Text | None = Field(
        None, description='An offer on a sticker, "50% OFF!": hero and overlay only.'
    )
    end_card: bool | None = Field(
        None, description="Close with the brand's end card; unset, all but memes do."
    )
    watermark: bool | None = Field(
        None, description="The brand's mark over the video; always there when brand safe."
    )
    logo: Annotated[str | None, BeforeValidator(lambda v: None if is_none(v) else v)] = Field(
        None, min_length=1, description="Watermark in place of the brand's."
    )
    music: Annotated[MusicItem | Literal[False] | None, BeforeValidator(_normalise_music)] = None
    voice: Annotated[VoiceItem | None, BeforeValidator(_normalise_voice)] = None
    generate: Annotated[
        list[Annotated[GenerateItem, BeforeValidator(_normalise_prompt)]], BeforeValidator(_as_many)
    ] = Field(default_factory=list, max_length=20)
    allow_regeneration: bool = False
    budget: BudgetItem | None = Field(
        None, description="What generating and remote engines may take for this video."
    )
    locale: str = Field("en", pattern=_LOCALE)
    variants: Variants | None = Field(
        None, description="Hooks x CTAs x locales x archetypes: a video for each combination."
    )
    priority: int = Field(
        0, ge=-100, le=100, description="Of its place in the queue; higher comes first."
    )
    metadata: dict[str, Any] = Field(default_factory=dict)
