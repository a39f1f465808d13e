"""Briefs as people write them: texts keep their characters, files are found in any spelling, and
what is hardly meant is said."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pytest
from conftest import picture
from PIL import Image
from test_spec import SHOP, brief, compile_in, compiled
from typer.testing import CliRunner

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.briefs.source import content_hash
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.cli import app
from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.service.upload import read_json
from pytoon_pipeline.tables.markup import markup_to_text
from pytoon_pipeline.tables.table import read_table

CASES = Path(__file__).parent / "fixtures" / "cases"


def read(folder: Path, text: str | bytes, name: str = "brief.yaml"):
    """The model of a document and what is said of it; None with an error."""
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    found, problems = read_document(folder / name, name, Brief)
    if found is None:
        return None, problems
    model, more = validate_data(Brief, found, name)
    return model, problems + more


def words(result: CompiledPlan) -> list[str]:
    assert result.plan is not None, [str(p) for p in result.problems]
    badges = [o.text for o in result.plan.overlays or [] if o.text]
    return [c.text for c in result.plan.captions or []] + badges


# Texts -------------------------------------------------------------------------------------------


def test_numbers_without_quotes_are_drawn_as_they_stand() -> None:
    assert words(compile_in(CASES / "briefs" / "numbers-without-quotes")) == [
        "12:30",
        "19.90",
        "010",
    ]


AS_WRITTEN = [
    "19.90",
    "12:30",
    "010",
    "no",
    "yes",
    "on",
    "Off",
    "1_000",
    "0x1F",
    "1e3",
    "2026-12-01",
    "+49 123",
    "=1",
    "=",
    "007",
    "1.50",
    ".5",
    "0o17",
    "true",
    "12:30:45.5",
    "-5",
    "+5",
    "1,299",
    "50% OFF!",
    "C'est ça: non",
    "«Été»",
    "\U0001f381 -20%",
]


@pytest.mark.parametrize("text", [t for t in AS_WRITTEN if ": " not in t])
def test_a_text_keeps_its_characters_wherever_it_stands(text: str, tmp_path: Path) -> None:
    model, _ = read(
        tmp_path,
        f"media: [{text if ',' not in text else 'a.jpg'}]\nhook: {text}\nbadge: {text}\n"
        f"beats:\n  - {text}\n  - also {text}\n"
        f'variants:\n  hooks:\n    - {text}\n  locales: {{no: {{cta: "{text}"}}}}\n',
    )
    assert model is not None and model.variants is not None
    assert (model.hook, model.badge, model.beats) == (text, text, [text, f"also {text}"])
    assert model.variants.hooks == [text] and model.variants.locales["no"].cta == text
    if "," not in text:
        assert model.media[0].path == text


def test_other_fields_have_their_own_types(tmp_path: Path) -> None:
    model, problems = read(
        tmp_path,
        "media: [010.jpg, 2024, 1e3]\nduration: 15\nbrand_safe: off\nend_card: no\nlocale: no\n"
        "music: no\nvoice: none\npriority: 010\nhook: ~\nbadge:\n"
        "metadata: {sku: 815, sold: 12, new: yes, 2024: on, gone: ~}\n",
    )
    assert not problems and model is not None
    assert [m.path for m in model.media] == ["010.jpg", "2024", "1e3"]
    assert (model.duration, model.brand_safe, model.end_card) == (15, False, False)
    assert (model.locale, model.music, model.voice) == ("no", False, None)
    assert (model.priority, model.hook, model.badge) == (10, None, None)
    assert model.metadata == {"sku": 815, "sold": 12, "new": True, "2024": True, "gone": None}


@pytest.mark.parametrize("said", ["12 s", "12s", "0:12", "12.0", '"12"', "12 seconds"])
def test_seconds_as_people_write_them(said: str, tmp_path: Path) -> None:
    model, problems = read(tmp_path, f"media: a.jpg\nduration: {said}\n")
    assert not problems and model.duration == 12


def test_json_keeps_the_digits_of_a_text(tmp_path: Path) -> None:
    text = '{"media": ["a.jpg"], "hook": 19.90, "beats": [7, 1.50], "duration": 5.5}'
    model, problems = read(tmp_path, text, "brief.json")
    assert not problems
    assert (model.hook, model.beats, model.duration) == ("19.90", ["7", "1.50"], 5.5)


def test_a_request_keeps_the_digits_of_a_text_and_nothing_else() -> None:
    sent = b'{"brief": {"hook": 19.90, "beats": [7.50], "duration": 1.50, "preset": 5}, "x": 1.0}'
    brief = {"hook": "19.90", "beats": ["7.50"], "duration": 1.5, "preset": 5}
    assert read_json(sent) == {"brief": brief, "x": 1.0}


SWALLOWED = {
    "hook: #sale": '"#sale"',
    "hook: Tag us #kettle": '"Tag us #kettle"',
    "beats:\n  - Wasserkocher #1": '"Wasserkocher #1"',
    "hook: &sale starts": 'hook: "&..."',
    "hook: ! Achtung": 'hook: "!..."',
    "background: #FF0000": '"#FF0000"',
    "hook: *NEW* in": '"*NEW* in"',
    "hook: @home": '"@home"',
    "hook: %off": '"%off"',
    "hook: Sale: 50%": '"Sale: 50%"',
    "hook: !Neu im Laden": '"!Neu im Laden"',
    'hook: "Nice" kettle': "'\"Nice\" kettle'",
    "hook: [New] kettle": '"[New] kettle"',
    "cta: - 50% today": '"- 50% today"',
    "hook: > more": '"> more"',
    "beats:\n  - Note: read this": '"Note: read this"',
    "hook: [New]": '"[New]"',
}


@pytest.mark.parametrize("text", SWALLOWED)
def test_what_yaml_would_swallow_is_refused_with_what_to_write(text: str, tmp_path: Path) -> None:
    _, problems = read(tmp_path, f"media: a.jpg\n{text}\n")
    errors = [p for p in problems if p.severity == "error"]
    assert errors and SWALLOWED[text] in errors[0].remedy, [str(p) for p in problems]


def test_comments_and_labels_that_are_meant_stay_what_they_are(tmp_path: Path) -> None:
    model, problems = read(
        tmp_path,
        "# a brief\nmedia:   #ours\n  - a.jpg #front\nhook: &h Two cups  # the line\ncta: *h\n"
        "beats: [a, b]  #two\nbadge: '#1'\n",
    )
    assert not problems
    assert (model.hook, model.cta, model.badge) == ("Two cups", "Two cups", "#1")
    assert model.media[0].path == "a.jpg"


@pytest.mark.parametrize("word", ["no", "null", "TRUE"])
def test_a_word_alone_that_is_hardly_a_line_is_said(word: str, tmp_path: Path) -> None:
    _, problems = read(tmp_path, f"media: a.jpg\nhook: {word}\n")
    assert [(p.severity, p.field) for p in problems] == [("warning", "hook")]
    assert not read(tmp_path, f'media: a.jpg\nhook: "{word}"\n')[1]


@pytest.mark.parametrize(
    "data",
    [
        "media: [a.jpg]\r\nhook: Größe 36 – “neu”\r\n".encode(),
        b"\xef\xbb\xbf" + "media: [a.jpg]\nhook: Größe 36 – “neu”\n".encode(),
        "media: [a.jpg]\r\nhook: Größe 36 – “neu”\r\n".encode("utf-16"),
        "media: [a.jpg]\nhook: Größe 36 – “neu”\n".encode("utf-16-be"),
        "media:\n\t- a.jpg\nhook:\tGröße 36 – “neu”\n".encode(),
        "\u200bmedia: [a.jpg]\n\u00a0\nhook:\u00a0Größe 36 – “neu”\n".encode(),
    ],
    ids=["crlf", "mark", "utf16", "utf16 without mark", "tabs", "unseen"],
)
def test_editors_leave_their_marks(data: bytes, tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    model, problems = read(tmp_path, data)
    assert not problems and model.hook == "Größe 36 – “neu”"
    [source] = find_sources([tmp_path])
    before = content_hash(source)
    picture(tmp_path / "a.jpg", hue=(10, 200, 90))
    assert content_hash(source) != before  # Its picture is known to be one of its files.


def test_other_encodings_are_refused_by_line(tmp_path: Path) -> None:
    _, [problem] = read(tmp_path, "media: a.jpg\nhook: Größe\n".encode("cp1252"))
    assert "line 2" in problem.message and "'ö'" in problem.message and "UTF-8" in problem.remedy
    _, [problem] = read(tmp_path, "media: a.jpg\nhook: a\x0bb\n")
    assert "line 2" in problem.message and "0x0b" in problem.message


@pytest.mark.parametrize(
    "line, whole",
    [
        ("beats: [Matte enamel, Nur 12,90 €]", "Nur 12,90 €"),
        ("beats: [12,90 €, Two cups]", "12,90 €"),
        ("beats: [1,200 m high]", "1,200 m high"),
        ("beats: [Ab 1.299,– €]", "Ab 1.299,– €"),
        ("variants: {hooks: [Now 4,50, Later]}", "Now 4,50"),
    ],
)
def test_a_decimal_comma_never_parts_a_line(tmp_path: Path, line: str, whole: str) -> None:
    _, [problem] = read(tmp_path, f"media: a.jpg\n{line}\n")
    assert problem.code == "text.comma" and whole in problem.message
    assert f'"{whole}"' in problem.remedy


def test_lists_of_numbers_and_of_spaced_lines_stay(tmp_path: Path) -> None:
    told = "media: [{path: a.jpg, subject: [0.1,0.2,0.9,0.8]}]\nbeats: [Size 10, 20 more,Last]\n"
    document, problems = read(tmp_path, told)
    assert not problems and document.beats == ["Size 10", "20 more", "Last"]
    document, problems = read(tmp_path, 'media: a.jpg\nbeats: ["Nur 12,90 €"]\n')
    assert not problems and document.beats == ["Nur 12,90 €"]


def test_variants_and_mappings_keep_texts_and_errors(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    brief(tmp_path / "v", "media: [a.jpg]\nvariants: {hooks: [1.50, 2.50]}\ncta: Go #now\n")
    sources = find_sources([tmp_path / "v"])
    assert [s.document.data["hook"] for s in sources] == ["1.50", "2.50"]
    assert all(any(p.code == "text.comment" for p in s.document.problems) for s in sources)
    (tmp_path / "t.csv").write_text("name,media\nx,a.jpg\n")
    (tmp_path / "t.mapping.yaml").write_text(
        "defaults: {hook: 19.90, beats: [010, 7], brand_safe: no, duration: 8, music: no}\n"
    )
    [row], problems = read_table(tmp_path / "t.csv")
    assert not problems
    model, problems = validate_data(Brief, dict(row.document.data), "t.csv")
    assert not problems and (model.hook, model.beats) == ("19.90", ["010", "7"])
    assert (model.brand_safe, model.duration, model.music) == (False, 8, False)


# HTML --------------------------------------------------------------------------------------------


def test_html_in_a_brief_is_set_right_with_a_warning() -> None:
    result = compile_in(CASES / "words" / "escaped-brief")
    assert words(result) == ["Bowl & spoon", "Shop\u00a0now"]
    warned = {p.field for p in result.problems if p.code == "text.markup"}
    assert warned == {"hook", "cta"}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("9&quot; Ash &ndash; it&#39;s", "9\" Ash – it's"),
        ("&amp;amp;amp;", "&"),
        ("<b>New</b> here", "New here"),
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("1 &lt; 2", "1 < 2"),
        ("&#x20AC;5 <br/>now", "€5\nnow"),
        ("&#0;x", "x"),
        *(
            (same, same)
            for same in (
                "AT&T",
                "R&D;",
                "a < b",
                "I <3 tea > coffee",
                "Q&A",
                "&copy 5",
                "H&M; Zara",
                "x<y",
                "<new>",
            )
        ),
    ],
)
def test_html_becomes_plain_text(text: str, plain: str) -> None:
    assert markup_to_text(text) == plain


# Names of files ----------------------------------------------------------------------------------


def test_names_of_other_systems_are_found(tmp_path: Path) -> None:
    for case in ("mac-names", "backslash"):
        assert compiled(CASES / "briefs" / case).assets[0].width == 600


SPELLED = [
    ("front.jpg", "Front.JPG"),
    ("my photo.jpg", "my%20photo.jpg"),
    ("pictures/front.jpg", r".\pictures\front.jpg"),
    ("pictures/Front.jpg", r"Pictures\FRONT.jpg"),
    ("front.jpg", "\u200b front.jpg\u00a0"),
    ("front.jpg", "“front.jpg”"),
    (normalize("NFD", "Grün/café.jpg"), "Grün/café.jpg"),
    (normalize("NFC", "café.jpg"), normalize("NFD", "café.jpg")),
    ("100%.jpg", "100%.jpg"),
    ("a%20b.jpg", "a%20b.jpg"),
    ("front.jpg", "./front.jpg"),
]


@pytest.mark.parametrize(("real", "said"), SPELLED, ids=[repr(said) for _, said in SPELLED])
def test_a_file_is_found_by_any_spelling_and_counts_as_named(
    real: str, said: str, tmp_path: Path
) -> None:
    picture(tmp_path / real, (90, 160))
    named = {"media": [said], "logo": said, "background": said, "music": False}
    text = json.dumps(named, ensure_ascii=False)
    result = compile_in(brief(tmp_path, text))
    assert result.plan is not None, [str(p) for p in result.problems]
    assert len(result.plan.assets) == 1
    [source] = find_sources([tmp_path])
    before = content_hash(source)
    picture(tmp_path / real, (90, 160), (10, 200, 90))
    assert content_hash(source) != before


def test_capitals_decide_nothing_where_two_files_differ_in_them(tmp_path: Path) -> None:
    for name in ("Front.jpg", "FRONT.jpg"):
        picture(tmp_path / name, (90, 160))
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system keeps no two such names")
    result = compile_in(brief(tmp_path, "media: front.jpg\n"))
    [problem] = [p for p in result.problems if p.severity == "error"]
    assert problem.code == "media.missing" and "FRONT.jpg, Front.jpg" in problem.remedy
    assert compiled(brief(tmp_path, "media: Front.jpg\n")).assets


@pytest.mark.parametrize(
    "name",
    [
        r"C:\Users\me\front.jpg",
        "C:/front.jpg",
        "/etc/hosts",
        "~/front.jpg",
        r"..\front.jpg",
        "%2e%2e/front.jpg",
        r"\\server\share\front.jpg",
        "file:///etc/hosts",
        "link.jpg",
    ],
)
def test_paths_that_lead_out_stay_refused(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "front.jpg", (90, 160))
    own = tmp_path / "own"
    own.mkdir()
    (own / "link.jpg").symlink_to(tmp_path / "front.jpg")
    result = compile_in(brief(own, f"media: ['{name}']\n"))
    [problem] = [p for p in result.problems if p.severity == "error"]
    assert problem.code in ("media.outside", "media.missing") and problem.field == "media[0]"
    if name[1:2] == ":":
        assert "front.jpg ." in problem.remedy and "Copy" in problem.remedy


def test_addresses_may_leave_out_their_scheme(tmp_path: Path) -> None:
    asked = []
    file = picture(tmp_path / "x" / "a.jpg", (90, 160))
    shop = SHOP.__class__(SHOP.presets, SHOP.fonts, fetch=lambda a: asked.append(a) or file)
    path = brief(tmp_path, "media: ['//cdn.example.com/a.jpg ']\n") / "brief.yaml"
    result = compile_file(path, tmp_path, "brief", "brief.yaml", shop)
    assert result.plan is not None and asked == ["https://cdn.example.com/a.jpg"]


# What is hardly meant ----------------------------------------------------------------------------


def sizes(folder: Path, size: tuple[int, int], more: str = "") -> set[tuple[str, str]]:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", size, (120, 90, 60)).save(folder / "a.png")
    result = compile_in(brief(folder, f"media: [a.png]\nhook: Hello\n{more}"))
    return {(p.code, p.severity) for p in result.problems}


def test_pictures_too_small_for_their_place_are_named(picture_sizes, tmp_path: Path) -> None:
    assert sizes(tmp_path, (1080, 1920)) == set()
    assert sizes(tmp_path, (900, 1600)) == {("media.enlarged", "warning")}
    assert sizes(tmp_path, (200, 300)) == {("media.enlarged", "error")}
    assert sizes(tmp_path, (1000, 1000), "archetype: overlay\n") == set()
    assert sizes(tmp_path, (250, 250), "archetype: overlay\n") == {("media.enlarged", "error")}
    assert sizes(tmp_path, (5000, 3)) == {("media.tiny", "error")}
    [problem] = compile_in(CASES / "pictures" / "one-pixel-high").problems
    assert problem.code == "media.tiny" and "1200x1" in problem.message


def test_a_length_that_is_too_short_says_for_what_and_every_way_out_works(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, hue=(200, 90, 60 if name < "b" else 160))
    text = (
        "brand: morrow\nmedia: [a.png, b.png]\nhook: Slow mornings\ncta: Meet the Dawn kettle\n"
        "duration: {}\nend_card: {}\n"
    )
    result = compile_in(brief(tmp_path, text.format(5, "true")))
    [problem] = [p for p in result.problems if p.severity == "error"]
    assert problem.code == "duration.too_much"
    assert problem.message.startswith("2 pictures, 2 lines and the end card (")
    needed = int(problem.remedy.split("duration: ")[1].split(",")[0])
    assert compiled(brief(tmp_path, text.format(needed, "true"))).duration == needed
    assert "end_card: false" in problem.remedy
    assert compiled(brief(tmp_path, text.format(5, "false"))).duration == 5


def test_words_nobody_changed_and_hooks_nobody_can_read_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    hook = "When the whole office hears that the coffee machine is back"
    text = "archetype: meme\nmedia: [{{path: a.png, duration: {}}}]\nhook: {}\n"
    result = compile_in(brief(tmp_path, text.format(3, hook)))
    [problem] = result.problems
    assert (problem.code, problem.severity, problem.field) == ("caption.fast", "warning", "hook")
    assert not compile_in(brief(tmp_path, text.format(5, hook))).problems
    result = compile_in(brief(tmp_path, text.format(5, "When this happens")))
    assert [p.code for p in result.problems] == ["text.template"]


def test_capitals_of_fields_and_choices_do_not_matter(tmp_path: Path) -> None:
    picture(tmp_path / "Front.jpg", (90, 160))
    text = "Media: front.JPG\nHOOK: 19.90\nBrand safe: no\nbrand: Morrow\narchetype: Hero\n"
    result = compile_in(brief(tmp_path, text + "Variants:\n"))
    assert words(result)[0] == "19.90" and result.plan.brand == "morrow"
    assert not result.plan.brand_safe


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("media: front.jpg, side.jpg", "as a list, [front.jpg, side.jpg]"),
        ("media:\n  - front.jpg:\n      duration: 2", "{path: front.jpg, ...}"),
        ("media: front", "There is front.jpg"),
        ("media: www.example.com/a.jpg", "https://"),
        ("media: front.jpg\nheadline: Hello", "'hook'"),
        ("media: front.jpg\n---\nmedia: front.jpg", "a file for each"),
        ("media: front.jpg\nduration: long", "Write a number"),
    ],
)
def test_slips_come_with_what_to_write(text: str, remedy: str, tmp_path: Path) -> None:
    for name in ("front.jpg", "side.jpg"):
        picture(tmp_path / name, (90, 160))
    problems = compile_in(brief(tmp_path, text + "\n")).problems
    assert any(remedy in p.remedy for p in problems if p.severity == "error"), problems


def test_what_a_table_decides_for_all_its_rows_is_said_once(tmp_path: Path, settings) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, hue=(200, 90, 60 if name < "b" else 160))
    rows = [f"row-{n},a.png | b.png,{'A line of some length ' * n},5" for n in (1, 2, 3)]
    (tmp_path / "spring.csv").write_text("\n".join(["name,media,hook,duration", *rows]) + "\n")
    (tmp_path / "spring.mapping.yaml").write_text("defaults: {brand: morrow, cta: Order today}\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "spring.csv")])
    assert result.exit_code == 2
    assert result.stdout.count("[duration.too_much]") == 1, result.stdout
    assert "3 of its briefs (row-1, row-2, row-3)" in result.stdout
    assert "end card" in result.stdout and "end_card: false" not in result.stdout
    lines = CliRunner().invoke(app, ["check", "--json", str(tmp_path / "spring.csv")]).stdout
    codes = [[p["code"] for p in json.loads(one)["problems"]] for one in lines.splitlines()]
    assert codes == [["duration.too_much"]] * 3  # Programs hear it of each.
