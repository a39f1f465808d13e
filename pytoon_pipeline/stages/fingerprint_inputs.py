"""What beside its job decides a segment's bytes: fonts and encoder."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pytoon_pipeline.engines.base import Media
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.encode import VideoSettings
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.stages.finishing import SegmentFinishing


def segment_look(
    job: SegmentJob, media: Media, fonts: FontLibrary, video: VideoSettings
) -> dict[str, Any]:
    """The look of a segment as it is drawn and encoded here: what a remote peer is held to.

    Raises RenderError for words that don't fit their box, PresetError for a family of fonts that is
    not here.
    """
    drawn = SegmentFinishing(job, fonts, media).look()
    return {**drawn, "x264": asdict(video), "ffmpeg": ffmpeg.read_version()}
