"""A damaged object of the store is made again in the run that finds it, and the run ends well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import power_cut
import pytest
from deployment import tiny
from power_cut import compiler
from test_store import spoil

from pytoon_pipeline.errors import RenderError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media.measure import measure_file
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.documents import SegmentsDocument, VideoDocument
from pytoon_pipeline.stages.results import make_thumbnail
from pytoon_pipeline.stages.segments import REMADE, render_segments
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.store import FolderStore

KEY = "camp/x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "camp" / "x"
    tiny(folder)
    return folder


def rendered(folder: Path, services: Services) -> tuple[SegmentsDocument, VideoDocument]:
    """As a run does it, by a new process."""
    spec = compile_source(find_sources([folder])[0], services)
    segments = render_segments(spec, services, KEY)
    video = assemble_video(spec, segments, services, KEY)
    make_thumbnail(spec, video, services, KEY)
    return segments, video


@pytest.mark.parametrize("how", ["empty", "flip"])
def test_whatever_is_damaged_is_made_again(services: Services, folder: Path, how: str) -> None:
    store = services.store
    assert isinstance(store, FolderStore)
    _, first = rendered(folder, services)
    whole = {key: store.read_bytes(key) for key in store.keys("")}
    made = [k for k in whole if k.partition("/")[0] not in ("documents",)]
    assert {k.partition("/")[0] for k in made} >= {"media", "segments", "videos", "linked", "drawn"}
    for key in made:
        spoil(store.local(key), how)
    segments, video = rendered(folder, services)
    assert [s.notes for s in segments.segments] == [[REMADE]] * len(segments.segments)
    assert video.sha256 == first.sha256 and not video.cached
    for key in made:
        if key.endswith((".mp4", ".png", ".m4a", ".srt", ".vtt", ".jpg", ".trace")):
            assert store.read_bytes(key) == whole[key], key
    # Nothing is left to be made.
    segments, video = rendered(folder, services)
    assert video.cached and all(s.cached and not s.notes for s in segments.segments)
    assert measure_file(store.local(video.key)).video.frames == video.frames


def test_a_segment_damaged_before_it_is_linked_is_rendered_again(
    services: Services, folder: Path
) -> None:
    spec = compile_source(find_sources([folder])[0], services)
    segments = render_segments(spec, services, KEY)
    first = assemble_video(spec, segments, services, KEY)
    services.store.delete(first.key)
    spoil(services.store.local(segments.segments[0].key), "flip")
    assert assemble_video(spec, segments, services, KEY).sha256 == first.sha256


def test_a_medium_that_is_gone_after_its_plan_was_made_is_said_with_the_remedy(
    services: Services, folder: Path
) -> None:
    spec = compile_source(find_sources([folder])[0], services)
    spoil(services.store.local(spec.assets[0].key), "empty")
    with pytest.raises(RenderError) as caught:
        render_segments(spec, services, KEY)
    said = str(caught.value)
    assert "a.png: the store has no whole copy of it any more. Render the brief again" in said
    # Which helps: the file is taken from the folder.
    assert rendered(folder, services)[1].frames


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler, on Linux")
def test_a_power_cut_leaves_only_what_is_whole(tmp_path: Path) -> None:
    """All that was not synced is thrown away in the middle of a render: what counts as present is
    whole, and a new render ends as the first one. `make proof-faults` cuts in more places."""
    told = subprocess.run(
        [sys.executable, power_cut.__file__, str(tmp_path), "1"], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert "objects left after a cut at" in told.stdout
