"""A RenderSpec in the making, and what the passes know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytoon_pipeline.briefs.model import Brief, GenerateItem, MediaItem
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.platform_model import PlatformFacts
from pytoon_pipeline.compiler.preset_model import Preset
from pytoon_pipeline.compiler.presets import PresetLibrary
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.media.copies import SnapshotCopies
from pytoon_pipeline.media.probe import MediaInfo
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.model import Asset, RenderSpec
from pytoon_pipeline.plan.segment import Segment
from pytoon_pipeline.plan.text import CaptionRole


@dataclass(frozen=True)
class BriefLine:
    """One line of a brief, on its way to become captions."""

    role: CaptionRole
    text: str
    field: str
    """The field it was written in."""
    style: str
    """Key into the spec's styles."""


@dataclass(frozen=True)
class CompileContext:
    """What the passes may look things up in."""

    presets: PresetLibrary
    fonts: FontLibrary
    media_roots: Mapping[str, Path] = field(default_factory=dict)
    stored: Callable[[str], Path | None] = lambda key: None
    """A store key -> local file, for the media of a spec that was compiled before."""
    fetch: Callable[[str], Path] | None = None
    """An address -> local file with its bytes; FetchRefusedError where that may or can not be."""
    scratch: Path | None = None
    """A folder of its own for copies of the files that are to be rendered; without one they are
    examined where they are, and what is compiled is not to be rendered."""
    private: Path | None = None
    """A folder that nobody else writes to: files there need no copy."""
    at_hand: bool = False
    """Is `stored` a look at this machine? Then no copy is made of what it has."""


@dataclass
class Scene:
    """A segment in the making, with what it comes from."""

    segment: Segment
    origin: str
    """The field of the source that it comes from: `media[2]`, `segments[0]`, `end_card`."""
    item: MediaItem | None = None
    """The item of the brief that it shows; None for cards, prompts and hand-written segments."""
    prompt: GenerateItem | None = None
    """The item of the brief that asks a model for it."""
    lines: list[BriefLine] = field(default_factory=list)
    """What is said in it, in order."""
    is_end_card: bool = False


@dataclass
class PlanDraft:
    file: str
    """The source file, as its author knows it."""
    folder: Path
    """Media are relative to it."""
    spec: RenderSpec
    shop: CompileContext
    brief: Brief | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    """Asset id -> local file: a copy, or the store's own."""
    copies: SnapshotCopies = field(init=False)
    """By which files are taken."""
    probed: dict[Path, MediaInfo] = field(default_factory=dict)
    """What was found out about files that were taken."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of a file in the source -> its name in the folder, where that is another."""
    given: dict[str, Asset] = field(default_factory=dict)
    """Assets that a spec came with, by id."""
    scenes: list[Scene] = field(init=False)
    """The segments in order, each with what it comes from."""
    # Set by the pass `look`, needed by all that follow.
    preset: Preset = None  # type: ignore[assignment]
    brand: Brand = None  # type: ignore[assignment]
    facts: PlatformFacts = None  # type: ignore[assignment]
    clear_box: Box = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        self.scenes = [Scene(s, f"segments[{i}]") for i, s in enumerate(self.spec.segments)]

        def find_stored(sha256: str, suffix: str) -> Path | None:
            return self.shop.stored(f"media/{sha256}{suffix}")

        found = find_stored if self.shop.at_hand else None
        self.copies = SnapshotCopies(self.shop.scratch, found, self.shop.private)

    def set_scenes(self, scenes: list[Scene]) -> None:
        """Other scenes, or another order of them."""
        self.scenes = scenes
        self.spec.segments = [scene.segment for scene in scenes]

    @property
    def end_card(self) -> Scene | None:
        """The scene of the brand's end card, where the video has one: the last."""
        return self.scenes[-1] if self.scenes and self.scenes[-1].is_end_card else None

    @property
    def content_scenes(self) -> list[Scene]:
        """All scenes but the end card."""
        return [scene for scene in self.scenes if not scene.is_end_card]

    @property
    def scale(self) -> float:
        """Pixels of this video for a pixel of the 1080-wide frame that presets speak of."""
        return self.spec.resolution.width / 1080

    def box(self, box: Box) -> Box:
        """A box of a preset, in pixels of this video."""
        x0, y0, x1, y1 = (round(v * self.scale) for v in box)
        return x0, y0, x1, y1

    def error(self, code: str, message: str, remedy: str = "", field: str | None = None, **more):
        self.problems.append(
            Problem(code, message, remedy, "error", file=self.file, field=field, **more)
        )

    def warn(self, code: str, message: str, remedy: str = "", field: str | None = None, **more):
        self.problems.append(
            Problem(code, message, remedy, "warning", file=self.file, field=field, **more)
        )

    def note(self, text: str) -> None:
        """Something the compiler decided that the author should know; kept in the spec."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def broken(self) -> bool:
        return any(p.severity == "error" for p in self.problems)
