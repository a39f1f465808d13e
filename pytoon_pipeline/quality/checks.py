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
from typing import TYPE_CHECKING

from pytoon_pipeline.quality.container_checks import (
    check_ai_label,
    check_container,
    check_duration,
    check_frame_rate,
    check_resolution,
    check_video_codec,
)
from pytoon_pipeline.quality.match_checks import check_picture_match, check_sound_match
from pytoon_pipeline.quality.picture_checks import (
    check_black_frames,
    check_engine_footage,
    check_flashes,
    check_frozen_frames,
)
from pytoon_pipeline.quality.sound_checks import (
    check_audio_track,
    check_channel_balance,
    check_loudness,
    check_mono_sum,
)
from pytoon_pipeline.quality.verdicts import (
    CheckVerdict,
    ExpectedFile,
    SeenText,
)
from pytoon_pipeline.quality.word_checks import (
    check_caption_contrast,
    check_safe_zone,
    check_text_clipping,
)

if TYPE_CHECKING:  # Whoever only wants the names of the checks need not load the decoders.
    from pytoon_pipeline.media.measurement import Measurement
    from pytoon_pipeline.media.source_label import SourceMark
    from pytoon_pipeline.quality.match import SoundMatch

Check = Callable[["Measurement", ExpectedFile], CheckVerdict]
WordCheck = Callable[[Sequence[SeenText], ExpectedFile], CheckVerdict]
MarkCheck = Callable[["SourceMark | None", ExpectedFile], CheckVerdict]
MatchCheck = Callable[["SoundMatch | None", ExpectedFile], CheckVerdict]


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
    """Return the name of a check in metrics, metadata and Dagster: `check_video_codec` ->
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
    """Run all checks on a file and return their verdicts, in the order of `CHECK_NAMES`."""
    return [
        *(check(m, e) for check in FILE_CHECKS),
        *(check(seen, e) for check in WORD_CHECKS),
        *(check(mark, e) for check in MARK_CHECKS),
        *(check(match, e) for check in MATCH_CHECKS),
    ]
