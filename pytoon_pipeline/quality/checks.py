"""What a good file is: each check one promise, measured on the finished file.

A check of the file is a function (measurement, expected) -> verdict; one of the words and logos
on it is a function (seen, expected) -> verdict, one of what it says of its origin a function
(mark, expected) -> verdict, and one that compares it with what was drawn and mastered a function
(match, expected) -> verdict. None renders, and none guesses from the plan what the file itself can
tell.

What the material itself shows (a clip that fades in from black, a plain picture) is a warning at
most: a video fails for what its maker can't have wanted, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:  # Whoever only wants the names of the checks need not load the decoders.
    from pytoon_pipeline.media.measurement import Measurement
    from pytoon_pipeline.media.source_label import SourceMark
    from pytoon_pipeline.quality.match import SoundMatch

MAX_SECONDS = 60.5
LOUDNESS_TOLERANCE = 1.0
BLACK_SHARE = 0.98
"""A frame is black when this share of its pixels is dark."""
BLACK_SECONDS = 0.1
FROZEN_CHANGE = 0.02
"""Mean difference between two frames, in luma steps, below which nothing moved. Re-encoding alone
leaves less; the slowest Ken Burns movement of a preset leaves ten times more."""
KEYFRAME_PULSE = 1.5
"""A keyframe redraws a still picture a little differently: one frame that differs by less than this
between two that do not is no movement, unless others follow at the pace of a slow clip."""
SETTLING = 0.06
"""What an encoder still improves of a picture that has just stopped is less than this."""
PULSE_FRAMES = 7
"""Keyframes of a still picture lie further apart; the frames of a GIF, or of a recorded screen of 5
pictures a second, do not."""
FROZEN_SECONDS = 1.0
FLASH_AREA = 0.25
"""Share of the frame that must flash at once (WCAG 2.1: a quarter of the field of view)."""
MAX_FLASHES = 3
"""In any one second (WCAG 2.1, success criterion 2.3.1)."""
FLASH_FRAMES = 3
"""A change may take so many frames, as a flash encoded softly does."""
MIN_CONTRAST = 3.0
"""Large text against what lies around it (WCAG 2.1, success criterion 1.4.3) ..."""
MIN_CONTRAST_SMALL = 4.5
LARGE_PX = 24
"""... and large is text of so many pixels or more on a frame 1080 wide."""
SHIFT_PX = 2
"""Ink may be found this far from where it was planned: rounding, and what encoding blurs."""
SYNC_SECONDS = 0.045
"""Sound may end this far from the picture: a frame and an AAC packet."""


MONO_LU = 3.0
"""The mono sum may lie this far below the stereo loudness: channels that have nothing in common
lose as much."""
MONO_LOST_SECONDS = 1.0
"""So long it may lie 10 LU below."""
ONE_SIDED_LU = 25.0
"""A channel that lies so far below the other is as good as silent."""
NEAR_FRAMES = 3
"""What the material shows may begin or end so many frames from where it is seen: encoding and
transitions soften it."""


class CheckVerdict(BaseModel):
    """What one quality check found."""

    model_config = ConfigDict(extra="forbid")

    name: str
    passed: bool
    severity: str = Field("error", description="error or warning, when not passed.")
    message: str
    measured: dict[str, Any] = Field(default_factory=dict)
    remedy: str = ""


class SeenText(BaseModel):
    """What was seen of a caption or overlay on one steady frame of the finished file. Boxes are
    x0, y0, x1, y1 in pixels of the frame, of the ink alone."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: str = Field(description="caption, badge or overlay")
    text: str = Field(description="Its words; an overlay's file.")
    frame: int
    planned: tuple[int, int, int, int]
    px_of_1080: int = Field(0, description="Size of the type, were the frame 1080 wide.")
    found: tuple[int, int, int, int] | None = Field(
        None, description="None where its shape can't be told from what lies behind it."
    )
    match: float = Field(0.0, description="Correlation of its shape with the frame, 0..1.")
    contrast: float | None = Field(None, description="Of the least legible word.")
    weakest: str = Field("", description="That word.")
    missing: list[str] = Field(
        default_factory=list, description="Words and edges of which most does not show."
    )
    wrong: list[str] = Field(
        default_factory=list, description="Words in which a letter seems to be another one."
    )
    touches: list[str] = Field(
        default_factory=list, description="Sides where its own tile cuts the letters."
    )


