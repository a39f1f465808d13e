"""Checks of the sound: its track, its loudness and its two channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytoon_pipeline.quality.verdicts import (
    CheckVerdict,
    ExpectedFile,
    make_verdict,
)

if TYPE_CHECKING:  # Whoever only wants the names of the checks need not load the decoders.
    from pytoon_pipeline.media.measurement import Measurement

LOUDNESS_TOLERANCE = 1.0
SYNC_SECONDS = 0.045
"""Sound may end this far from the picture: a frame and an AAC packet."""
MONO_LU = 3.0
"""The mono sum may lie this far below the stereo loudness: channels that have nothing in common
lose as much."""
MONO_LOST_SECONDS = 1.0
"""So long it may lie 10 LU below."""
ONE_SIDED_LU = 25.0
"""A channel that lies so far below the other is as good as silent."""


def check_audio_track(m: Measurement, e: ExpectedFile) -> CheckVerdict:
    """One AAC-LC track, 48 kHz, stereo, as long as the picture and in step with it."""
    a, faults = m.audio, []
    if a is None or m.video is None:
        return make_verdict("audio_track", ["there is no sound track"], "", "Link again.")
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
    return make_verdict(
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
        return make_verdict("loudness", ["there is no sound track"], "")
    measured: dict[str, Any] = {
        "lufs": a.integrated_lufs,
        "true_peak_dbtp": a.true_peak_dbtp,
        "longest_silence": round(a.longest_silence, 2),
    }
    if not e.sound:
        heard = a.integrated_lufs is not None and a.integrated_lufs > -60
        faults = ["something is heard though nothing was planned"] if heard else []
        return make_verdict("loudness", faults, "silent, as planned", **measured)
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
    return make_verdict(
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
        return make_verdict("mono_sum", ["there is no sound track"], "")
    faults = []
    if a.mono_lu is not None and a.mono_lu < -MONO_LU - 0.05:
        faults.append(f"on one loudspeaker it is {-a.mono_lu:.1f} LU quieter than on two")
    elif a.mono_lost_seconds >= MONO_LOST_SECONDS:
        faults.append(f"on one loudspeaker nearly nothing is heard for {a.mono_lost_seconds:.1f} s")
    good = "nothing to be heard" if a.mono_lu is None else f"{a.mono_lu:+.1f} LU against stereo"
    return make_verdict(
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
        return make_verdict("channel_balance", ["there is no sound track"], "")
    faults = []
    if a.balance_lu is not None and abs(a.balance_lu) > ONE_SIDED_LU:
        side = "right" if a.balance_lu > 0 else "left"
        faults.append(f"the {side} channel is silent while the other is not")
    good = "nothing to be heard" if a.balance_lu is None else f"left {a.balance_lu:+.1f} LU"
    return make_verdict(
        "channel_balance",
        faults,
        good,
        "Render again; if it stays, report it with the file.",
        balance_lu=None if a.balance_lu is None else round(a.balance_lu, 2),
    )
