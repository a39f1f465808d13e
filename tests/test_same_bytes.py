"""What was examined is what is rendered: a file that is replaced, written to or linked elsewhere
while its brief is compiled is taken as it was, or refused; and what a submitted plan says of its
files is not believed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from conftest import clip, cut_out, picture, tone
from PIL import Image

from pytoon_pipeline.compiler.passes import media_files as media_pass
from pytoon_pipeline.errors import BriefError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import copies
from pytoon_pipeline.media.copies import SnapshotCopies
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.stages.compile import check_source, compile_source, spec_json
from pytoon_pipeline.stages.services import Services

GREEN, RED = (20, 160, 40), (200, 20, 20)


def plain(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (360, 640), colour).save(path)
    return path


def brief(folder: Path, text: str = "archetype: hero\nmedia: [a.png]\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.yaml").write_text(text, encoding="utf-8")
    return folder


def compiled(folder: Path, services: Services) -> RenderSpec:
    return compile_source(find_sources([folder])[0], services)


def after_probe(monkeypatch: pytest.MonkeyPatch, name: str, act) -> None:
    """Do something as soon as a file of that name, or its copy, was examined."""
    found = media_pass.probe_media

    def probe(path: Path):
        info = found(path)
        if Path(path).name == name:
            act()
        return info

    monkeypatch.setattr(media_pass, "probe_media", probe)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_replaced_after_it_was_examined_is_not_what_is_stored(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = brief(tmp_path / "camp" / "x")
    green = digest(plain(folder / "a.png", GREEN))
    after_probe(monkeypatch, "a.png", lambda: plain(folder / "a.png", RED))
    spec = compiled(folder, services)
    asset = spec.assets[0]
    assert asset.sha256 == green and digest(services.store.local(asset.key)) == green
    assert digest(folder / "a.png") != green, "the test replaced nothing"


def test_a_link_put_in_place_of_an_examined_file_leads_nowhere(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = plain(tmp_path / "private.png", RED)
    folder = brief(tmp_path / "camp" / "x")
    green = digest(plain(folder / "a.png", GREEN))

    def link() -> None:
        (folder / "a.png").unlink()
        (folder / "a.png").symlink_to(outside)

    after_probe(monkeypatch, "a.png", link)
    spec = compiled(folder, services)
    assert digest(services.store.local(spec.assets[0].key)) == green
    # Between the look at its name and its opening, too: of the folder above as of the file.


@pytest.mark.parametrize("place", ["in", "in/a.png"])
def test_a_link_put_in_place_of_a_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Between the look at where a name leads and the opening of the file."""
    plain(tmp_path / "in" / "a.png", GREEN)
    plain(tmp_path / "elsewhere" / "in" / "a.png", RED)
    real = os.path.realpath

    def lately(path, *args, **more):
        found = real(path, *args, **more)
        if str(path).endswith("a.png") and not (tmp_path / place).is_symlink():
            (tmp_path / place).rename(tmp_path / "was")
            (tmp_path / place).symlink_to(tmp_path / "elsewhere" / place)
        return found

    monkeypatch.setattr(copies.os.path, "realpath", lately)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(UnreadableMediaError) as caught:
        SnapshotCopies(tmp_path / "scratch").take(tmp_path / "in" / "a.png", tmp_path)
    assert caught.value.code in ("media.changed", "media.missing")


def test_links_inside_the_folder_are_followed(services: Services, tmp_path: Path) -> None:
    folder = brief(tmp_path / "camp" / "x")
    green = digest(plain(folder / "pictures" / "real.png", GREEN))
    (folder / "a.png").symlink_to("pictures/real.png")
    assert compiled(folder, services).assets[0].sha256 == green


def test_a_file_that_is_being_written_is_refused_with_the_remedy(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    read = copies._hash_open_file

    def grow(file, path):
        found = read(file, path)
        with open(folder / "a.png", "ab") as more:
            more.write(b"more of it")
        return found

    monkeypatch.setattr(copies, "_hash_open_file", grow)
    source = find_sources([folder])[0]
    with pytest.raises(BriefError) as caught:
        compile_source(source, services)
    for problems in (caught.value.problems, check_source(source, services)[1]):
        (problem,) = [p for p in problems if p.severity == "error"]
        assert problem.code == "media.changed" and problem.field == "media[0]"
        assert "a.png was changed while it was read" in problem.message
        assert problem.remedy == "Render again when it is complete."
    assert not services.store.keys("media")


@pytest.mark.parametrize("by_system", [True, False])
def test_a_copy_is_bounded_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_system: bool
) -> None:
    if not by_system:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    path = tmp_path / "a.png"
    path.write_bytes(os.urandom(3_000_000))
    folder = tmp_path / "scratch"
    folder.mkdir()
    held = SnapshotCopies(folder).take(path, tmp_path)
    assert held.own and held.sha256 == digest(path) == digest(held.path)
    assert held.path.name == "a.png" and held.path.is_relative_to(folder)
    monkeypatch.setattr(copies, "MAX_FILE_BYTES", 2_000_000)
    for taker in (SnapshotCopies(folder), SnapshotCopies()):
        with pytest.raises(UnreadableMediaError) as caught:
            taker.take(path, tmp_path)
        assert caught.value.code == "media.too_large"
    # Grown while it was read.
    with (
        pytest.raises(UnreadableMediaError),
        open(path, "rb") as file,
        open(folder / "b", "wb") as to,
    ):
        copies._copy_contents(file, to, path)


