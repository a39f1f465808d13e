"""Why a media file can't be used: the exception with its code, sentence and remedy."""

from __future__ import annotations

import re
from pathlib import Path

from pytoon_pipeline.errors import MediaError


class UnreadableMediaError(MediaError):
    """A media file that can't be used, with a stable code, a sentence and a remedy.

    Codes: `media.missing`, `media.empty`, `media.not_media`, `media.corrupt`, `media.too_large`,
    `media.slow`.
    """

    def __init__(self, code: str, message: str, remedy: str):
        self.code, self.message, self.remedy = code, message, remedy
        super().__init__(f"{message} {remedy}".rstrip())


def media_too_large_error(message: str, remedy: str) -> UnreadableMediaError:
    return UnreadableMediaError("media.too_large", message, remedy)


_OURS = str(Path(__file__).resolve().parents[1])
_CALLED_WRONG = re.compile(r"\(\) (got an unexpected|got multiple|takes|missing) ")


def is_defect(error: BaseException) -> bool:
    """Whether an exception tells of a fault in this program, or of a library that is not as it was,
    rather than of a broken file: a name that is not there, a function that is called wrong. What
    libraries raise in their own lines on broken data is none."""
    if isinstance(error, TypeError) and _CALLED_WRONG.search(str(error)):
        return True
    if not isinstance(error, (TypeError, AttributeError, NameError, ImportError, AssertionError)):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS)


def out_of_memory_error(path: Path) -> UnreadableMediaError:
    return media_too_large_error(
        f"{path.name} needs more memory than a file may.", "Export it again, smaller."
    )


def corrupt_media_error(path: Path, reason: object) -> UnreadableMediaError:
    return UnreadableMediaError(
        "media.corrupt",
        f"{path.name} is damaged or breaks off: {str(reason).strip() or 'it does not decode'}.",
        "Copy or export it again.",
    )
