"""Everything that a segment is drawn from is part of its fingerprint; nothing else is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

import pytoon_pipeline.plan.segment_jobs as job_module
from pytoon_pipeline.picture.contrast import contrast_ratio, relative_luminance
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_fingerprint
from pytoon_pipeline.plan.timeline import frames_of


def _asset(name: str, digit: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "image",
        "source": f"{name}.png",
        "sha256": digit * 64,
        "suffix": ".png",
        "bytes": 10,
        "width": 100,
        "height": 200,
        **more,
    }


_STYLE = {
    "family": "Inter",
    "weight": 700,
    "fallback": ["Arimo"],
    "max_px": 90,
    "min_px": 40,
    "stroke": 0.05,
    "scrim": 0.3,
    "alternate": "#101010",
    "shadow": {},
    "box": {"color": "#000000"},
    "entrance": {},
}
_LAYER = {
    "first": 3,
    "end": 40,
    "shared_head": False,
    "shared_tail": False,
    "box": (10, 20, 90, 60),
}
_JOB: dict[str, Any] = {
    "segment_id": "s1",
    "archetype": "hero",
    "language": "en",
    "type": "image",
    "width": 1080,
    "height": 1920,
    "rate": 30,
    "head": 4,
    "body": 60,
    "tail": 6,
    "media": [_asset("m1", "a", kind="video", seconds=4.0, frame_rate=25.0), _asset("m2", "d")],
    "background": {
        "kind": "picture",
        "colors": ["#102030"],
        "media": "g1",
        "blur": 0.3,
        "darken": 0.2,
        "wash": 0.1,
        "parallax": 0.02,
        "light": (0.5, 0.5),
    },
    "background_asset": _asset("g1", "b"),
    "layout": {
        "fit": "frame",
        "box": (0, 0, 900, 900),
        "anchor": "top",
        "crop": 0.1,
        "radius": 12,
        "shadow": 0.4,
        "subject": (0.1, 0.1, 0.9, 0.9),
        "keyed": True,
        "arrange": "split",
        "places": [{"box": (0, 0, 50, 50)}],
    },
    "motion": {"kind": "push_in", "amount": 0.1, "focus": (0.4, 0.6)},
    "clip_start": 7,
    "generate": {
        "prompt": "A lamp",
        "negative_prompt": "text",
        "from_media": "m2",
        "role": "footage",
        "stretch": "ping_pong",
        "seed": 5,
    },
    "captions": [{**_LAYER, "text": "Hello", "style": _STYLE, "align_y": "top"}],
    "overlays": [{**_LAYER, "asset": "o1", "opacity": 0.9, "shadow": 0.1}],
    "overlay_assets": [_asset("o1", "c", has_alpha=True)],
    "badges": [
        {
            **_LAYER,
            "text": "-20%",
            "style": _STYLE,
            "shape": "round",
            "color": "#C83232",
            "rotation": 8.0,
            "opacity": 1.0,
            "shadow": 0.2,
        }
    ],
}

_NAMES_ONLY = {"id", "source", "suffix", "bytes", "licence", "frame_rate", "has_audio", "asset"}
"""Fields of an asset that never reach the pixels; `asset` is the id of one."""

Path = tuple[str | int, ...]


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))
    else:
        yield path, value


def _changed(data: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Copies of a job's data with another value at one place, some of which may be no job."""
    copies = []
    for other in _other_values(data, path):
        altered = copy.deepcopy(data)
        place: Any = altered
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = other
        copies.append(altered)
    return copies