def test_a_check_copies_nothing_and_sees_a_file_that_changes(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    source = find_sources([folder])[0]
    monkeypatch.setattr(copies, "mkdtemp", None)
    spec, problems = check_source(source, services)
    assert spec is not None and not [p for p in problems if p.severity == "error"]
    after_probe(monkeypatch, "a.png", lambda: plain(folder / "a.png", RED))
    _, problems = check_source(source, services)
    assert [p.code for p in problems if p.severity == "error"] == ["media.changed"]


def test_all_that_a_brief_names_is_copied(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures, clips, grounds, sound, logos of the brief and of a kit beside it."""
    folder = brief(
        tmp_path / "camp" / "x",
        "archetype: overlay\nbrand: kit/brand.yaml\nbackground: behind.png\nlogo: own.png\n"
        "voice: voice.wav\nmusic: {path: song.wav, licence: ours}\n"
        "media: [a.png, b.mp4]\nhook: Hello\n",
    )
    picture(folder / "a.png")
    clip(folder / "b.mp4")
    plain(folder / "behind.png", GREEN)
    cut_out(folder / "own.png")
    tone(folder / "voice.wav")
    tone(folder / "song.wav", 3.0)
    kit = folder / "kit"
    kit.mkdir()
    cut_out(kit / "logo.png", (400, 120))
    (kit / "brand.yaml").write_text(
        "name: Kit\nlogo: {on_pictures: logo.png}\nend_card: {seconds: 2, line: Bye}\n", "utf-8"
    )
    opened: list[str] = []
    examined = copies.SnapshotCopies.take

    def take(self, path, root=None, suffix=""):
        held = examined(self, path, root, suffix)
        opened.append(path.name)
        assert held.own or held.path.is_relative_to(Path(services.settings.store)), path
        return held

    monkeypatch.setattr(copies.SnapshotCopies, "take", take)
    spec = compiled(folder, services)
    names = {"a.png", "b.mp4", "behind.png", "own.png", "voice.wav", "song.wav", "logo.png"}
    assert names <= set(opened)
    for asset in spec.assets:
        assert digest(services.store.local(asset.key)) == asset.sha256
    assert not list(services.settings.scratch.glob("brief-*")), "copies were left"


def test_a_second_compilation_copies_nothing(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    first = compiled(folder, services)
    held: list[copies.StoredCopy] = []
    examined = copies.SnapshotCopies.take

    def take(self, *args):
        held.append(examined(self, *args))
        return held[-1]

    monkeypatch.setattr(copies.SnapshotCopies, "take", take)
    assert compiled(folder, services) == first
    assert held and not any(h.own for h in held)


# What a plan says of its files --------------------------------------------------------------------


def plan_of(folder: Path, services: Services, **changes) -> Path:
    """A finished plan that was sent, and something else said of its first file."""
    data = json.loads(spec_json(compiled(folder, services)))
    data["assets"][0] |= changes
    other = folder.parent / "plan"
    other.mkdir(exist_ok=True)
    (other / "render_spec.json").write_text(json.dumps(data), encoding="utf-8")
    return other


def test_what_a_plan_says_of_its_files_is_measured_anew(services: Services, tmp_path: Path) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    right = compiled(folder, services).assets[0]
    lies = {
        "kind": "video",
        "width": 9,
        "height": 9,
        "seconds": 5.0,
        "bytes": 1,
        "frame_rate": 30.0,
        "has_alpha": True,
        "has_audio": True,
    }
    assert compiled(plan_of(folder, services, **lies), services).assets[0] == right


def test_a_sound_that_a_plan_calls_a_picture_is_refused(services: Services, tmp_path: Path) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    tone(tmp_path / "t.wav")
    sound = digest(tmp_path / "t.wav")
    services.store.put(f"media/{sound}.wav", tmp_path / "t.wav")
    other = plan_of(folder, services, sha256=sound, suffix=".wav", kind="image", source="t.wav")
    with pytest.raises(BriefError) as caught:
        compiled(other, services)
    errors = [p for p in caught.value.problems if p.severity == "error"]
    assert errors[0].code == "media.kind" and errors[0].message.startswith("t.wav is sound only")


@pytest.mark.parametrize("suffix", ["." + "x" * 300, "/../x", ".a/b", "png", ".PNG ", "..", ".%"])
def test_an_ending_is_an_ending(services: Services, tmp_path: Path, suffix: str) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    other = plan_of(folder, services, suffix=suffix)
    with pytest.raises(BriefError) as caught:
        compiled(other, services)
    assert "assets[0].suffix" in {p.field for p in caught.value.problems}, str(caught.value)
    said = "\n".join(map(str, caught.value.problems))
    assert str(services.settings.home) not in said and len(said) < 1000


def test_a_plan_whose_file_is_gone_says_what_to_do(services: Services, tmp_path: Path) -> None:
    folder = brief(tmp_path / "camp" / "x")
    plain(folder / "a.png", GREEN)
    other = plan_of(folder, services)
    services.store.local(services.store.keys("media")[0]).write_bytes(b"")
    with pytest.raises(BriefError) as caught:
        compiled(other, services)
    (problem,) = [p for p in caught.value.problems if p.severity == "error"]
    assert problem.code == "media.missing" and "no whole copy of a.png" in problem.message
    assert "beside the plan" in problem.remedy and str(tmp_path) not in str(problem)
