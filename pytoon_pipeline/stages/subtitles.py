"""`captions.srt` and `captions.vtt`, from the same plan as the captions in the picture."""

from __future__ import annotations

from pytoon_pipeline.plan.model import RenderSpec


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"


def srt(spec: RenderSpec) -> str:
    """SubRip. Empty text for a video without captions."""
    cues = [
        f"{n}\n{_clock(c.start, ',')} --> {_clock(c.end, ',')}\n{_plain(c.text)}\n"
        for n, c in enumerate(spec.captions or [], 1)
    ]
    return "\n".join(cues)


def vtt(spec: RenderSpec) -> str:
    """WebVTT."""
    cues = [
        f"{c.id}\n{_clock(c.start, '.')} --> {_clock(c.end, '.')}\n"
        + _plain(c.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "\n"
        for c in spec.captions or []
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _plain(text: str) -> str:
    """A blank line would end the cue."""
    return "\n".join(line for line in text.splitlines() if line.strip())
