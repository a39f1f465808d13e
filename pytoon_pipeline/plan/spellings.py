"""Plans as other programs write them: the usual names and shapes of fields, turned into those of
the RenderSpec. What can't be followed is refused by name, with what can be.

Each function takes what stands in a document and returns it in the RenderSpec's own shape; what it
does not know it returns as it is, for the model to name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pytoon_pipeline.briefs.model import as_seconds


def to_snake_case(name: str) -> str:
    """`fadeBlack`, `fade-black` and `Fade black` -> `fade_black`."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())).lower()


def rename_fields(value: Any, names: Mapping[str, str]) -> Any:
    """A mapping with other names of fields replaced by the model's own; where both stand, the
    model's own stays, and the other is left to be refused."""
    if not isinstance(value, dict):
        return value
    known = {to_snake_case(str(key)) for key in value}
    made = {}
    for key, inner in value.items():
        own = names.get(to_snake_case(str(key)), key)
        made[key if own != key and to_snake_case(own) in known else own] = inner
    return made


# Words and numbers -------------------------------------------------------------------------------


def parse_colour(value: Any) -> Any:
    """`white`, `#fff`, `rgb(255, 255, 255)` -> `#FFFFFF`. Raises ValueError for one that is partly
    transparent."""
    if not isinstance(value, str) or re.fullmatch("#[0-9A-Fa-f]{6}", value):
        return value
    from PIL import ImageColor  # Only now: most documents write #RRGGBB.

    try:
        red, green, blue, *alpha = ImageColor.getrgb(value.strip())
    except ValueError:
        return value
    if alpha and alpha[0] != 255:
        raise ValueError("colours are opaque here: write #RRGGBB")
    return f"#{red:02X}{green:02X}{blue:02X}"


