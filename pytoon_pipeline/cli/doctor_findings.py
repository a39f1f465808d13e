"""What a check of  finds, and what the checks share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytoon_pipeline.compiler.presets import PresetLibrary, open_presets
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages.services import open_fonts

if TYPE_CHECKING:
    pass

LITTLE_DISK, TOO_LITTLE_DISK = 5e9, 3e8
"""Bytes free: a video with its segments takes some 100 MB while it is made."""


@dataclass(frozen=True)
class DoctorFinding:
    name: str
    state: str
    """`ok`, `warn`, `fail`, or `off` for what is not set up and need not be."""
    detail: str
    remedy: str = ""


class DoctorContext:
    """What the checks share."""

    @cached_property
    def settings(self) -> Settings:
        return load_settings()

    @cached_property
    def library(self) -> PresetLibrary:
        return open_presets(*self.settings.presets_dirs)

    @cached_property
    def own_fonts(self) -> FontLibrary:
        return open_fonts(self.settings, system=False)

    @cached_property
    def fonts(self) -> FontLibrary:
        return open_fonts(self.settings)


REMEDIES = {
    "files": "Install Pytoon again with its own versions of av and pillow (constraints.txt).",
    "examining": "Install Pytoon again with its own versions of av and pillow (constraints.txt).",
    "ffmpeg": "Unset PYTOON_FFMPEG, or reinstall imageio-ffmpeg.",
    "store": "Set PYTOON_HOME or PYTOON_STORE to a place that can be written to.",
    "dagster": "Set PYTOON_HOME or DAGSTER_HOME to a folder that can be written to.",
}
"""What helps when a check breaks, where that is not said by what broke."""
