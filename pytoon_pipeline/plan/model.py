"""RenderSpec 1.0: the whole plan of a video, engine-agnostic and reproducible.

Written in snake_case; camelCase is also read. A hand-written minimal spec (an archetype and
segments) is a RenderSpec with most fields left out: the compiler passes fill them, and leave alone
what is there. Times are seconds, places are pixels of `resolution`, fractions say so.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from pytoon_pipeline.briefs.model import Archetype, EnginePolicy, Text, as_seconds, is_none
from pytoon_pipeline.plan import spellings
from pytoon_pipeline.store.base import SUFFIX

SPEC_VERSION = "1.0"

Fraction01 = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=600)]
Colour = Annotated[
    str, BeforeValidator(spellings.parse_colour), Field(pattern=r"^#[0-9A-Fa-f]{6}$")
]
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""


class SpecModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, validate_assignment=False
    )


class Asset(SpecModel):
    """A file that the video is made of."""

    id: str
    kind: Literal["image", "video", "audio"]
    source: str = Field(description="The file as its author named it.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    suffix: str = Field("", pattern=SUFFIX, description="Ending of the file, with its dot.")
    bytes: int = 0
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    frame_rate: float | None = None
    has_alpha: bool = False
    has_audio: bool = False
    licence: str | None = None

    @property
    def key(self) -> str:
        """Where the file lies in the store."""
        return f"media/{self.sha256}{self.suffix}"


TransitionKind = Literal["cut", "fade", "fade_black", "slide", "zoom", "wipe"]
TRANSITIONS: tuple[str, ...] = get_args(TransitionKind)
_TRANSITION_NAMES = {
    "none": "cut",
    "crossfade": "fade",
    "cross_fade": "fade",
    "dissolve": "fade",
    "cross_dissolve": "fade",
    "mix": "fade",
    "blend": "fade",
    "fade_to_black": "fade_black",
    "fade_through_black": "fade_black",
    "dip_to_black": "fade_black",
    "slide_left": "slide",
    "push": "slide",
    "zoom_in": "zoom",
    "zoom_through": "zoom",
    "wipe_left": "wipe",
}


def transition_name(name: Any) -> Any:
    """The one name of a transition, whatever it was called: `crossfade` is `fade`."""
    if not isinstance(name, str):
        return name
    plain = spellings.to_snake_case(name)
    return _TRANSITION_NAMES.get(plain, plain)


class Transition(SpecModel):
    """How a segment gives way to the next."""

    kind: Annotated[TransitionKind, BeforeValidator(transition_name)] = Field(
        "cut", validation_alias="type"
    )
    duration: Annotated[Seconds | None, BeforeValidator(as_seconds)] = Field(
        None, le=3, description="Length; the preset's when left out."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        if is_none(value):
            return {"type": "cut"}
        if isinstance(value, str):
            return {"type": value}
        names = {"kind": "type", "name": "type", "effect": "type"}
        return spellings.rename_fields(spellings.parse_timing(value), names)


class Background(SpecModel):
    """What lies behind the media of a segment. In short: a kind, a colour, or a file."""

    kind: Literal["color", "gradient", "blur", "picture"] = Field(
        "color", description="blur: the segment's own picture, blurred; picture: a file."
    )
    colors: list[Colour] = Field(default_factory=list, description="One, or two from top down.")
    light: tuple[Fraction01, Fraction01] | None = Field(
        None, description="Gradient: x, y on the frame where a pool of light has its middle."
    )
    media: str | None = Field(
        None, description="Picture: id of an asset, a picture or a clip; a path by hand."
    )
    blur: Fraction01 = Field(0.0, description="Picture: how far it is out of focus.")
    darken: Fraction01 = Field(0.0, description="Blur, picture: how much darker it is.")
    wash: Fraction01 | None = Field(
        None, description="Blur, picture: how far the first colour is laid over it."
    )
    parallax: Annotated[float, Field(ge=0, le=0.1)] | None = Field(
        None, description="Blur, picture: travel against the media, a share of the frame's height."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        if isinstance(value, str):
            plain = value.strip()
            if plain.lower() in ("color", "colour", "gradient", "blur"):
                return {"kind": plain.lower().replace("colour", "color")}
            if spellings.parse_colour(plain).startswith("#"):
                return {"kind": "color", "colors": [plain]}
            return {"kind": "picture", "media": plain}
        if isinstance(value, dict):
            value = {("media" if k in ("path", "src", "url") else k): v for k, v in value.items()}
            if value.get("media") and "kind" not in value:
                return {**value, "kind": "picture"}
        return value


ARRANGEMENTS = ("split", "stack", "pip")
Arrangement = Literal["split", "stack", "pip"]


class Place(SpecModel):
    """Where one of several media of a segment stands."""

    box: Box
    fit: Literal["frame", "cutout"] = "frame"
    keyed: bool = Field(False, description="Cut-out: its plain ground is taken away first.")


class Layout(SpecModel):
    """Where the media of a segment stands."""

    fit: Literal["cover", "contain", "frame", "cutout"] = "cover"
    box: Box | None = Field(None, description="Area the media is placed in; the frame if none.")
    anchor: Literal["top", "middle"] = Field(
        "middle", description="Contain: where the media stands in a box that is too high for it."
    )
    crop: Fraction01 = Field(0.0, description="Contain: share of the picture that may be lost.")
    radius: int = Field(0, ge=0, description="Corner radius of a framed picture, pixels.")
    shadow: Fraction01 = Field(0.0, description="Strength of the shadow under the picture.")
    subject: tuple[Fraction01, Fraction01, Fraction01, Fraction01] | None = None
    keyed: bool | None = Field(
        None, description="Cut-out: an opaque picture whose plain light ground is taken away."
    )
    arrange: Arrangement | None = Field(
        None,
        description="Several media: split, side by side; stack, one above the other; pip, the "
        "first large and the second as a card in its corner.",
    )
    places: list[Place] | None = Field(
        None, max_length=4, description="Several media: where each stands, in their order."
    )


MOTIONS = ("still", "push_in", "pull_out", "pan_left", "pan_right", "pan_up", "pan_down", "float")


class Motion(SpecModel):
    """Movement of the media over the segment, eased at both ends."""

    kind: Literal[
        "still", "push_in", "pull_out", "pan_left", "pan_right", "pan_up", "pan_down", "float"
    ] = "still"
    amount: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.08, description="Zoom beyond the fitted size that the movement uses, as a fraction."
    )
    focus: tuple[Fraction01, Fraction01] = Field(
        (0.5, 0.5), description="Point of the picture that the movement keeps in view."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        value = spellings.rename_fields(value, {"type": "kind", "name": "kind", "effect": "kind"})
        value = {"kind": value} if isinstance(value, str) else value
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            plain = spellings.to_snake_case(value["kind"])
            value = {**value, "kind": spellings.MOTION_NAMES.get(plain, plain)}
        return value


class Generate(SpecModel):
    """Footage that a model is asked for."""

    prompt: Text
    negative_prompt: str | None = None
    from_media: str | None = Field(
        None, description="Asset that the model begins with; it redraws that picture."
    )
    role: Literal["footage", "background"] = Field(
        "footage",
        description="footage fills the frame; a background lies behind the segment's own media, "
        "which are not redrawn.",
    )
    stretch: Literal["ping_pong", "slow_down"] | None = Field(
        None,
        description="What is done where the model's take is shorter than the segment; the "
        "preset's when left out.",
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Made of the prompt and the picture when left out."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        return {"prompt": value} if isinstance(value, str) else value


class SegmentAudio(SpecModel):
    """The clip's own sound."""

    use: bool = True
    gain_db: float = Field(0.0, ge=-60, le=12)
    start: Annotated[Seconds, BeforeValidator(as_seconds)] = Field(
        0.0, description="Second of the clip that the segment begins at."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        if isinstance(value, bool) or is_none(value):
            return {"use": value is True}
        if isinstance(value, dict) and isinstance(value.get("muted", value.get("mute")), bool):
            muted = value.get("muted", value.get("mute"))
            value = {k: v for k, v in value.items() if k not in ("muted", "mute")}
            value["use"] = not muted
        return _with_gain(value)


def _with_gain(value: Any) -> Any:
    """A volume as gain in dB."""
    value = spellings.rename_fields(value, {"volume_db": "gain_db"})
    if not isinstance(value, dict) or "volume" not in value:
        return value
    rest = {k: v for k, v in value.items() if k != "volume"}
    return {**rest, "gain_db": spellings.volume_to_decibels(value["volume"])}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _normalise_media(value: Any) -> Any:
    """Media of a hand-written segment: paths, or objects with `path`, `src` or `url`."""
    if value is None:
        return []
    items = _as_list(value)
    if not isinstance(items, list):
        return items
    return [
        next((i[k] for k in ("path", "src", "source", "url", "file", "media", "id") if k in i), i)
        if isinstance(i, dict)
        else i
        for i in items
    ]


def _style_name(value: Any) -> Any:
    return {"base": spellings.to_snake_case(value)} if isinstance(value, str) else value


class StyleOverride(SpecModel):
    """Changes of one segment's text to the preset's style."""

    base: str | None = Field(None, description="A style of the preset: hook, beat, cta.")
    font: str | None = Field(
        None, validation_alias="fontFamily", description="Family name; brand fonts if brand safe."
    )
    size: int | None = Field(
        None, ge=8, le=400, validation_alias="fontSize", description="Largest size, pixels."
    )
    weight: int | None = Field(
        None, ge=100, le=900, validation_alias="fontWeight", description="400 regular, 700 bold."
    )
    color: Colour | None = None
    uppercase: bool | None = None
    align: Literal["left", "center", "right"] | None = None
    place: Literal["top", "middle", "bottom"] | None = Field(None, validation_alias="position")

    @model_validator(mode="before")
    @classmethod
    def _accept_names(cls, value: Any) -> Any:
        """Both the model's own names and the usual ones of hand-written specs."""
        if not isinstance(value, dict):
            return value
        value = spellings.rename_fields(
            value,
            {
                "font": "fontFamily",
                "font_family": "fontFamily",
                "family": "fontFamily",
                "size": "fontSize",
                "font_size": "fontSize",
                "weight": "fontWeight",
                "font_weight": "fontWeight",
                "place": "position",
                "text_align": "align",
                "alignment": "align",
                "colour": "color",
                "font_color": "color",
                "text_color": "color",
                "style": "base",
                "vertical_align": "position",
            },
        )
        made = spellings.text_place(value)
        if "fontSize" in made:
            made = {**made, "fontSize": spellings.parse_pixels(made["fontSize"])}
        weight = made.get("fontWeight")
        if isinstance(weight, str):
            plain = spellings.to_snake_case(weight)
            made = {**made, "fontWeight": spellings.WEIGHTS.get(plain, weight)}
        case = made.pop("textTransform", made.pop("text_transform", None))
        if case in ("uppercase", "none"):
            made["uppercase"] = case == "uppercase"
        elif case is not None:
            raise ValueError(f"textTransform can't be {case!r}: uppercase or none")
        return made


_SEGMENT_NAMES = {
    "src": "media",
    "image": "media",
    "video": "media",
    "url": "media",
    "source": "media",
    "path": "media",
    "file": "media",
    "asset": "media",
    "clip": "media",
    "caption": "text",
    "headline": "text",
    "title": "text",
    "transition_out": "transition",
    "background_color": "background",
    "effect": "motion",
    "animation": "motion",
    "style": "text_style",
    "caption_style": "text_style",
}
_TYPES = {"photo": "image", "picture": "image", "clip": "video", "card": "text", "title": "text"}


SegmentType = Literal["image", "video", "text", "generated"]


class Segment(SpecModel):
    """A scene with its own footage, captions and length."""

    id: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,40}$")
    type: SegmentType | None = None
    media: Annotated[list[str], BeforeValidator(_normalise_media)] = Field(
        default_factory=list, max_length=4, description="Ids of assets; paths when hand-written."
    )
    duration: Annotated[float | None, BeforeValidator(as_seconds)] = Field(None, gt=0, le=60)
    text: Text | None = None
    text_style: Annotated[StyleOverride | None, BeforeValidator(_style_name)] = None
    transition: Transition | None = Field(None, description="How it gives way to the next.")
    background: Background | None = None
    layout: Layout | None = None
    motion: Motion | None = None
    generate: Generate | None = None
    audio: SegmentAudio = Field(default_factory=SegmentAudio)

    @model_validator(mode="before")
    @classmethod
    def _accept_names(cls, value: Any) -> Any:
        """The usual names of other programs; a beginning and an end in place of a length."""
        if not isinstance(value, dict):
            return value
        made = spellings.rename_fields(spellings.parse_timing(value), _SEGMENT_NAMES)
        if isinstance(made.get("type"), str):
            plain = made["type"].strip().lower()
            made["type"] = _TYPES.get(plain, plain)
        if "duration" not in made and {"start", "end"} <= set(made):
            start, end = (
                spellings.parse_seconds(made.pop("start")),
                spellings.parse_seconds(made.pop("end")),
            )
            if not (isinstance(start, int | float) and isinstance(end, int | float)):
                raise ValueError("start and end of a segment are seconds")
            made["duration"] = round(end - start, 6)
        said = made.get("text")
        if isinstance(said, dict):
            # Words with their style in one object.
            inner = spellings.rename_fields(
                said, {"value": "text", "content": "text", "caption": "text"}
            )
            if isinstance(inner.get("text"), str | int | float):
                made["text"] = inner.pop("text")
                style = inner.pop("textStyle", inner.pop("style", inner))
                own = "text_style" if "text_style" in made else "textStyle"
                made.setdefault(own, style or None)
        if isinstance(made.get("id"), str):
            made["id"] = re.sub(r"[^A-Za-z0-9_-]+", "-", made["id"].strip())[:40]
        lasting = made.pop("transitionDuration", made.pop("transition_duration", None))
        if lasting is not None:
            way = made.get("transition", "fade")
            way = dict(way) if isinstance(way, dict) else {"type": way}
            made["transition"] = {**way, "duration": lasting}
        muted = made.pop("muted", made.pop("mute", None))
        if muted is not None:
            made.setdefault("audio", {"muted": muted})
        return made