class ExplainedStretch(BaseModel):
    """A stretch that is black or still because its material is."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["black", "still"]
    first: int
    end: int
    why: str = Field(description="`the clip a.mp4 is itself black there`")
    warns: bool = Field(True, description="Is it worth a warning? A card of one colour is not.")


class ExpectedFile(BaseModel):
    """What was planned, as far as a check needs it. Spans are (first frame, end frame)."""

    model_config = ConfigDict(extra="forbid")

    width: int
    height: int
    rate: int
    frames: int
    max_mbps: float = 20.0
    max_bytes: int = 300_000_000
    max_gop: int = 30
    max_b_frames: int = 2
    min_seconds: float = 3.0
    target_lufs: float = -14.0
    true_peak_db: float = -1.0
    sound: bool = Field(True, description="Is anything to be heard?")
    silent_files: list[str] = Field(
        default_factory=list, description="Of what is to be heard, files that hold only silence."
    )
    mastered_lufs: float | None = Field(
        None, description="Loudness that mastering came to where the target is out of reach."
    )
    shown: list[ExplainedStretch] = Field(
        default_factory=list, description="What of black or stillness is the material's own."
    )
    black: list[tuple[int, int]] = Field(
        default_factory=list, description="Where black was asked for."
    )
    still: list[tuple[int, int]] = Field(
        default_factory=list, description="Where nothing is meant to move."
    )
    degraded: list[str] = Field(
        default_factory=list, description="Segments that are a plain still for want of an engine."
    )
    clear_box: tuple[int, int, int, int] | None = Field(
        None, description="Where text and logos may stand."
    )
    texts: int = Field(
        0,
        description="Captions and badges of the plan. One that is never at rest, fully in, is not "
        "looked at.",
    )
    source_type: str | None = Field(
        None, description="What the file must say of its picture; None when nothing is generated."
    )
    signer: str | None = Field(None, description="Who signed it, if anybody did.")
    signature_required: bool = False


Check = Callable[["Measurement", ExpectedFile], CheckVerdict]
WordCheck = Callable[[Sequence[SeenText], ExpectedFile], CheckVerdict]
MarkCheck = Callable[["SourceMark | None", ExpectedFile], CheckVerdict]
MatchCheck = Callable[["SoundMatch | None", ExpectedFile], CheckVerdict]


def _make_verdict(
    name: str, faults: list[str], good: str, remedy: str = "", **measured: Any
) -> CheckVerdict:
    return CheckVerdict(
        name=name,
        passed=not faults,
        message="; ".join(faults) if faults else good,
        measured=measured,
        remedy=remedy if faults else "",
    )


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
    return _make_verdict(
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
        return _make_verdict("video_codec", ["there is no video track"], "")
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
    return _make_verdict(
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
        return _make_verdict("resolution", ["there is no video track"], "")
    if (v.width, v.height) != (e.width, e.height):
        faults.append(f"{v.width}x{v.height} instead of {e.width}x{e.height}")
    if v.width * 16 != v.height * 9:
        faults.append(f"{v.width}x{v.height} is not 9:16")
    if v.sample_aspect_ratio not in ("1:1", "0:1"):
        faults.append(f"pixels are {v.sample_aspect_ratio}, not square")
    return _make_verdict(
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
        return _make_verdict("frame_rate", ["there is no video track"], "")
    if Fraction(v.frame_rate) != e.rate:
        faults.append(f"{v.frame_rate} frames a second instead of {e.rate}")
    if not v.constant_rate:
        faults.append("frames are not evenly spaced")
    if abs(v.start) > 1e-6:
        faults.append(f"the picture starts at {v.start:.3f} s")
    return _make_verdict(
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
        return _make_verdict("duration", ["there is no video track"], "")
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
    return _make_verdict(
        "duration",
        faults,
        f"{m.seconds:.2f} s, {v.frames} frames as planned",
        "Link again.",
        seconds=round(m.seconds, 3),
        frames=v.frames,
        planned_frames=e.frames,
    )


def check_audio_track(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """One AAC-LC track, 48 kHz, stereo, as long as the picture and in step with it."""
    a, faults = m.audio, []
    if a is None or m.video is None:
        return _make_verdict("audio_track", ["there is no sound track"], "", "Link again.")
    if m.audio_tracks != 1:
        faults.append(f"{m.audio_tracks} sound tracks instead of one")
    if a.codec != "aac" or a.profile not in ("LC", None):
        faults.append(f"the codec is {a.codec} {a.profile}, not AAC-LC")
    if a.sample_rate != 48000 or a.channels != 2:
        faults.append(f"{a.sample_rate} Hz, {a.channels} channels instead of 48000 Hz stereo")
    if abs(a.start - m.video.start) > 0.005:
        faults.append(f"sound starts {a.start - m.video.start:+.3f} s against the picture")
    if not a.even:
        faults.append("its packets do not follow each other without a gap")
    if abs(a.seconds - m.video.seconds) > SYNC_SECONDS:
        faults.append(f"sound lasts {a.seconds:.3f} s, the picture {m.video.seconds:.3f} s")
    return _make_verdict(
        "audio_track",
        faults,
        "AAC-LC, 48 kHz, stereo, in step with the picture",
        "Link again.",
        codec=a.codec,
        profile=a.profile,
        sample_rate=a.sample_rate,
        channels=a.channels,
        start=round(a.start, 4),
        seconds=round(a.seconds, 3),
        tracks=m.audio_tracks,
    )


def check_loudness(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """At the target within 1 LU, true peak under the ceiling; silence only where planned."""
    a = m.audio
    if a is None:
        return _make_verdict("loudness", ["there is no sound track"], "")
    measured: dict[str, Any] = {
        "lufs": a.integrated_lufs,
        "true_peak_dbtp": a.true_peak_dbtp,
        "longest_silence": round(a.longest_silence, 2),
    }
    if not e.sound:
        heard = a.integrated_lufs is not None and a.integrated_lufs > -60
        faults = ["something is heard though nothing was planned"] if heard else []
        return _make_verdict("loudness", faults, "silent, as planned", **measured)
    faults = []
    if a.integrated_lufs is None or a.integrated_lufs < -60:
        if e.silent_files:
            return CheckVerdict(
                name="loudness",
                passed=False,
                severity="warning",
                measured=measured,
                message=f"nothing is heard: {', '.join(e.silent_files)} "
                + ("holds" if len(e.silent_files) == 1 else "hold")
                + " only silence",
                remedy="Give a recording with something to hear, or leave it out.",
            )
        faults.append("nothing is heard though sound was planned")
    elif abs(a.integrated_lufs - e.target_lufs) > LOUDNESS_TOLERANCE:
        reached = e.mastered_lufs
        if reached is not None and abs(a.integrated_lufs - reached) <= LOUDNESS_TOLERANCE / 2:
            return CheckVerdict(
                name="loudness",
                passed=False,
                severity="warning",
                measured=measured,
                message=f"{a.integrated_lufs:.1f} LUFS instead of {e.target_lufs:g}: its few loud "
                "moments leave no room for more",
                remedy="Give a recording whose loud and quiet parts lie nearer to each other.",
            )
        faults.append(f"{a.integrated_lufs:.1f} LUFS instead of {e.target_lufs:g}")
    if a.true_peak_dbtp is not None and a.true_peak_dbtp > e.true_peak_db + 0.05:
        faults.append(f"true peak {a.true_peak_dbtp:.1f} dBTP is over {e.true_peak_db:g}")
    good = (
        f"{a.integrated_lufs:.1f} LUFS, true peak {a.true_peak_dbtp:.1f} dBTP"
        if not faults and a.integrated_lufs is not None and a.true_peak_dbtp is not None
        else ""
    )
    return _make_verdict(
        "loudness",
        faults,
        good,
        "Check the music and voice of the brief; quiet or clipped "
        "recordings can't reach the target.",
        **measured,
    )


def check_mono_sum(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """On one loudspeaker as loud as on two, within 3 LU: nothing cancels."""
    a = m.audio
    if a is None:
        return _make_verdict("mono_sum", ["there is no sound track"], "")
    faults = []
    if a.mono_lu is not None and a.mono_lu < -MONO_LU - 0.05:
        faults.append(f"on one loudspeaker it is {-a.mono_lu:.1f} LU quieter than on two")
    elif a.mono_lost_seconds >= MONO_LOST_SECONDS:
        faults.append(f"on one loudspeaker nearly nothing is heard for {a.mono_lost_seconds:.1f} s")
    good = "nothing to be heard" if a.mono_lu is None else f"{a.mono_lu:+.1f} LU against stereo"
    return _make_verdict(
        "mono_sum",
        faults,
        good,
        "Render again; if it stays, report it with the file.",
        mono_lu=None if a.mono_lu is None else round(a.mono_lu, 2),
        lost_seconds=a.mono_lost_seconds,
    )


def check_channel_balance(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """Neither channel is silent while the other is not."""
    a = m.audio
    if a is None:
        return _make_verdict("channel_balance", ["there is no sound track"], "")
    faults = []
    if a.balance_lu is not None and abs(a.balance_lu) > ONE_SIDED_LU:
        side = "right" if a.balance_lu > 0 else "left"
        faults.append(f"the {side} channel is silent while the other is not")
    good = "nothing to be heard" if a.balance_lu is None else f"left {a.balance_lu:+.1f} LU"
    return _make_verdict(
        "channel_balance",
        faults,
        good,
        "Render again; if it stays, report it with the file.",
        balance_lu=None if a.balance_lu is None else round(a.balance_lu, 2),
    )


def _find_runs(
    hit: list[bool], allowed: list[tuple[int, int]], longest: int
) -> list[tuple[int, int]]:
    """Stretches of at least `longest` frames that are hit, outside what is allowed."""
    free = [h and not any(first <= i < end for first, end in allowed) for i, h in enumerate(hit)]
    runs, start = [], None
    for i, h in enumerate([*free, False]):
        if h and start is None:
            start = i
        elif not h and start is not None:
            if i - start >= longest:
                runs.append((start, i))
            start = None
    return runs


def _format_times(runs: list[tuple[int, int]], rate: int) -> str:
    return ", ".join(f"{a / rate:.2f}-{b / rate:.2f} s" for a, b in runs)


def find_black(m: Measurement, e: ExpectedFile) -> list[tuple[int, int]]:
    """Black stretches that were not asked for, whatever their cause."""
    if m.video is None:
        return []
    hit = [share >= BLACK_SHARE for share in m.video.dark]
    return _find_runs(hit, e.black, max(1, round(BLACK_SECONDS * e.rate)))


def find_still(m: Measurement, e: ExpectedFile) -> list[tuple[int, int]]:
    """Frozen stretches that were not asked for, whatever their cause."""
    if m.video is None:
        return []
    change = m.video.change
    hit = [i > 0 and c < FROZEN_CHANGE for i, c in enumerate(change)]
    larger = [i for i, c in enumerate(change) if c >= SETTLING]
    pulses = [
        i
        for i in range(1, len(hit) - 1)
        if not hit[i]
        and hit[i - 1]
        and hit[i + 1]
        and change[i] < KEYFRAME_PULSE
        and (change[i] < SETTLING or not any(0 < abs(n - i) <= PULSE_FRAMES for n in larger))
    ]
    for i in pulses:
        hit[i] = True
    return _find_runs(hit, e.still, round(FROZEN_SECONDS * e.rate))


def _unexplained_runs(
    runs: list[tuple[int, int]], kind: str, e: ExpectedFile, longest: int
) -> tuple[list[tuple[int, int]], list[ExplainedStretch]]:
    """What of the stretches the material does not explain, and what explains the rest."""
    shown = [s for s in e.shown if s.kind == kind]
    left: list[tuple[int, int]] = []
    for first, end in runs:
        hit = [first <= i < end for i in range(end)]
        allowed = [(s.first - NEAR_FRAMES, s.end + NEAR_FRAMES) for s in shown]
        left += _find_runs(hit, allowed, longest)
    return left, [s for s in shown if any(a < s.end and s.first < b for a, b in runs)]


def _judge_shown(
    name: str,
    faults: list[str],
    good: str,
    remedy: str,
    shown: list[ExplainedStretch],
    e: ExpectedFile,
    **measured: Any,
) -> CheckVerdict:
    """An error for what the material does not explain, else a warning for what it does."""
    told = [f"{_format_times([(s.first, s.end)], e.rate)}: {s.why}" for s in shown]
    if faults or not told:
        return _make_verdict(name, faults, good, remedy, **measured)
    if not any(s.warns for s in shown):
        return _make_verdict(name, [], "; ".join(told), **measured)
    return CheckVerdict(
        name=name,
        passed=False,
        severity="warning",
        message="; ".join(told),
        measured=measured,
        remedy="Nothing need be done if that is meant; else use another picture or clip.",
    )


def check_black_frames(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """No black stretch but what was asked for or is the material's own (a warning)."""
    if m.video is None:
        return _make_verdict("black_frames", ["there is no video track"], "")
    runs = find_black(m, e)
    own, shown = _unexplained_runs(runs, "black", e, max(1, round(BLACK_SECONDS * e.rate)))
    return _judge_shown(
        "black_frames",
        [f"black at {_format_times(own, e.rate)}"] if own else [],
        "no black stretch that was not asked for",
        "Look at the media of the segment at that time.",
        shown,
        e,
        black_frames=sum(share >= BLACK_SHARE for share in m.video.dark),
        stretches=[list(r) for r in runs],
    )


