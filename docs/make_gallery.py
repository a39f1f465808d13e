"""The gallery: real frames of a short video for every preset of the library.

    .venv/bin/python docs/make_gallery.py [ARCHETYPE/PRESET...]      all of them when none is named

Writes docs/gallery/<archetype>-<preset>.jpg and docs/gallery.md, which lists every preset there is.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import yaml

from pytoon_pipeline.compiler.preset_model import Preset
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET, open_presets
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.timeline import frames_of
from pytoon_pipeline.settings import load_settings, project_data
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import Services, open_services

DOCS = Path(__file__).parent
DEMO = project_data("briefs") / "morrow"
WIDTH, GAP, FRAMES, MAX_BYTES = 270, 6, 4, 120_000

BRIEFS = {
    "hero": {
        "media": [
            {"path": "kettle/front.jpg", "subject": [0.22, 0.53, 0.855, 0.84]},
            "kettle/detail.jpg",
            {"path": "kettle/wide.jpg", "subject": [0.17, 0.45, 0.89, 0.84]},
            "kettle/table.jpg",
        ],
        "hook": "Slow mornings, well poured",
        "beats": ["Matte enamel, warm brass", "Made for two cups"],
        "cta": "Meet the Dawn kettle",
    },
    "overlay": {
        "media": [
            "candle-offer/candle.png",
            "candle-offer/handwash.png",
            "candle-offer/pair.jpg",
            "candle-offer/candle.png",
        ],
        "hook": "Light the evening",
        "beats": ["Fig and cedar", "Sage and citrus"],
        "cta": "Shop the pair",
        "badge": "30% OFF",
    },
    "meme": {
        "media": [
            "monday/cactus.jpg",
            "kettle/table.jpg",
            "monday/mugs.jpg",
            "kettle/detail.jpg",
        ],
        "hook": "Just one cup, I said",
        "beats": ["Cup one", "Cup nine"],
        "cta": "Still Monday",
    },
}
"""One short brief for each archetype, from the demo's pictures; it must suit every preset."""


def moments(spec: RenderSpec) -> list[int]:
    """Frames to show: one for each of the first lines, when it has long been in."""
    cues = sorted(spec.captions or [], key=lambda c: c.start)
    found = [frames_of(min((c.start + c.end) / 2, c.start + 1.2), spec.frame_rate) for c in cues]
    return sorted(set(found))[:FRAMES]


def strip(archetype: str, preset: str, folder: Path, services: Services) -> bytes:
    """A JPEG of frames of the video, side by side."""
    own = folder / "gallery" / f"{archetype}-{preset}"
    own.mkdir(parents=True)
    brief = {
        "archetype": archetype,
        "preset": preset,
        "brand": "morrow",
        "duration": 10,
        "end_card": False,
        **BRIEFS[archetype],
    }
    for item in BRIEFS[archetype]["media"]:
        path = item["path"] if isinstance(item, dict) else item
        (own / path).parent.mkdir(exist_ok=True)
        (own / path).write_bytes((DEMO / path).read_bytes())
    (own / "brief.yaml").write_text(yaml.safe_dump(brief, sort_keys=False), encoding="utf-8")
    (source,) = find_sources([own])
    spec = compile_source(source, services)
    video = assemble_video(spec, render_segments(spec, services, source.key), services, source.key)
    height = WIDTH * 16 // 9
    frames = []
    for n in moments(spec):
        rgb = planes_to_rgb(next(read_frames(services.store.local(video.key), n, 1)))
        frames.append(cv2.resize(rgb, (WIDTH, height), interpolation=cv2.INTER_AREA))
        frames.append(np.full((height, GAP, 3), 255, np.uint8))
    picture = cv2.cvtColor(np.hstack(frames[:-1]), cv2.COLOR_RGB2BGR)
    for quality in range(90, 0, -5):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= MAX_BYTES:
            break
    return data


def page(looks: dict[str, dict[str, Preset]]) -> str:
    lines = [
        "# Gallery",
        "",
        "Every preset, in real frames of a short video: hook, lines and call to action. Written by",
        "`docs/make_gallery.py`; choose one with `archetype:` and `preset:` in a brief.",
        "",
    ]
    for archetype in DEFAULT_PRESET:
        lines += [f"## {archetype.capitalize()}", ""]
        for name, look in looks[archetype].items():
            default = " (default)" if DEFAULT_PRESET[archetype] == name else ""
            lines += [
                f"### `{name}`{default}",
                "",
                look.summary,
                "",
                f"![Frames of the preset {name}](gallery/{archetype}-{name}.jpg)",
                "",
            ]
    return "\n".join(lines)


def main(wanted: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="gallery-") as name:
        os.environ["PYTOON_HOME"] = f"{name}/home"
        settings = load_settings()
        services = open_services(settings)
        looks = open_presets(*settings.presets_dirs).presets()
        (DOCS / "gallery").mkdir(exist_ok=True)
        for archetype, named in looks.items():
            for preset in named:
                if not wanted or f"{archetype}/{preset}" in wanted:
                    data = strip(archetype, preset, Path(name), services)
                    (DOCS / "gallery" / f"{archetype}-{preset}.jpg").write_bytes(data)
                    print(f"{archetype}/{preset}: {len(data) / 1000:.0f} KB")
        (DOCS / "gallery.md").write_text(page(looks), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
