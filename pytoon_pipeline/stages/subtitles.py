"""`captions.srt` and `captions.vtt`, from the same plan as the captions in the picture."""

from __future__ import annotations

from pytoon_pipeline.plan.complete import Plan


def _format_clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"


def to_srt(spec: Plan) -> str:
    """SubRip. Empty text for a video without captions."""
    cues = [
        f"{n}\n{_format_clock(c.start, ',')} --> {_format_clock(c.end, ',')}\n"
        f"{_drop_blank_lines(c.text)}\n"
        for n, c in enumerate(spec.captions, 1)
    ]
    return "\n".join(cues)


def to_vtt(spec: Plan) -> str:
    """WebVTT."""
    cues = [
        f"{c.id}\n{_format_clock(c.start, '.')} --> {_format_clock(c.end, '.')}\n"
        + _drop_blank_lines(c.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "\n"
        for c in spec.captions
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _drop_blank_lines(text: str) -> str:
    """A blank line would end the cue."""
    return "\n".join(line for line in text.splitlines() if line.strip())