def check_frozen_frames(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """Nothing stands still but what was meant to or does so in the material (a warning)."""
    if m.video is None:
        return _make_verdict("frozen_frames", ["there is no video track"], "")
    runs = find_still(m, e)
    own, shown = _unexplained_runs(runs, "still", e, round(FROZEN_SECONDS * e.rate))
    return _judge_shown(
        "frozen_frames",
        [f"nothing moves at {_format_times(own, e.rate)}"] if own else [],
        "no frozen stretch that was not asked for",
        "Look at the segment at that time; a clip may have ended.",
        shown,
        e,
        still_frames=sum(i > 0 and c < FROZEN_CHANGE for i, c in enumerate(m.video.change)),
        stretches=[list(r) for r in runs],
    )


def _find_flips(shares: list[float]) -> list[int]:
    """Frames at which enough of the picture turned brighter, or darker, the other way than
    before."""
    flips, last = [], 0
    for i in range(len(shares)):
        sums = [sum(shares[i - n : i + 1]) for n in range(min(FLASH_FRAMES, i + 1))]
        most = max(sums, key=abs)
        way = 1 if most > 0 else -1
        if abs(most) >= FLASH_AREA and way != last:
            flips.append(i)
            last = way
    return flips


def check_flashes(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """No more than three flashes in any second, as WCAG 2.3.1 asks."""
    if m.video is None:
        return _make_verdict("flashes", ["there is no video track"], "")
    flips = _find_flips(m.video.flash)
    # A flash is a change and the one back.
    seconds = [[j for j in flips if i <= j < i + e.rate] for i in flips]
    worst = max(seconds, key=len, default=[])
    most = len(worst) // 2
    faults = []
    if most > MAX_FLASHES:
        faults.append(f"{most} flashes in the second from {worst[0] / e.rate:.2f} s on")
    return _make_verdict(
        "flashes",
        faults,
        f"at most {most} flashes in a second" if most else "nothing flashes",
        "People with photosensitive epilepsy may be harmed, and platforms refuse it: use another "
        "clip, or slower cuts between bright and dark.",
        most_in_a_second=most,
        changes=flips,
    )


def check_engine_footage(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """Every segment has the footage it was planned with, none a stand-in."""
    if not e.degraded:
        return _make_verdict("engine_footage", [], "every segment has its footage")
    return CheckVerdict(
        name="engine_footage",
        passed=False,
        severity="warning",
        message=f"{', '.join(e.degraded)}: no engine could render it; a plain still stands in",
        measured={"degraded": e.degraded},
        remedy="Check `pytoon engines` and the policy, then render again.",
    )


def _quote_text(seen: SeenText) -> str:
    return f"the {seen.id} ({seen.text})" if seen.kind == "overlay" else f"{seen.text!r}"


def _seen_texts(seen: Sequence[SeenText]) -> list[SeenText]:
    return [s for s in seen if s.kind != "overlay"]


def check_caption_contrast(seen: Sequence[SeenText], e: ExpectedFile) -> CheckVerdict:
    """Every word stands out from what lies around it by 3:1, small type by 4.5:1."""
    faults = []
    for s in _seen_texts(seen):
        least = MIN_CONTRAST if s.px_of_1080 >= LARGE_PX else MIN_CONTRAST_SMALL
        if s.contrast is not None and s.contrast < least:
            faults.append(
                f"{s.weakest!r} in {s.text!r} has {s.contrast:.1f}:1 at "
                f"{s.frame / e.rate:.2f} s instead of {least:g}:1"
            )
    ratios = {s.id: s.contrast for s in _seen_texts(seen) if s.contrast is not None}
    good = f"at least {min(ratios.values()):.1f}:1" if ratios else "no words"
    return _make_verdict(
        "caption_contrast",
        faults,
        good,
        "Choose a preset that shades or boxes its text, another colour, or a calmer picture.",
        contrast=ratios,
    )


def check_safe_zone(seen: Sequence[SeenText], e: ExpectedFile) -> CheckVerdict:
    """Words and logos stand where the platforms' own buttons leave room."""
    if e.clear_box is None:
        return _make_verdict("safe_zone", [], "no zone was asked for")
    x0, y0, x1, y1 = e.clear_box
    faults, boxes = [], {}
    for s in seen:
        for what, box in (("planned", s.planned), ("found", s.found)):
            if box is None:
                continue
            boxes[s.id] = list(box)
            over = max(x0 - box[0], y0 - box[1], box[2] - x1, box[3] - y1)
            if over > SHIFT_PX:
                faults.append(f"{_quote_text(s)} is {what} {over} px outside the clear box")
                break
    return _make_verdict(
        "safe_zone",
        faults,
        f"all inside {x0}, {y0} to {x1}, {y1}",
        "Let the compiler place it, or choose the platform it is meant for.",
        clear_box=list(e.clear_box),
        ink=boxes,
    )


def check_text_clipping(seen: Sequence[SeenText], e: ExpectedFile) -> CheckVerdict:
    """Every caption is there, whole, where the plan put it."""
    faults = []
    for s in _seen_texts(seen):
        when = f"at {s.frame / e.rate:.2f} s"
        if s.touches:
            faults.append(f"{s.text!r} is cut at its {' and '.join(s.touches)} when it is drawn")
        if s.missing:
            faults.append(f"of {s.text!r} {when} these do not show: {', '.join(s.missing)}")
        if s.wrong and not s.missing:
            faults.append(f"of {s.text!r} {when} these read otherwise: {', '.join(s.wrong)}")
        if s.found and max(abs(a - b) for a, b in zip(s.found, s.planned, strict=True)) > SHIFT_PX:
            right, down = s.found[0] - s.planned[0], s.found[1] - s.planned[1]
            faults.append(f"{s.text!r} {when} stands {right:+d}, {down:+d} px from its place")
        # Unreadable for want of contrast is the other check's to say.
        if s.found is None and (s.contrast or 0) >= MIN_CONTRAST:
            faults.append(f"{s.text!r} is not to be seen {when}")
    looked = len(_seen_texts(seen))
    return _make_verdict(
        "text_clipping",
        faults,
        f"{looked} of {e.texts} texts seen, whole and in place",
        "Render again; if it stays, report it with the brief.",
        looked_at=looked,
        match={s.id: s.match for s in _seen_texts(seen)},
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
    return _make_verdict(
        "ai_label",
        faults,
        f"{said}, {by}" if e.source_type else "nothing is generated",
        remedy,
        digital_source_type=said,
        signed_by=signed.signer if signed else None,
    )


_NOT_COMPARED = "not compared: it was linked by an earlier version"


def _format_spans(runs: Sequence[tuple[float, float]], per_second: float = 1.0) -> str:
    told = [f"{a / per_second:.2f}-{b / per_second:.2f} s" for a, b in runs[:3]]
    return ", ".join(told) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")


def check_picture_match(match: SoundMatch | None, e: ExpectedFile) -> CheckVerdict:
    """Every frame shows what was drawn for it, as it was encoded."""
    if match is None:
        return _make_verdict("picture_match", [], _NOT_COMPARED)
    faults = []
    if match.frames:
        at = _format_spans(match.frames, e.rate)
        instead = ""
        if match.instead is not None:
            instead = f" (it shows what belongs at {match.instead / e.rate:.2f} s)"
        faults.append(f"at {at} the picture is not what was drawn{instead}")
    elif match.recoded:
        faults.append(
            f"at {_format_spans(match.recoded, e.rate)} the picture was encoded again, or moved"
        )
    return _make_verdict(
        "picture_match",
        faults,
        "every frame is what was drawn",
        "Render this brief again (action `rerender`); if it stays, report it with the file.",
        frames=sum(b - a for a, b in match.frames),
        recoded=sum(b - a for a, b in match.recoded),
        largest_difference=round(match.worst, 2),
    )


def check_sound_match(match: SoundMatch | None, e: ExpectedFile) -> CheckVerdict:
    """The sound is what was mastered, at its time, as it was encoded."""
    if match is None:
        return _make_verdict("sound_match", [], _NOT_COMPARED)
    faults = []
    if match.lag is not None:
        way = "late" if match.lag > 0 else "early"
        faults.append(f"the sound comes {abs(match.lag) * 1000:.0f} ms {way}")
    elif match.gain_db is not None:
        way = "louder" if match.gain_db > 0 else "quieter"
        faults.append(f"the sound is {abs(match.gain_db):.1f} dB {way} than it was mastered")
    elif match.sound:
        faults.append(f"at {_format_spans(match.sound)} the sound is not what was mastered")
    elif match.recoded_sound:
        faults.append("the sound was encoded again, or cut")
    return _make_verdict(
        "sound_match",
        faults,
        "the sound is what was mastered, in step with the picture",
        "Render this brief again (action `rerender`); if it stays, report it with the file.",
        seconds=round(sum(b - a for a, b in match.sound), 2),
    )


FILE_CHECKS: tuple[Check, ...] = (
    check_container,
    check_video_codec,
    check_resolution,
    check_frame_rate,
    check_duration,
    check_audio_track,
    check_loudness,
    check_mono_sum,
    check_channel_balance,
    check_black_frames,
    check_frozen_frames,
    check_flashes,
    check_engine_footage,
)
WORD_CHECKS: tuple[WordCheck, ...] = (check_caption_contrast, check_safe_zone, check_text_clipping)
MARK_CHECKS: tuple[MarkCheck, ...] = (check_ai_label,)
MATCH_CHECKS: tuple[MatchCheck, ...] = (check_picture_match, check_sound_match)
CHECKS: tuple[Check | WordCheck | MarkCheck | MatchCheck, ...] = (
    *FILE_CHECKS,
    *WORD_CHECKS,
    *MARK_CHECKS,
    *MATCH_CHECKS,
)


def check_name(check: Check | WordCheck | MarkCheck | MatchCheck) -> str:
    """The name of a check in metrics, metadata and Dagster: `check_video_codec` ->
    `video_codec`."""
    return check.__name__.removeprefix("check_")


CHECK_NAMES: tuple[str, ...] = tuple(check_name(check) for check in CHECKS)


def run_checks(
    m: Measurement,
    e: ExpectedFile,
    seen: Sequence[SeenText] = (),
    mark: SourceMark | None = None,
    match: SoundMatch | None = None,
) -> list[CheckVerdict]:
    """All verdicts on a file, in the order of `CHECK_NAMES`."""
    return [
        *(check(m, e) for check in FILE_CHECKS),
        *(check(seen, e) for check in WORD_CHECKS),
        *(check(mark, e) for check in MARK_CHECKS),
        *(check(match, e) for check in MATCH_CHECKS),
    ]
