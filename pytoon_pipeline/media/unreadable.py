"""The error for a media file that can't be used, and ready-made forms of it."""

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
    """Return the error for a file that exceeds a limit (`media.too_large`)."""
    return UnreadableMediaError("media.too_large", message, remedy)


_OURS = str(Path(__file__).resolve().parents[1])
_CALLED_WRONG = re.compile(r"\(\) (got an unexpected|got multiple|takes|missing) ")


def is_defect(error: BaseException) -> bool:
    """Return whether an exception shows a fault of this program, or a library that changed, rather
    than a broken file: a missing name, a function called with wrong arguments. What libraries raise
    in their own code on broken data is no defect."""
    if isinstance(error, TypeError) and _CALLED_WRONG.search(str(error)):
        return True
    if not isinstance(error, (TypeError, AttributeError, NameError, ImportError, AssertionError)):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS)


def out_of_memory_error(path: Path) -> UnreadableMediaError:
    """Return the error for a file that needs more memory than a file may."""
    return media_too_large_error(
        f"{path.name} needs more memory than a file may.", "Export it again, smaller."
    )


def corrupt_media_error(path: Path, reason: object) -> UnreadableMediaError:
    """Return the error for a file that does not decode (`media.corrupt`)."""
    return UnreadableMediaError(
        "media.corrupt",
        f"{path.name} is damaged or breaks off: {str(reason).strip() or 'it does not decode'}.",
        "Copy or export it again.",
    )
