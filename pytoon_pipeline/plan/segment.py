"""A segment of a plan: its media, its background, its movement and its transition."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from pytoon_pipeline.briefs.model import Text, as_seconds, is_none
from pytoon_pipeline.plan import spellings
from pytoon_pipeline.plan.fields import (
    Box,
    Colour,
    Fraction01,
    Seconds,
    SpecModel,
    as_list,
    with_gain,
)

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
        return with_gain(value)


def _normalise_media(value: Any) -> Any:
    """Media of a hand-written segment: paths, or objects with `path`, `src` or `url`."""
    if value is None:
        return []
    items = as_list(value)
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
