"""Checks of the picture: black, frozen and flashing stretches, segments without footage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytoon_pipeline.quality.verdicts import (
    CheckVerdict,
    ExpectedFile,
    ExplainedStretch,
    make_verdict,
)

if TYPE_CHECKING:  # Whoever only wants the names of the checks need not load the decoders.
    from pytoon_pipeline.media.measurement import Measurement

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
NEAR_FRAMES = 3
"""What the material shows may begin or end so many frames from where it is seen: encoding and
transitions soften it."""


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
        return make_verdict(name, faults, good, remedy, **measured)
    if not any(s.warns for s in shown):
        return make_verdict(name, [], "; ".join(told), **measured)
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
        return make_verdict("black_frames", ["there is no video track"], "")
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
        return make_verdict("frozen_frames", ["there is no video track"], "")
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
        return make_verdict("flashes", ["there is no video track"], "")
    flips = _find_flips(m.video.flash)
    # A flash is a change and the one back.
    seconds = [[j for j in flips if i <= j < i + e.rate] for i in flips]
    worst = max(seconds, key=len, default=[])
    most = len(worst) // 2
    faults = []
    if most > MAX_FLASHES:
        faults.append(f"{most} flashes in the second from {worst[0] / e.rate:.2f} s on")
    return make_verdict(
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
        return make_verdict("engine_footage", [], "every segment has its footage")
    return CheckVerdict(
        name="engine_footage",
        passed=False,
        severity="warning",
        message=f"{', '.join(e.degraded)}: no engine could render it; a plain still stands in",
        measured={"degraded": e.degraded},
        remedy="Check `pytoon engines` and the policy, then render again.",
    )