class Shadow(SpecModel):
    dx: float = 0.0
    dy: float = 0.04
    blur: float = 0.12
    color: Colour = "#000000"
    opacity: Fraction01 = 0.6


class TextBox(SpecModel):
    """A plate behind the text; lengths in em."""

    color: Colour
    opacity: Fraction01 = 1.0
    pad_x: float = 0.5
    pad_y: float = 0.3
    radius: float = 0.3
    per_line: bool = False


class Entrance(SpecModel):
    kind: Literal["none", "fade", "rise", "pop", "slide", "words"] = Field(
        "fade", description="slide: from the side; words: one after the other."
    )
    seconds: Seconds = Field(
        0.35, description="Until all of it is in. Words take less where they are few."
    )


class TypeStyle(SpecModel):
    """How a caption is set. Sizes in pixels of the frame, the rest in em."""

    family: str
    weight: int = Field(700, ge=100, le=900)
    fallback: list[str] = Field(default_factory=list)
    max_px: int = Field(gt=0)
    min_px: int = Field(gt=0)
    max_lines: int = Field(2, ge=1, le=12)
    max_chars: int = Field(26, ge=4, le=80, description="Per line.")
    line_height: float = Field(1.1, ge=0.8, le=2)
    letter_spacing: float = Field(0.0, ge=-0.1, le=0.5)
    align: Literal["left", "center", "right"] = "center"
    uppercase: bool = False
    color: Colour = "#FFFFFF"
    stroke: float = Field(0.0, ge=0, le=0.3)
    stroke_color: Colour = "#000000"
    shadow: Shadow | None = None
    box: TextBox | None = None
    scrim: Fraction01 = Field(
        0.0, description="Most darkness that a soft shade may lay behind the text for contrast."
    )
    alternate: Colour | None = Field(
        None, description="Colour on pictures that are too bright for `color`."
    )
    place: Literal["top", "middle", "bottom"] = "middle"
    entrance: Entrance = Field(default_factory=Entrance)