def _other_values(data: Any, path: Path) -> list[Any]:
    for step in path:
        data = data[step]
    match data:
        case bool():
            return [not data]
        case int() | float():
            return [v for v in (data + 1, data / 2, data + 0.1, data + 100) if v != data]
        case None:
            return ["x", True, 1, 0.5, "#112233", "left", "#C0FFEE"]
        case str():
            words = (
                "image",
                "video",
                "still",
                "cover",
                "cutout",
                "pill",
                "middle",
                "color",
                "blur",
                "stack",
                "meme",
                "background",
                "slow_down",
                "square",
                "left",
                "right",
                "top",
                "bottom",
                "box",
                "rise",
                "none",
                "f" * 64,
                "#445566",
                data + "x",
            )
            return [word for word in words if word != data]
        case list() | tuple():
            return [
                [*data[:-1], data[-1] / 2]
                if data and isinstance(data[-1], int | float)
                else ["#445566"]
            ]
    return []


def _mark(data: dict[str, Any]) -> str:
    return segment_fingerprint(SegmentJob.model_validate(data), {}, {})


def test_every_field_of_a_job_changes_its_fingerprint() -> None:
    whole = SegmentJob.model_validate(_JOB).model_dump()
    assert set(whole) == set(SegmentJob.model_fields)
    first = _mark(whole)
    for path, _ in _leaves(whole):
        in_asset = any(p in ("media", "overlay_assets", "background_asset") for p in path)
        is_name = path[-1] in _NAMES_ONLY and (in_asset or path[-1] == "asset")
        if is_name or path == ("segment_id",) or path[-1] in ("from_media", "media"):
            continue  # Names; what they stand for is looked at below.
        accepted = []
        for altered in _changed(whole, path):
            try:
                accepted.append(_mark(altered))
            except ValueError:
                continue
        assert accepted, f"no other value of {path} is known: give one in _other_values"
        assert first not in accepted, f"{path} is not part of the fingerprint"


def test_names_of_files_are_not_part_of_it() -> None:
    whole = SegmentJob.model_validate(_JOB).model_dump()
    renamed = copy.deepcopy(whole)
    renamed["segment_id"] = "s9"
    for asset in (*renamed["media"], renamed["background_asset"], renamed["overlay_assets"][0]):
        asset["id"] += "-new"
        asset.update(source="new.png", bytes=99, licence="CC0")
    renamed["background"]["media"] += "-new"
    renamed["generate"]["from_media"] += "-new"
    renamed["overlays"][0]["asset"] += "-new"
    assert _mark(renamed) == _mark(whole)
    other = copy.deepcopy(whole)  # Another picture in another's place is another segment.
    other["generate"]["from_media"] = "o1"
    assert _mark(other) != _mark(whole)


def test_look_engine_and_renderer_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SegmentJob.model_validate(_JOB)
    marks = {
        segment_fingerprint(job, {}, {}),
        segment_fingerprint(job, {"font": "1"}, {}),
        segment_fingerprint(job, {}, {"font": "1"}),
    }
    monkeypatch.setattr(job_module, "RENDERER_VERSION", "another")
    assert len(marks | {segment_fingerprint(job, {}, {})}) == 4


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        ("#000000", "#FFFFFF", 21.0),
        ("#FFFFFF", "#FFFFFF", 1.0),
        ("#777777", "#FFFFFF", 4.48),
        ("#767676", "#FFFFFF", 4.54),
        ("#FF0000", "#FFFFFF", 4.00),
        ("#0000FF", "#FFFFFF", 8.59),
    ],
)
def test_contrast_has_the_values_of_wcag(first: str, second: str, ratio: float) -> None:
    """Known ratios of Web Content Accessibility Guidelines 2.1, as its checkers print them."""
    found = contrast_ratio(relative_luminance(first), relative_luminance(second))
    assert found == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(
    ("seconds", "rate", "frames"),
    [
        (0.1, 25, 3),
        (0.1, 24, 2),
        (0.1, 30, 3),
        (0.5, 25, 13),
        (1.02, 25, 26),
        (0.35, 30, 11),
        (2.0, 24, 48),
        (0.0, 30, 0),
        (0.0166, 30, 0),
        (1 / 3, 30, 10),
    ],
)
def test_halves_of_a_frame_are_rounded_up(seconds: float, rate: int, frames: int) -> None:
    assert frames_of(seconds, rate) == frames
