"""Checks that the file holds the picture that was drawn and the sound that was mastered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytoon_pipeline.quality.verdicts import (
    CheckVerdict,
    ExpectedFile,
    make_verdict,
)

if TYPE_CHECKING:  # Whoever only wants the names of the checks need not load the decoders.
    from pytoon_pipeline.quality.match import SoundMatch

_NOT_COMPARED = "not compared: it was linked by an earlier version"


def _format_spans(runs: Sequence[tuple[float, float]], per_second: float = 1.0) -> str:
    told = [f"{a / per_second:.2f}-{b / per_second:.2f} s" for a, b in runs[:3]]
    return ", ".join(told) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")


def check_picture_match(match: SoundMatch | None, e: ExpectedFile) -> CheckVerdict:
    """Every frame shows what was drawn for it, as it was encoded."""
    if match is None:
        return make_verdict("picture_match", [], _NOT_COMPARED)
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
    return make_verdict(
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
        return make_verdict("sound_match", [], _NOT_COMPARED)
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
    return make_verdict(
        "sound_match",
        faults,
        "the sound is what was mastered, in step with the picture",
        "Render this brief again (action `rerender`); if it stays, report it with the file.",
        seconds=round(sum(b - a for a, b in match.sound), 2),
    )