CaptionRole = Literal["hook", "beat", "cta"]


class Caption(SpecModel):
    """One cue, set: what stands where, when and how."""

    id: str = ""
    role: CaptionRole = "beat"
    start: Seconds
    end: Seconds
    text: str = Field(max_length=2000)
    style: str = Field(description="Key into `styles`.")
    box: Box = Field(description="Area the text is set in.")
    align_y: Literal["top", "middle", "bottom"] = "middle"
    entrance: bool = Field(True, description="False where it follows on a cue without a pause.")


class Overlay(SpecModel):
    """A picture or a badge that stays over the whole video, or a part of it."""

    type: Literal["watermark", "logo", "image", "badge"] = "watermark"
    media: str = Field("", description="Id of an asset; a path by hand. A badge has none.")
    text: Text | None = Field(None, description="Of a badge.")
    style: str | None = Field(None, description="Of a badge: key into `styles`.")
    shape: Literal["round", "pill"] | None = Field(
        None, description="Of a badge; the one that suits its text when left out."
    )
    color: Colour | None = Field(
        None, description="Of a badge's ground; the brand's accent when left out."
    )
    rotation: Annotated[float, Field(ge=0, le=20)] | None = Field(
        None, description="Of a badge: degrees that it is turned, its right side up."
    )
    place: Literal[
        "top_left",
        "top",
        "top_right",
        "left",
        "center",
        "right",
        "bottom_left",
        "bottom",
        "bottom_right",
    ] = Field("top_left", validation_alias="position")
    corner: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="x, y of its upper left corner in place of `place`: pixels, or shares of the "
        "frame up to 1.",
    )
    opacity: Annotated[Fraction01, BeforeValidator(spellings.parse_share)] = 0.9
    width: Annotated[float, BeforeValidator(spellings.parse_width)] = Field(
        0.22, gt=0, le=2160, description="Share of the frame's width up to 1; pixels beyond."
    )
    shadow: Fraction01 = Field(0.5, description="Soft shadow that sets it off from the picture.")
    box: Box | None = None
    start: Annotated[Seconds | None, BeforeValidator(as_seconds)] = None
    end: Annotated[Seconds | None, BeforeValidator(as_seconds)] = None

    @model_validator(mode="before")
    @classmethod
    def _accept_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"media": value}
        if not isinstance(value, dict):
            return value
        # A picture that another program lays over the video is a logo by its name, or a picture.
        given = next((value[k] for k in ("image", "logo") if k in value), None)
        made = spellings.rename_fields(
            spellings.parse_timing(value),
            {
                "src": "media",
                "path": "media",
                "source": "media",
                "url": "media",
                "file": "media",
                "image": "media",
                "logo": "media",
                "place": "position",
                "anchor": "position",
                "placement": "position",
                "scale": "width",
                "alpha": "opacity",
            },
        )
        if given is not None and "type" not in made:
            logo = "logo" in value or re.search("logo|brand|watermark", str(given), re.IGNORECASE)
            # A mark is kept small; a width that was asked for is kept.
            made["type"] = "logo" if logo and "width" not in made else "image"
        if "position" not in made and {"x", "y"} <= set(made):
            made["position"] = {"x": made.pop("x"), "y": made.pop("y")}
        if "duration" in made and "end" not in made:
            length = spellings.parse_seconds(made.pop("duration"))
            start = spellings.parse_seconds(made.get("start") or 0)
            if not (isinstance(start, int | float) and isinstance(length, int | float)):
                raise ValueError("start and duration of an overlay are seconds")
            made["end"] = start + length
        return spellings.overlay_place(made)

    @model_validator(mode="after")
    def _require_content(self) -> Overlay:
        if self.type == "badge" and (not self.text or self.media):
            raise ValueError("a badge has a text, and no media")
        if self.type != "badge" and (not self.media or self.text):
            raise ValueError("an overlay needs media; only a badge has a text")
        return self


