"""A power cut, simulated: everything that was written to a folder and not synced is lost.

    disk = Disk(folder, tmp_path)            # Compiles tests/power.c.
    run([...], env=disk.environ(cut=7))      # Killed at its 7th sync; or uncut, without a number.
    disk.lose_power()                        # The folder is what was synced of it, nothing more.

The strictest reading of what POSIX promises is taken: a name is there only if its folder was synced
since it got it, and a file holds what it held when it was synced itself, else nothing. Real file
systems keep more. As `python tests/power_cut.py PLACE CUTS` it renders a brief of two scenes in
processes that end so, at CUTS places spread over the syncs of a whole render.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

SYNC_ALL = """
import os, sys
for at, folders, files in os.walk(sys.argv[1], topdown=False):
    for name in [*files, "."]:
        handle = os.open(os.path.join(at, name), os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
"""


def compiler() -> str | None:
    return shutil.which("cc") if sys.platform == "linux" else None


def library(place: Path) -> Path:
    """tests/power.c, compiled."""
    made, source = place / "power.so", Path(__file__).with_name("power.c")
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(made), str(source)], check=True)
    return made


class Disk:
    """A folder on a disk whose power can be cut."""

    def __init__(self, root: Path, place: Path):
        self.root, self.image, self.library = root, place / "image", library(place)
        root.mkdir(parents=True, exist_ok=True)
        self.settle()

    def environ(self, cut: int | None = None) -> dict[str, str]:
        found = {
            "LD_PRELOAD": str(self.library),
            "POWER_ROOT": str(self.root),
            "POWER_IMAGE": str(self.image),
        }
        return found | ({"POWER_CUT": str(cut)} if cut is not None else {})

    def settle(self) -> None:
        """All that is there now is on the disk."""
        shutil.rmtree(self.image, ignore_errors=True)
        self.image.mkdir()
        argv = [sys.executable, "-c", SYNC_ALL, str(self.root)]
        subprocess.run(argv, check=True, env={**os.environ, **self.environ()})

    def lose_power(self) -> None:
        """The folder as the disk has it."""
        rest = self.root.with_name(f".{self.root.name}-rest")
        self._lay((self.image / "root").read_text(), rest)
        shutil.rmtree(self.root)
        rest.rename(self.root)
        self.settle()

    def _lay(self, which: str, target: Path) -> None:
        target.mkdir()
        if not (self.image / which).exists():
            return
        for line in (self.image / which).read_text("utf-8").splitlines():
            kind, each, name = line.split(" ", 2)
            if kind == "d":
                self._lay(each, target / name)
            elif (self.image / each).exists():
                shutil.copy2(self.image / each, target / name)
            else:
                (target / name).touch()


# A render in such processes -----------------------------------------------------------------------

KEY = "camp/x"


def _plan(folder: Path) -> Path:
    from deployment import picture, tiny

    picture(folder / "b.png", 90)
    segments = [
        {
            "media": [f"{p}.png"],
            "duration": 1.5,
            "text": p,
            "motion": "push_in",
            "transition": "crossfade",
        }
        for p in ("a", "b")
    ]
    return tiny(folder, segments=segments)


def _render(home: Path, folder: Path) -> None:
    from pytoon_pipeline.intake.folders import find_sources
    from pytoon_pipeline.settings import Settings, project_data
    from pytoon_pipeline.stages.assemble import assemble_video
    from pytoon_pipeline.stages.compile import compile_source
    from pytoon_pipeline.stages.results import make_thumbnail, write_metrics
    from pytoon_pipeline.stages.segments import render_segments
    from pytoon_pipeline.stages.services import open_services

    services = open_services(
        Settings(
            home=home,
            store=str(home / "store"),
            briefs_dir=home / "briefs",
            presets_dir=project_data("presets"),
            workers=1,
        )
    )
    spec = compile_source(find_sources([folder])[0], services)
    segments = render_segments(spec, services, KEY)
    video = assemble_video(spec, segments, services, KEY)
    make_thumbnail(spec, video, services, KEY)
    write_metrics(spec, segments, video, services, KEY)


def _apart(disk: Disk, cut: int | None, home: Path, folder: Path, told: Path) -> int:
    """A render in a child of this process, which loads nothing anew. Returns how it ended; `told`
    says how often it synced."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os.setpgid(0, 0)
        os.environ.pop("POWER_CUT", None)
        os.environ |= disk.environ(cut if cut is not None else 0)
        _render(home, folder)
        told.write_text(str(ctypes.CDLL(None).power_syncs()))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def _objects(root: Path) -> dict[str, bytes]:
    from pytoon_pipeline.store import FolderStore

    return {key: (root / key).read_bytes() for key in FolderStore(root).keys("")}


def _may_differ(key: str) -> bool:
    """Documents say how long things took."""
    return key.endswith(".json")


def main(place: Path, cuts: int) -> None:
    folder = _plan(place / "briefs" / "camp" / "x")
    home = place / "home"
    disk, told = Disk(home / "store", place / "disk"), place / "syncs"
    assert _apart(disk, None, home, folder, told) == 0
    syncs, whole = int(told.read_text()), _objects(disk.root)
    # The power fails after the end: everything that was there is there.
    disk.lose_power()
    left = _objects(disk.root)
    lost = [key for key in whole if left.get(key) != whole[key]]
    assert not lost, f"{lost} counted as there and were not on the disk"
    found = []
    for number in range(1, cuts + 1):
        shutil.rmtree(disk.root)
        disk.root.mkdir()
        disk.settle()
        cut = max(1, syncs * number // (cuts + 1))
        assert _apart(disk, cut, home, folder, told) == -9
        disk.lose_power()
        left = _objects(disk.root)
        wrong = [k for k, data in left.items() if not _may_differ(k) and data != whole[k]]
        assert not wrong, f"cut at {cut} of {syncs}: {wrong} count as there and are not whole"
        for key, data in left.items():
            if key.endswith(".json"):
                json.loads(data)
        assert _apart(disk, None, home, folder, told) == 0
        after = _objects(disk.root)
        assert after.keys() == whole.keys()
        wrong = [k for k in after if not _may_differ(k) and after[k] != whole[k]]
        assert not wrong, f"after a cut at {cut} of {syncs} and a new render {wrong} differ"
        found.append(f"{cut}: {len(left)} of {len(whole)}")
    print(f"{syncs} syncs; objects left after a cut at " + ", ".join(found))


if __name__ == "__main__":
    if "LD_PRELOAD" not in os.environ:  # This process is to be forked, so it begins anew with it.
        found = {**os.environ, "LD_PRELOAD": str(library(Path(sys.argv[1]) / "disk"))}
        os.execve(sys.executable, [sys.executable, *sys.argv], found)
    main(Path(sys.argv[1]), int(sys.argv[2]))
