"""Checks of the file itself: its container, its encoding and what it says of its origin."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from pytoon_pipeline.quality.verdicts import (
    CheckVerdict,
    ExpectedFile,
    make_verdict,
)

if TYPE_CHECKING:  # Whoever only wants the names of the checks need not load the decoders.
    from pytoon_pipeline.media.measurement import Measurement
    from pytoon_pipeline.media.source_label import SourceMark

MAX_SECONDS = 60.5


def check_container(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """MP4, index first, no edit list, nothing turned, one picture and one sound played as they
    are: what every platform's uploader takes."""
    faults = []
    if m.container != "mp4":
        faults.append(f"the container is {m.container}, not mp4")
    if not m.faststart:
        faults.append("the index (moov) lies behind the media")
    if m.video and m.video.turned:
        faults.append("the file asks players to turn or mirror the picture")
    if m.edits:
        faults.append(f"{len(m.edits)} edit list entries trim or delay a track")
    faults += m.heads
    if m.size_bytes > e.max_bytes:
        faults.append(f"{m.size_bytes / 1e6:.0f} MB is over {e.max_bytes / 1e6:.0f} MB")
    return make_verdict(
        "container",
        faults,
        "MP4, index first, no edit list",
        "Link again; if it stays, report it with the file.",
        container=m.container,
        faststart=m.faststart,
        edit_lists=len(m.edits),
        megabytes=round(m.size_bytes / 1e6, 2),
    )


def check_video_codec(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """H.264 High@4.1 or less, 8-bit 4:2:0, BT.709 limited range and tagged so, short GOPs."""
    v, faults = m.video, []
    if v is None:
        return make_verdict("video_codec", ["there is no video track"], "")
    if v.codec != "h264":
        faults.append(f"the codec is {v.codec}, not h264")
    if v.profile not in ("High", "Main", "Constrained Baseline"):
        faults.append(f"the profile is {v.profile}")
    if v.level is None or float(v.level) > 4.1:
        faults.append(f"the level is {v.level}, over 4.1")
    if v.pixel_format != "yuv420p":
        faults.append(f"the pixel format is {v.pixel_format}, not yuv420p")
    tags = (v.color_range, v.color_primaries, v.color_transfer, v.color_matrix)
    if tags != ("tv", "bt709", "bt709", "bt709"):
        faults.append(f"colour is tagged {'/'.join(tags)}, not tv/bt709/bt709/bt709")
    if v.max_gop > e.max_gop:
        faults.append(f"a keyframe comes only after {v.max_gop} frames")
    if v.max_b_run > e.max_b_frames:
        faults.append(f"{v.max_b_run} B-frames follow each other")
    if v.peak_bit_rate > e.max_mbps * 1e6:
        faults.append(f"{v.peak_bit_rate / 1e6:.1f} Mbps at its busiest")
    return make_verdict(
        "video_codec",
        faults,
        f"H.264 {v.profile}@{v.level}, {v.pixel_format}, BT.709",
        "Check `delivery.video` in presets/platforms.yaml.",
        codec=v.codec,
        profile=v.profile,
        level=v.level,
        pixel_format=v.pixel_format,
        colour="/".join(tags),
        max_gop=v.max_gop,
        b_frames_in_a_row=v.max_b_run,
        mbps=round(v.bit_rate / 1e6, 2),
        peak_mbps=round(v.peak_bit_rate / 1e6, 2),
    )


def check_resolution(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """As planned, 9:16, square pixels."""
    v, faults = m.video, []
    if v is None:
        return make_verdict("resolution", ["there is no video track"], "")
    if (v.width, v.height) != (e.width, e.height):
        faults.append(f"{v.width}x{v.height} instead of {e.width}x{e.height}")
    if v.width * 16 != v.height * 9:
        faults.append(f"{v.width}x{v.height} is not 9:16")
    if v.sample_aspect_ratio not in ("1:1", "0:1"):
        faults.append(f"pixels are {v.sample_aspect_ratio}, not square")
    return make_verdict(
        "resolution",
        faults,
        f"{v.width}x{v.height}, 9:16",
        "Check `resolution` of the plan.",
        width=v.width,
        height=v.height,
        sample_aspect_ratio=v.sample_aspect_ratio,
    )


def check_frame_rate(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """Constant, as planned, from zero on."""
    v, faults = m.video, []
    if v is None:
        return make_verdict("frame_rate", ["there is no video track"], "")
    if Fraction(v.frame_rate) != e.rate:
        faults.append(f"{v.frame_rate} frames a second instead of {e.rate}")
    if not v.constant_rate:
        faults.append("frames are not evenly spaced")
    if abs(v.start) > 1e-6:
        faults.append(f"the picture starts at {v.start:.3f} s")
    return make_verdict(
        "frame_rate",
        faults,
        f"{v.frame_rate} frames a second, constant",
        "Link again.",
        frame_rate=v.frame_rate,
        constant=v.constant_rate,
        start=round(v.start, 4),
    )


def check_duration(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """As planned to the frame, at most 60.5 s."""
    v, faults = m.video, []
    if v is None:
        return make_verdict("duration", ["there is no video track"], "")
    if v.frames != e.frames:
        faults.append(f"{v.frames} frames instead of the planned {e.frames}")
    if m.seconds > MAX_SECONDS:
        faults.append(f"{m.seconds:.2f} s is over {MAX_SECONDS} s")
    if m.seconds < e.min_seconds and not faults:
        return CheckVerdict(
            name="duration",
            passed=False,
            severity="warning",
            message=f"{m.seconds:.2f} s; some platforms take no less than {e.min_seconds:g} s",
            measured={"seconds": round(m.seconds, 3), "frames": v.frames},
            remedy="Add pictures, or set `duration`.",
        )
    return make_verdict(
        "duration",
        faults,
        f"{m.seconds:.2f} s, {v.frames} frames as planned",
        "Link again.",
        seconds=round(m.seconds, 3),
        frames=v.frames,
        planned_frames=e.frames,
    )


def check_ai_label(mark: SourceMark | None, e: ExpectedFile) -> CheckVerdict:
    """Generated footage is marked as such, in the file, and what was signed is as it was signed."""
    said = mark.source_type if mark else None
    signed = mark.credentials if mark else None
    faults, remedy = [], "Render this brief again (action `rerender`)."
    if mark and mark.fault:
        faults.append(mark.fault)
    elif said != e.source_type:
        faults.append(
            f"the file says {said or 'nothing'} of its picture instead of "
            f"{e.source_type or 'nothing'}"
        )
    if signed and not signed.valid:
        what = "can't be proven any more" if signed.expired else "are damaged"
        faults.append(f"its Content Credentials {what}: {'; '.join(signed.faults)}")
    elif signed and signed.source_types != (e.source_type,):
        faults.append(
            f"its Content Credentials say {', '.join(signed.source_types) or 'nothing'} instead "
            f"of {e.source_type or 'nothing'}"
        )
    if e.signer and not signed:
        faults.append(f"the Content Credentials that {e.signer} signed are gone")
    elif e.source_type and e.signature_required and not signed:
        faults.append("it has generated footage and is not signed")
        remedy = "Set PYTOON_C2PA_CERTIFICATE and PYTOON_C2PA_KEY, then render again."
    by = f"signed by {signed.signer}" if signed else "not signed"
    return make_verdict(
        "ai_label",
        faults,
        f"{said}, {by}" if e.source_type else "nothing is generated",
        remedy,
        digital_source_type=said,
        signed_by=signed.signer if signed else None,
    )