class Music(SpecModel):
    media: str = Field(description="Id of an asset; a path or a track's name by hand.")
    gain_db: float = Field(0.0, ge=-60, le=12)
    fade_in: Seconds = 0.0
    fade_out: Seconds = 1.5

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        return _with_gain(_normalise_track(value))


def _normalise_track(value: Any) -> Any:
    """A sound file by its name alone, or by other names of the field."""
    if isinstance(value, str):
        return {"media": value}
    names = ("src", "path", "source", "url", "file", "track", "name")
    made = spellings.rename_fields(value, dict.fromkeys(names, "media"))
    if isinstance(made, dict) and made.get("loop") is True:
        made = {k: v for k, v in made.items() if k != "loop"}  # All music does.
    return made


class Voice(SpecModel):
    media: str
    start: Seconds = 0.3
    gain_db: float = Field(0.0, ge=-60, le=12)

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        return _with_gain(_normalise_track(value))


class Ducking(SpecModel):
    """How far and how fast other sound makes room for the voice."""

    depth_db: float = Field(-12.0, ge=-40, le=0)
    attack: Seconds = 0.15
    release: Seconds = 0.5


class Loudness(SpecModel):
    target_lufs: float = Field(-14.0, ge=-30, le=-8)
    true_peak_db: float = Field(-1.0, ge=-6, le=0)