def parse_share(value: Any) -> Any:
    """`80%` -> 0.8; as a number already, beyond 1 it is percent, too."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)
        return float(found[1]) / 100 if found else value
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
        return value / 100
    return value


def parse_pixels(value: Any) -> Any:
    """`48px` -> 48."""
    found = isinstance(value, str) and re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*px\s*", value)
    return round(float(found[1])) if found else value


def parse_width(value: Any) -> Any:
    """A width as a share of the frame, `20%` or 0.2, or in pixels, `240px` or 240."""
    if isinstance(value, str):
        value = parse_share(parse_pixels(value))
    if isinstance(value, int | float) and 1 < value < 16:
        raise ValueError("a width is a share of the frame up to 1, or pixels from 16 on")
    return value


def volume_to_decibels(volume: Any) -> float:
    """A volume (1 or 100% as recorded, 0.5 half of it) in dB. Raises ValueError for anything that
    is none."""
    level = parse_share(volume)
    if isinstance(level, str):
        try:
            level = float(level)
        except ValueError:
            raise ValueError(f"the volume {volume!r} is no number from 0 to 1") from None
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level <= 1:
        raise ValueError(f"the volume {volume!r} is no number from 0 to 1")
    return max(-60.0, round(20 * math.log10(level), 2)) if level > 0 else -60.0


# Places ------------------------------------------------------------------------------------------

_SIDES = {
    "top": "top",
    "upper": "top",
    "bottom": "bottom",
    "lower": "bottom",
    "left": "left",
    "start": "left",
    "right": "right",
    "end": "right",
    "center": "",
    "centre": "",
    "middle": "",
    "third": "",
    "mid": "",
    "corner": "",
}


def parse_sides(word: Any) -> tuple[str, str] | None:
    """`top-right`, `lower third`, `center` -> vertical and horizontal side, empty for the middle;
    None for other words."""
    if not isinstance(word, str):
        return None
    parts = to_snake_case(word).split("_")
    if not all(part in _SIDES for part in parts):
        return None
    found = [_SIDES[part] for part in parts]
    up = next((side for side in found if side in ("top", "bottom")), "")
    across = next((side for side in found if side in ("left", "right")), "")
    return up, across


def _side_of(value: Any) -> tuple[str, str] | None:
    """Sides from an object with words in it: `{x: right, y: top}`."""
    if not isinstance(value, dict):
        return parse_sides(value)
    plain = {to_snake_case(str(key)): inner for key, inner in value.items()}
    if not set(plain) <= {"x", "y", "horizontal", "vertical"}:
        return None
    up = parse_sides(plain.get("y", plain.get("vertical", "center")))
    across = parse_sides(plain.get("x", plain.get("horizontal", "center")))
    return (up[0], across[1]) if up is not None and across is not None else None


def parse_corner(value: Any) -> Any:
    """A place in numbers, `{x: 40, y: "5%"}` or `[40, 60]`, as x and y of the upper left corner;
    None where it is no such place."""
    if isinstance(value, dict):
        plain = {{"left": "x", "top": "y"}.get(key, key): v for key, v in value.items()}
        if set(plain) != {"x", "y"}:
            return None
        value = [plain["x"], plain["y"]]
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    numbers = []
    for each in value:
        if isinstance(each, str):
            number = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*", each)
            each = float(number[1]) if number else parse_share(parse_pixels(each))
        if isinstance(each, bool) or not isinstance(each, int | float):
            return None
        numbers.append(each)
    return numbers


def overlay_place(value: dict[str, Any]) -> dict[str, Any]:
    """An overlay whose `position` is a word, an object or a pair of numbers."""
    said = value.get("position")
    found = _side_of(said)
    if found is not None:
        word = "_".join(side for side in found if side) or "center"
        return {**value, "position": word}
    at = parse_corner(said)
    if at is not None:
        return {**{k: v for k, v in value.items() if k != "position"}, "corner": at}
    if isinstance(said, dict | list):
        raise ValueError(
            "position is a word (top-left, top, top-right, left, center, right, bottom-left, "
            "bottom, bottom-right), or x and y of the upper left corner"
        )
    return value


def text_place(value: dict[str, Any]) -> dict[str, Any]:
    """A text style whose `position` is a word or an object."""
    said = value.get("position")
    if said is None:
        return value
    found = _side_of(said)
    if found is None:
        if isinstance(said, dict | list | int | float):
            raise ValueError("position of a text is a word: top, center or bottom")
        return value
    made = {**value, "position": found[0] or "middle"}
    if found[1]:
        made.setdefault("align", found[1])
    return made


# The whole ---------------------------------------------------------------------------------------

_CODECS = {
    "video_codec": ("h264", "avc", "avc1", "x264", "libx264", "h.264", "mpeg4avc"),
    "audio_codec": ("aac", "mp4a", "aaclc"),
    "pixel_format": ("yuv420p",),
    "pix_fmt": ("yuv420p",),
}
_CODEC_NAMES = {
    "codec": "video_codec",
    "vcodec": "video_codec",
    "acodec": "audio_codec",
    "video": "video_codec",
    "audio": "audio_codec",
}
_LIFTED = (
    "fps",
    "frame_rate",
    "framerate",
    "resolution",
    "size",
    "width",
    "height",
    "aspect_ratio",
)
"""What other programs say of the output that a plan says of the whole."""


def output_format(value: Any) -> Any:
    """`mp4`, or an object of container and codecs. Raises ValueError naming what is not written."""
    if isinstance(value, str):
        word = value.strip().lower().removeprefix("video/").removeprefix(".")
        return "mp4" if word in ("h264", "h.264", "mpeg4", "m4v") else word
    if not isinstance(value, dict):
        return value
    for name, said in value.items():
        key = to_snake_case(str(name))
        key = _CODEC_NAMES.get(key, key)
        if isinstance(said, dict) and "codec" in said:
            other = [n for n in said if n != "codec"]
            if other:
                raise ValueError(f"{name}.{other[0]} can't be chosen: say {name}.codec only")
            said = said["codec"]
        word = str(said).strip().lower().removeprefix("video/").removeprefix(".")
        if key in ("format", "container", "type", "extension", "file_format"):
            if word != "mp4":
                raise ValueError(f"{name} can't be {said!r}: videos are written as mp4")
        elif key in _CODECS:
            if re.sub(r"[\s_-]", "", word) not in _CODECS[key]:
                raise ValueError(f"{name} can't be {said!r}: {_CODECS[key][0]} is written")
        else:
            raise ValueError(f"{name} can't be chosen: say format, videoCodec and audioCodec only")
    return "mp4"


_WHOLE = {
    "fps": "frame_rate",
    "framerate": "frame_rate",
    "size": "resolution",
    "dimensions": "resolution",
    "scenes": "segments",
    "output": "output_format",
    "format": "output_format",
    "soundtrack": "audio_track",
    "music": "audio_track",
    "background_music": "audio_track",
    "aspect": "aspect_ratio",
    "ratio": "aspect_ratio",
}
_ABOUT = ("id", "name", "title", "description")
"""What a plan is called in another program: kept in its metadata."""


def whole_plan(value: Any) -> Any:
    """A plan with the fields of the whole where the RenderSpec has them."""
    if not isinstance(value, dict):
        return value
    made = rename_fields(value, _WHOLE)
    output = next((k for k in made if to_snake_case(k) == "output_format"), None)
    if output is not None and isinstance(made[output], dict):
        inner = dict(made[output])
        known = {to_snake_case(k) for k in made}
        for name in [n for n in inner if to_snake_case(str(n)) in _LIFTED]:
            own = _WHOLE.get(to_snake_case(name), to_snake_case(name))
            if own in known and made.get(own, made.get(name)) == inner[name] or own not in known:
                made[own] = inner.pop(name)
        made[output] = inner or "mp4"
    if "width" in made and "height" in made and "resolution" not in made:
        made["resolution"] = {"width": made.pop("width"), "height": made.pop("height")}
    about = {key: made.pop(key) for key in _ABOUT if isinstance(made.get(key), str | int)}
    if about:
        rest = made.get("metadata")
        made["metadata"] = {**about, **rest} if isinstance(rest, dict) else about
    _check_order(made.get("segments"))
    if isinstance(made.get("audio"), str) and "audio_track" not in made:
        made["audio_track"] = made.pop("audio")
    return made


def _check_order(segments: Any) -> None:
    """Raises ValueError where segments with times of their own leave a gap, or lie over each other:
    here they follow one after the other."""
    if not isinstance(segments, list) or not all(isinstance(s, dict) for s in segments):
        return
    times = [parse_timing(s) for s in segments]
    spans = [(parse_seconds(s.get("start")), parse_seconds(s.get("end"))) for s in times]
    if not all(isinstance(t, int | float) for span in spans for t in span):
        return
    at = 0.0
    for n, (start, end) in enumerate(spans):
        if abs(start - at) > 0.05 or end <= start:
            raise ValueError(
                f"segments[{n}] is to be seen from {start:g} to {end:g} s, and the one before ends "
                f"at {at:g} s: segments follow one after the other"
            )
        at = end


def aspect_ratio(value: Any) -> Any:
    """9:16 in any of its ways of writing. Raises ValueError for another shape."""
    plain = value
    if isinstance(value, str):
        found = re.fullmatch(r"\s*+(\d++(?:\.\d++)?)\s*+[:x/×]\s*+(\d++(?:\.\d++)?)\s*+", value)
        if found and float(found[2]):
            plain = float(found[1]) / float(found[2])
        elif to_snake_case(value) in ("portrait", "vertical"):
            plain = 9 / 16
    if value is not None and not (isinstance(plain, int | float) and abs(plain - 9 / 16) < 0.005):
        raise ValueError("videos are upright, 9:16")
    return None


def parse_resolution(value: Any) -> Any:
    """`1080x1920`, `1080p`, `[1080, 1920]`, `{w, h}` as an object of width and height."""
    if isinstance(value, str):
        plain = value.strip().lower()
        if plain in ("9:16", "portrait", "vertical"):
            return {}
        if found := re.fullmatch(r"(\d+)\s*[x×:*]\s*(\d+)(?:\s*px)?", plain):
            return {"width": found[1], "height": found[2]}
        if found := re.fullmatch(r"(270|540|720|1080|1440|2160)p", plain):
            return {"width": int(found[1]), "height": int(found[1]) * 16 // 9}
        return {"width": value}
    if isinstance(value, list | tuple) and len(value) == 2:
        return {"width": value[0], "height": value[1]}
    return rename_fields(value, {"w": "width", "h": "height"})


def frame_rate(value: Any) -> Any:
    """`30 fps`, `"30"`, 29.97 and 23.976 as whole frames a second."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*+(\d++(?:\.\d++)?)\s*+(?:fps\s*+)?", value, re.IGNORECASE)
        value = float(found[1]) if found else value
    if isinstance(value, float):
        near = {29.97: 30, 23.976: 24, 23.98: 24}.get(round(value, 3), value)
        value = int(near) if float(near).is_integer() else value
    return value


def parse_seconds(value: Any) -> Any:
    """Seconds in any way of writing as a number; what is none as it is."""
    value = as_seconds(value)
    return float(value) if isinstance(value, str) and value.strip().isdecimal() else value


def parse_timing(value: Any, begin: str = "start") -> Any:
    """A thing with a beginning and a length, or with beginning and end in other words."""
    value = rename_fields(
        value,
        {
            "start_time": begin,
            "from": begin,
            "in": begin,
            "end_time": "end",
            "to": "end",
            "until": "end",
            "out": "end",
            "duration_seconds": "duration",
            "seconds": "duration",
            "length": "duration",
        },
    )
    return value


MOTION_NAMES = {
    "zoom_in": "push_in",
    "zoom_out": "pull_out",
    "ken_burns": "push_in",
    "none": "still",
    "static": "still",
    "pan": "pan_left",
}
WEIGHTS = {
    "thin": 100,
    "light": 300,
    "normal": 400,
    "regular": 400,
    "medium": 500,
    "semibold": 600,
    "semi_bold": 600,
    "bold": 700,
    "extra_bold": 800,
    "black": 900,
    "heavy": 900,
}
