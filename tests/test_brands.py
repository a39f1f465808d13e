"""Brand kits and preset files: what is wrong with them, and kits made from a logo."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from conftest import picture
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from pytoon_pipeline.cli import app
from pytoon_pipeline.cli.schema import schema_text
from pytoon_pipeline.compiler import kit_findings
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.kit_findings import brand_findings, survey_kits
from pytoon_pipeline.compiler.preset_model import PAIRS, ROLES, Preset
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture.logos import contrast_of, read_logo
from pytoon_pipeline.settings import Settings, project_data
from pytoon_pipeline.stages.compile import check_source
from pytoon_pipeline.stages.services import Services

SHIPPED = project_data("presets")
FONT = SHIPPED / "fonts/montserrat/Montserrat_800ExtraBold.ttf"


def kit(folder: Path, text: str, logo: Image.Image | None = None) -> Path:
    """A kit's file, with a white logo of 800x200 beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (logo or word("brand", (255, 255, 255, 255), (800, 200))).save(folder / "logo.png")
    (folder / "brand.yaml").write_text(text, encoding="utf-8")
    return folder / "brand.yaml"


def word(text: str, colour: tuple[int, ...], size: tuple[int, int], ground=(0, 0, 0, 0)):
    image = Image.new("RGBA", size, ground)
    font = ImageFont.truetype(str(FONT), size[1] // 2)
    ImageDraw.Draw(image).text((size[0] / 2, size[1] / 2), text, colour, font, anchor="mm")
    return image


def found(services: Services, path: Path) -> dict[str, list[Problem]]:
    """What is said of a kit, by field."""
    said: dict[str, list[Problem]] = {}
    for problem in brand_findings(services.presets, path, services.fonts):
        assert problem.file == str(path) and problem.message
        said.setdefault(problem.field or "", []).append(problem)
    return said


# What is wrong -----------------------------------------------------------------------------------


def test_what_is_shipped_is_in_order(services: Services):
    seen = survey_kits(services.presets, services.fonts)
    assert seen.problems == {}
    assert {"morrow", "neutral"} <= seen.brands.keys()


def test_everything_wrong_with_a_kit_is_said_at_once(services: Services, tmp_path: Path):
    path = kit(
        tmp_path / "bad",
        "name: Bad\n"
        "colors:\n"
        '  acent: "#B8462F"\n'
        "  text: red\n"
        "  ground: #F4EDE2\n"
        '  accent: "#F2C300"\n'
        '  on_accent: "#FFFFFF"\n'
        "fonts: {heading: Montserat, body: body.ttf}\n"
        "logo: {on_pictures: logo.png, on_ground: gone.png}\n"
        "watermak: {width: 0.3}\n",
    )
    said = found(services, path)
    place = {field: (p[0].code, p[0].severity) for field, p in said.items()}
    assert place == {
        "colors.text": ("brand.color", "error"),
        "colors.ground": ("brand.color", "error"),
        "watermak": ("field.unknown", "error"),
        "colors.acent": ("brand.role", "error"),
        "colors": ("brand.role_missing", "warning"),
        "colors.on_accent": ("brand.contrast", "warning"),
        "fonts.heading": ("font.unknown", "warning"),
        "fonts.body": ("font.unknown", "warning"),
        "logo.on_ground": ("brand.logo", "error"),
    }
    assert said["colors.text"][0].remedy == 'Write text: "#FF0000".'
    assert "comment" in said["colors.ground"][0].message
    assert "'accent'" in said["colors.acent"][0].remedy
    assert "'watermark'" in said["watermak"][0].remedy
    assert "'Montserrat'" in said["fonts.heading"][0].remedy
    assert "is a file" in said["fonts.body"][0].message
    assert "1.7:1" in said["colors.on_accent"][0].message
    proposed = said["colors.on_accent"][0].remedy.split('"')[1]
    assert contrast_of(proposed, "#F2C300") >= 4.5, "the remedy is one"
    assert "on_paper" in said["colors"][0].message and "accent" not in said["colors"][0].message


def _colours(**changes: str) -> str:
    colours = yaml.safe_load((SHIPPED / "brands/morrow/brand.yaml").read_text())["colors"]
    return yaml.safe_dump({"colors": {**colours, **changes}})


@pytest.mark.parametrize(
    ("logo", "codes"),
    [
        (word("brand", (255, 255, 255, 255), (800, 200)), {"on_pictures": set()}),
        (word("b", (255, 255, 255, 255), (300, 80)), {"on_pictures": set()}),
        (word("b", (255, 255, 255, 255), (150, 40)), {"on_pictures": {"brand.logo_small/warning"}}),
        (word("b", (255, 255, 255, 255), (40, 12)), {"on_pictures": {"brand.logo_small/error"}}),
        (
            word("brand", (20, 20, 20, 255), (800, 200), (255, 255, 255, 255)),
            {"on_pictures": {"brand.logo_opaque/warning"}},
        ),
    ],
)
def test_a_logo_is_held_against_its_place(
    services: Services, tmp_path: Path, logo: Image.Image, codes: dict[str, set[str]]
):
    text = "name: N\nlogo: {on_pictures: logo.png}\n" + _colours()
    said = found(services, kit(tmp_path / "k", text, logo))
    assert {
        f.removeprefix("logo."): {f"{p.code}/{p.severity}" for p in ps} for f, ps in said.items()
    } == {role: found for role, found in codes.items() if found}


def test_a_white_logo_is_lost_on_a_pale_end_card(services: Services, tmp_path: Path):
    text = "name: N\nlogo: {on_pictures: logo.png}\nend_card: {seconds: 2}\n" + _colours()
    (problem,) = found(services, kit(tmp_path / "k", text))["logo.on_pictures"]
    assert problem.code == "brand.logo_lost" and "logo.on_ground" in problem.remedy


def test_a_font_without_letters_is_named(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kit_findings, "LETTERS", "AЖ")
    text = "name: N\nfonts: {heading: Bebas Neue, body: Inter}\n" + _colours()
    (problem,) = found(services, kit(tmp_path / "k", text))["fonts.heading"]
    assert problem.code == "font.letters" and "has no Ж" in problem.message


# One and the others ------------------------------------------------------------------------------


@pytest.fixture
def own(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Presets of one's own, with what is shipped, a broken kit and two broken presets."""
    folder = tmp_path / "presets"
    folder.mkdir()
    for name in SHIPPED.iterdir():
        if name.name not in ("brands", "hero"):
            (folder / name.name).symlink_to(name)
    for name in ("brands", "hero"):
        (folder / name).mkdir()
        for each in (SHIPPED / name).iterdir():
            (folder / name / each.name).symlink_to(each)
    kit(folder / "brands/broken", "name: [\n")
    good = (SHIPPED / "hero/daylight.yaml").read_text()
    wrong = good.replace("push_in", "push_inn", 1).replace("music: warm", "music: warmm")
    wrong = wrong.replace("font: heading, weight: 800", "font: Comic Sans, weight: 800")
    wrong = wrong.replace("color: text", "color: txet", 1)
    (folder / "hero/wrong.yaml").write_text(wrong)
    (folder / "hero/torn.yaml").write_text(good.replace("pacing:", "paceing:"))
    monkeypatch.setenv("PYTOON_PRESETS_DIR", str(folder))
    monkeypatch.setenv("PYTOON_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return folder


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    assert not isinstance(result.exception, Exception), result.exception
    return result.exit_code, result.output


def brief(folder: Path, name: str, text: str) -> Path:
    picture(folder / name / "a.png", (400, 700))
    (folder / name / "brief.yaml").write_text(
        f"media: [a.png, a.png]\nhook: Hello\nmusic: none\nend_card: false\n{text}"
    )
    return folder / name


def test_a_broken_file_hides_no_other(own: Path, tmp_path: Path):
    code, said = run("presets", "--json")
    listed = json.loads(said)
    assert code == 0
    assert {"daylight", "bold"} <= {p["name"] for p in listed["presets"]}
    assert [b["name"] for b in listed["brands"]] == ["morrow", "neutral"]
    fields = {(p["of"], p.get("field", "")) for p in listed["problems"]}
    assert {
        ("brand/broken", ""),
        ("hero/torn", "paceing"),
        ("hero/torn", "pacing"),
        ("hero/wrong", "motion.kinds[0]"),
        ("hero/wrong", "music"),
        ("hero/wrong", "type.hook.font"),
        ("hero/wrong", "type.hook.color"),
    } <= fields

    for name, text in (("good", ""), ("kit", "brand: broken\n"), ("look", "preset: wrong\n")):
        brief(tmp_path / "briefs", name, text)
    code, said = run("check", str(tmp_path / "briefs"), "--json")
    checked = {Path(b["brief"]).parent.name: b for b in map(json.loads, said.splitlines())}
    assert code == 2
    assert {name: b["ok"] for name, b in checked.items()} == {
        "good": True,
        "kit": False,
        "look": False,
    }
    assert checked["kit"]["problems"][0]["file"] == "presets/brands/broken/brand.yaml"
    remedies = {p.get("field"): p.get("remedy", "") for p in checked["look"]["problems"]}
    assert "'push_in'" in remedies["motion.kinds[0]"] and "'warm'" in remedies["music"]


def test_a_kit_is_checked_by_itself_and_said_once_for_many_briefs(own: Path, tmp_path: Path):
    code, said = run("check", str(own / "brands/broken"), str(own / "hero/bold.yaml"))
    assert code == 2 and "file.yaml" in said and "1 brand kit and 1 preset file: 1 ok" in said
    pale = "name: P\n" + _colours(accent="#F2C300")
    kit(own / "brands/pale", pale)
    for name in ("one", "two"):
        brief(tmp_path / "briefs", name, "brand: pale\n")
    code, said = run("check", str(tmp_path / "briefs"))
    assert code == 0 and said.count("brand.contrast") == 1


def test_a_kit_beside_a_brief_is_judged_too(services: Services, tmp_path: Path):
    folder = brief(tmp_path / "c", "b", "brand: own.yaml\n")
    (folder / "own.yaml").write_text("name: Own\ncolors: {accent: teal}\n")
    _, problems = check_source(find_sources([folder])[0], services)
    (error,) = (p for p in problems if p.severity == "error")
    assert error.field == "brand" and "colors.accent" in error.message
    assert error.remedy == 'Write accent: "#008080".'


# From a logo -------------------------------------------------------------------------------------


def emblem() -> Image.Image:
    image = Image.new("RGBA", (700, 700), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 680, 680), fill=(250, 200, 20, 255))
    font = ImageFont.truetype(str(FONT), 180)
    draw.text((350, 350), "ZEST", (20, 20, 20, 255), font, anchor="mm")
    return image


def lockup() -> Image.Image:
    """A red disc and dark letters, on white."""
    image = word("kite&co", (20, 24, 40), (1200, 300), (255, 255, 255)).convert("RGB")
    ImageDraw.Draw(image).ellipse((20, 60, 200, 240), fill=(228, 52, 40))
    return image


def photograph() -> Image.Image:
    y, x = np.mgrid[0:500, 0:700]
    noise = np.random.default_rng(1).normal(0, 10, (500, 700, 3))
    rgb = np.dstack([120 + 90 * np.sin(x / 80), 60 + y / 4, 150 - 60 * np.cos(y / 60)]) + noise
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


LOGOS = {
    "white": (word("north", (255, 255, 255, 255), (1600, 480)), "png"),
    "single": (word("mono", (16, 16, 16, 255), (1600, 480)), "png"),
    "boxed": (lockup(), "jpg"),
    "emblem": (emblem(), "png"),
    "photo": (photograph(), "jpg"),
}


@pytest.mark.parametrize("name", LOGOS)
def test_a_kit_is_made_from_a_logo(own: Path, tmp_path: Path, name: str, services: Services):
    image, kind = LOGOS[name]
    image.save(tmp_path / f"in.{kind}")
    code, said = run("new-brand", name, "--logo", f"in.{kind}")
    assert code == 0, said
    folder = own / "brands" / name
    data = yaml.safe_load((folder / "brand.yaml").read_text())
    jsonschema.validate(data, json.loads((own / "brands/brand.schema.json").read_text()))
    assert data["colors"].keys() == ROLES.keys()
    for words, ground in PAIRS:
        assert contrast_of(data["colors"][words], data["colors"][ground]) >= 4.5, (words, ground)
    problems = brand_findings(services.presets, folder / "brand.yaml", services.fonts)
    expected = {"brand.logo_opaque"} if name == "photo" else set()
    assert {p.code for p in problems} == expected

    light = load_image(folder / data["logo"]["on_pictures"])
    dark = load_image(folder / data["logo"].get("on_ground", data["logo"]["on_pictures"]))
    commonest = [read_logo(version).colours[0][0] for version in (light, dark)]
    if name in ("white", "single"):
        assert commonest[0] > "#F00000" and commonest[1] < "#300000", "a light and a dark version"
    if name == "boxed":
        assert light.shape[2] == 4 and light[0, -1, 3] == 0, "without its white box"
        greys = [_letters(version) for version in (light, dark)]
        assert greys[0] > 230 and greys[1] < 60, "the letters are turned, the disc is not"
        for version in (light, dark):
            assert any(c.startswith("#E") for c, _ in read_logo(version).colours), "still red"
    if name == "emblem":
        assert "on_ground" not in data["logo"], "letters on a shape keep their colour"
        _, said = run("check", str(brief(tmp_path / "briefs", "b", f"brand: {name}\n")))
        assert "1 brief: 1 ok" in said


def _letters(version: np.ndarray) -> float:
    """Median of what is opaque in the right half of a picture."""
    half = version[:, version.shape[1] // 2 :]
    return float(np.median(half[half[..., 3] > 200][:, :3]))


def test_counters_of_letters_are_open_and_what_is_drawn_on_a_shape_stays(tmp_path: Path):
    boxed = read_logo(np.asarray(lockup()))
    assert boxed.ground == "#FFFFFF" and not boxed.opaque
    white = (boxed.rgba[..., :3].min(axis=2) > 240) & (boxed.rgba[..., 3] > 200)
    assert white.mean() < 0.002, "no white is left in the letters"
    flat = Image.new("RGB", (700, 700), "white")
    draw = ImageDraw.Draw(flat)
    draw.ellipse((20, 20, 680, 680), fill=(200, 30, 30), outline=(20, 30, 90), width=60)
    font = ImageFont.truetype(str(FONT), 150)
    draw.text((350, 350), "ZEST", "white", font, anchor="mm")
    kept = read_logo(np.asarray(flat)).rgba
    height, width = kept.shape[:2]
    middle = kept[height // 2 - 60 : height // 2 + 60, width // 4 : -width // 4]
    assert middle[..., 3].min() > 200, "the letters are part of the emblem"
    assert kept[2, 2, 3] == 0


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("logo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "media.vector"),
        ("logo.png", b"no picture", "media."),
        ("gone.png", None, "media.missing"),
    ],
)
def test_what_is_no_logo_is_refused(
    own: Path, tmp_path: Path, name: str, data: bytes | None, code: str
):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    ended, said = run("new-brand", "acme", "--logo", name)
    assert ended == 2 and f"[{code}" in said and "->" in said
    assert not (own / "brands/acme").exists()


def test_a_kit_that_is_there_is_kept_and_a_tiny_logo_is_told(own: Path, tmp_path: Path):
    word("fern", (12, 120, 90, 255), (110, 30)).save(tmp_path / "tiny.png")
    ended, said = run("new-brand", "fern", "--logo", "tiny.png")
    assert ended == 2 and "brand.logo_small" in said and "pixels wide" in said
    ended, said = run("new-brand", "fern", "--logo", "tiny.png")
    assert ended == 2 and "new.exists" in said
    ended, said = run("new-brand", "../fern", "--logo", "tiny.png")
    assert ended == 2 and "brand.name" in said


# Schemas -----------------------------------------------------------------------------------------


def test_schemas_are_those_of_the_models_and_fit_what_is_shipped():
    docs = Path(__file__).parents[1] / "docs"
    for model, name, pattern in (
        (Brand, "brand.schema.json", "brands/*/brand.yaml"),
        (Preset, "preset.schema.json", "*/*.yaml"),
    ):
        text = (docs / name).read_text(encoding="utf-8")
        assert text == schema_text(model), "run `pytoon schema`"
        for path in SHIPPED.glob(pattern):
            if model is Brand or path.parent.name in ("hero", "overlay", "meme"):
                jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(text))
    wrong = {"name": "N", "colors": {"accent": "red"}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads(schema_text(Brand)))