class Audio(SpecModel):
    music: Music | None = None
    voice: Voice | None = None
    ducking: Ducking = Field(default_factory=Ducking)
    loudness: Loudness = Field(default_factory=Loudness)

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        """Nothing, a track alone, and other names of its parts."""
        if is_none(value) or value in ([], ""):
            return {}
        names = {
            "background_music": "music",
            "soundtrack": "music",
            "voiceover": "voice",
            "voice_over": "voice",
            "narration": "voice",
        }
        made = spellings.rename_fields(value, names)
        if isinstance(made, dict) and set(made) & {"src", "path", "source", "url", "file", "track"}:
            made = {"music": made}
        if isinstance(made, dict):
            made = {
                k: None if k in ("music", "voice") and is_none(v) else v for k, v in made.items()
            }
        return made


class Resolution(SpecModel):
    width: int = Field(1080, ge=90, le=2160, multiple_of=2)
    height: int = Field(1920, ge=160, le=3840, multiple_of=2)

    @model_validator(mode="before")
    @classmethod
    def _accept_text(cls, value: Any) -> Any:
        return spellings.parse_resolution(value)

    @model_validator(mode="after")
    def _require_vertical(self) -> Resolution:
        if self.width * 16 != self.height * 9:
            raise ValueError("a vertical video is 9:16: 1080x1920, 720x1280, 540x960 or 270x480")
        return self


class Constraints(SpecModel):
    """What the plan keeps to."""

    max_duration: float = Field(60.0, gt=0, le=60)
    safe_zone: str = "universal_ads"
    clear_box: Box | None = Field(None, description="Where text and logos may stand, pixels.")
    fonts: list[str] = Field(default_factory=list)
    colors: list[Colour] | None = Field(None, description="Of text; any if none are listed.")
    transitions: list[str] = Field(default_factory=list)
    motions: list[str] = Field(default_factory=list)
    watermark: bool = Field(True, description="The brand's mark stands over the video.")
    max_motion: float = 0.5
    allow_regeneration: bool = False
    max_engine_seconds: float | None = Field(
        None, gt=0, description="Of engines that are not this machine's own, for all segments."
    )
    max_cost: float | None = Field(None, ge=0, description="The same, in what they cost.")


class RenderSpec(SpecModel):
    """The whole plan."""

    version: Annotated[
        Literal["1.0"], BeforeValidator(lambda v: "1.0" if str(v) in ("1", "1.0") else v)
    ] = "1.0"
    archetype: Archetype
    preset: str | None = None
    brand: str = "neutral"
    brand_safe: bool = True
    engine_policy: EnginePolicy = "local_preferred"
    duration: Annotated[float | None, BeforeValidator(as_seconds)] = Field(None, gt=0, le=60)
    assets: list[Asset] = Field(default_factory=list, max_length=1000)
    segments: list[Segment] = Field(min_length=1, max_length=60)
    styles: dict[str, TypeStyle] = Field(default_factory=dict, max_length=200)
    captions: list[Caption] | None = Field(None, max_length=1000)
    audio: Audio | None = None
    audio_track: str | bool | dict[str, Any] | None = Field(
        None, description="By hand: a track's path or name, or false; becomes `audio.music`."
    )
    overlays: Annotated[list[Overlay] | None, BeforeValidator(_as_list)] = Field(
        None, max_length=100
    )
    resolution: Resolution = Field(default_factory=Resolution)
    aspect_ratio: Annotated[str | None, BeforeValidator(spellings.aspect_ratio)] = Field(
        None, exclude=True, description="By hand: 9:16, the one shape there is."
    )
    frame_rate: Annotated[Literal[24, 25, 30], BeforeValidator(spellings.frame_rate)] = 30
    output_format: Annotated[Literal["mp4"], BeforeValidator(spellings.output_format)] = Field(
        "mp4", description="mp4, or by hand {format: mp4, videoCodec: h264, audioCodec: aac}."
    )
    constraints: Constraints = Field(default_factory=Constraints)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _usual_names(cls, value: Any) -> Any:
        return spellings.whole_plan(value)

    @property
    def locale(self) -> str:
        """The language of the words, a BCP 47 tag; the format keeps it in `metadata`."""
        return str(self.metadata.get("locale", "en"))

    def asset(self, asset_id: str) -> Asset:
        """The asset of this id; KeyError when the plan has none."""
        for asset in self.assets:
            if asset.id == asset_id:
                return asset
        raise KeyError(asset_id)

    @property
    def notes(self) -> list[str]:
        """What the compiler decided that its author should know."""
        return list(self.metadata.get("notes", []))
