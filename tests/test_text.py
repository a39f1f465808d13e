"""Type: found, shaped, fitted and drawn without a letter lost, clipped or boxed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytoon_pipeline.errors import PresetError
from pytoon_pipeline.picture.cues import UnbreakableTextError, split_into_cues
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.font_choice import FontSpec
from pytoon_pipeline.picture.fonts import SYSTEM_FONT_FOLDERS, FontLibrary, _rank_weight
from pytoon_pipeline.picture.line_breaks import break_opportunities, count_cells, grapheme_starts
from pytoon_pipeline.picture.shaping import ShapedParagraph
from pytoon_pipeline.picture.styles import TextBoxStyle, TextShadow, TextStyle, WordHighlight
from pytoon_pipeline.picture.text import fit_text, measure_text
from pytoon_pipeline.settings import project_data

FONTS = project_data("presets") / "fonts"
LIBRARY = FontLibrary([FONTS])
WITH_SYSTEM = FontLibrary([FONTS, *SYSTEM_FONT_FOLDERS])
FAMILIES = ["Anton", "Bebas Neue", "Inter", "Montserrat", "Oswald"]
SCRIPTS = ["Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Hebrew"]
BOLD = FontSpec("Montserrat", 700)
PLAIN = TextStyle("Montserrat", 800, max_px=60, min_px=12)

words = st.text("abcdefghijklmnopqrstuvwxyzgjpqyABDWÅÉÇ0189|{}&%!?.,-'", min_size=1, max_size=9)
texts = st.lists(words, min_size=1, max_size=9).map(" ".join)
boxes = st.none() | st.builds(
    TextBoxStyle, pad_x=st.floats(0, 0.6), pad_y=st.floats(0, 0.6), per_line=st.booleans()
)
styles = st.builds(
    TextStyle,
    family=st.sampled_from(FAMILIES),
    weight=st.sampled_from([400, 700, 800]),
    max_px=st.integers(24, 90),
    min_px=st.integers(10, 24),
    max_lines=st.integers(1, 4),
    line_height=st.floats(0.8, 1.5),
    letter_spacing=st.floats(-0.05, 0.2),
    align=st.sampled_from(["left", "center", "right"]),
    valign=st.sampled_from(["top", "middle", "bottom"]),
    uppercase=st.booleans(),
    stroke=st.floats(0, 0.15),
    box=boxes,
)
sides = st.tuples(st.integers(40, 700), st.integers(20, 400))


def lines(fitted: FittedText) -> list[str]:
    return [fitted.text[line.start : line.end] for line in fitted.lines]


def inside(rect: tuple[int, int, int, int], width: int, height: int) -> bool:
    return 0 <= rect[0] <= rect[2] <= width and 0 <= rect[1] <= rect[3] <= height


def alpha_bounds(rgba: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(rgba[..., 3])
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


# fonts


def test_families_carry_the_names_written_in_the_fonts():
    assert LIBRARY.families() == sorted(FAMILIES + SCRIPTS)
    assert LIBRARY.find("Noto Color Emoji") is None  # no type is drawn from pictures


@pytest.mark.parametrize(
    ("family", "weight", "found"),
    [
        ("montserrat", 700, 700),
        ("INTER", 900, 800),
        ("Inter", 600, 700),
        ("Inter", 400, 500),
        ("Inter", 300, 500),
        ("Oswald", 500, 500),
        ("Bebas Neue", 700, 400),
    ],
)
def test_weights_are_matched_as_in_css(family, weight, found):
    assert LIBRARY.find(family, weight).weight == found


def test_between_regular_and_medium_the_order_of_css_holds():
    def order(wanted: int) -> list[int]:
        return sorted([100, 300, 450, 600, 900], key=lambda weight: _rank_weight(wanted, weight))

    assert order(400) == [450, 300, 100, 600, 900]
    assert order(350) == [300, 100, 450, 600, 900]
    assert order(700) == [900, 600, 450, 300, 100]


def test_an_unknown_family_is_refused_with_those_there_are():
    assert LIBRARY.find("Comic Sans", 400) is None
    with pytest.raises(PresetError, match="Comic Sans.*Anton, Bebas Neue"):
        fit_text("Hello", replace(PLAIN, family="Comic Sans"), 400, 200, LIBRARY)


def test_files_that_are_no_fonts_are_passed_over_and_named(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    library = FontLibrary([tmp_path, tmp_path / "absent", FONTS])
    assert library.find("Anton") and library.find_covering_face("A")
    assert [p.file for p in library.skipped] == ["broken.ttf"]


def test_the_first_folder_wins(tmp_path):
    copy = tmp_path / "mine.ttf"
    copy.write_bytes((FONTS / "anton" / "Anton_400Regular.ttf").read_bytes())
    assert FontLibrary([tmp_path, FONTS]).find("Anton").path == copy
    assert FontLibrary([FONTS, tmp_path]).find("Anton").path != copy
    hashes = {FontLibrary([folder]).find("Anton").sha256 for folder in (tmp_path, FONTS)}
    assert len(hashes) == 1


# shaping


def test_kerning_is_applied():
    apart = measure_text("A", PLAIN, 100, LIBRARY) + measure_text("V", PLAIN, 100, LIBRARY)
    assert measure_text("AV", PLAIN, 100, LIBRARY) < apart - 2


def test_tracking_lies_between_clusters_only():
    tracked = replace(PLAIN, letter_spacing=0.1)
    for text in ("HHHH", "HH\u0301HH", "ÉÉÉÉ"):
        wider = measure_text(text, tracked, 100, LIBRARY) - measure_text(text, PLAIN, 100, LIBRARY)
        assert wider == pytest.approx(30)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one two", ["one ", "two"]),
        ("5\u00a0kg of tea", ["5\u00a0kg ", "of ", "tea"]),
        ("brave-hearted", ["brave-", "hearted"]),
        ("10-20 e-mail", ["10-20 ", "e-mail"]),
        ("Ça va ? « Oui »", ["Ça ", "va ? ", "« Oui »"]),
        ("only $19 now", ["only ", "$19 ", "now"]),
        ("co\u00adoperate", ["co\u00ad", "operate"]),
        ("한국어 문장", ["한국어 ", "문장"]),
        ("👨‍👩‍👧 नमस्ते", ["👨‍👩‍👧 ", "नमस्ते"]),
    ],
)
def test_lines_break_where_readers_expect(text, pieces):
    stops = [0, *break_opportunities(text), len(text)]
    assert [text[a:b] for a, b in zip(stops, stops[1:], strict=False)] == pieces


@given(st.text("ab é\u0301\u200d👩🏽🇩🇪क्षि-日。\u00a0", max_size=20))
def test_no_break_falls_inside_a_cluster(text):
    assert set(break_opportunities(text)) <= set(grapheme_starts(text))


def test_clusters_are_what_readers_count():
    assert count_cells("e\u0301🇩🇪") == 2
    assert count_cells("日本") == 4
    assert len(grapheme_starts("क्षि👨‍👩‍👧👍🏽🇩🇪🇫🇷")) == 5
    assert grapheme_starts("น้ำ") == [0]
    assert grapheme_starts("\u1112\u119e\u11ab\u1100") == [0, 3]  # old Hangul


def test_runs_of_letters_are_reordered_for_the_eye():
    text = "ab \u202ecd ef\u202c gh"
    line = ShapedParagraph(text, BOLD, LIBRARY).line(0, len(text))
    shown = "".join(text[g.cluster] for g in line.glyphs if g.ink)
    assert shown == "abfedcgh"
    text = "\u202eab \u202acd\u202c ef\u202c"
    line = ShapedParagraph(text, BOLD, LIBRARY).line(0, len(text))
    assert "".join(text[g.cluster] for g in line.glyphs if g.ink) == "fecdba"


def test_a_fallback_family_is_taken_before_any_other():
    text = "A♥B"  # only Inter, of these, has the heart
    faces = {g.face.family for g in ShapedParagraph(text, BOLD, LIBRARY).line(0, 3).glyphs}
    assert faces == {"Montserrat", "Inter"}
    spec = replace(BOLD, fallback_families=("DejaVu Sans",))
    if WITH_SYSTEM.find("DejaVu Sans"):
        faces = {g.face.family for g in ShapedParagraph(text, spec, WITH_SYSTEM).line(0, 3).glyphs}
        assert faces == {"Montserrat", "DejaVu Sans"}


# fitting


@settings(max_examples=300, deadline=None)
@given(texts, styles, sides)
def test_a_text_lies_inside_its_box_or_does_not_fit(text, style, side):
    fitted = fit_text(text, style, *side, LIBRARY)
    if fitted is None:
        return
    assert inside(fitted.ink, *side)
    assert all(inside(plate, *side) for plate in fitted.plates)
    assert all(inside(word.rect, *side) for word in fitted.words)
    assert style.min_px <= fitted.size <= style.max_px
    assert len(fitted.lines) <= style.max_lines
    assert all(count_cells(line) <= style.max_chars_per_line for line in lines(fitted))
    shown = text.upper() if style.uppercase else text
    assert "".join(lines(fitted)).replace(" ", "") == shown.replace(" ", "")
    assert [w.index for w in fitted.words] == sorted(w.index for w in fitted.words)
    assert {w.index for w in fitted.words} == set(range(len(text.split())))
    # A figure and its unit stay on one line, if need be smaller.
    if fitted.size < style.max_px and not any(c.isdigit() for c in text):
        larger = replace(style, min_px=fitted.size + 1)
        assert fit_text(text, larger, *side, LIBRARY) is None


def test_lines_are_even_and_leave_no_lone_word():
    fitted = fit_text("Fresh coffee for the whole long week ahead", PLAIN, 700, 300, LIBRARY)
    assert lines(fitted) == ["Fresh coffee for the", "whole long week ahead"]
    style = replace(PLAIN, max_px=48, max_lines=3)
    fitted = fit_text("are made by hand and", style, 280, 300, LIBRARY)
    assert lines(fitted) == ["are", "made by", "hand and"]


def test_the_fewest_lines_of_the_largest_size_are_taken():
    assert lines(fit_text("Only today", PLAIN, 700, 300, LIBRARY)) == ["Only today"]
    assert lines(fit_text("Only\ntoday", PLAIN, 700, 300, LIBRARY)) == ["Only", "today"]
    assert fit_text("a\nb\nc", PLAIN, 700, 300, LIBRARY) is None


def test_a_soft_hyphen_is_drawn_where_the_line_breaks_and_only_there():
    style = replace(PLAIN, min_px=60)
    broken = fit_text("Donau\u00addampf", style, 260, 300, LIBRARY)
    assert lines(broken) == ["Donau\u00ad", "dampf"]
    hyphen = ShapedParagraph("-", style.font, LIBRARY).line(0, 1).glyphs[0]
    assert broken.lines[0].shaped.glyphs[-1].id == hyphen.id
    whole = fit_text("Donau\u00addampf", style, 600, 300, LIBRARY)
    assert all(g.id != hyphen.id for g in whole.lines[0].shaped.glyphs)
    assert [(w.text, w.index) for w in broken.words] == [("Donau", 0), ("dampf", 0)]


@pytest.mark.parametrize("text", ["HHEH", "xzvx", "gyxp", "ÅÉ"])
def test_a_line_looks_centred(text):
    fitted = fit_text(text, PLAIN, 400, 201, LIBRARY)
    line = fitted.lines[0]
    band = fitted.extents.band * fitted.size
    assert line.baseline - band / 2 == pytest.approx(100.5, abs=0.6)
    assert (fitted.ink[0] + fitted.ink[2]) / 2 == pytest.approx(200, abs=1)
    metrics = LIBRARY.metrics(LIBRARY.find("Montserrat", 800))
    tallest = metrics.cap_height if text.isupper() else metrics.x_height
    assert fitted.extents.band == pytest.approx(tallest, abs=0.02)


def test_accents_keep_clear_of_the_line_above():
    style = TextStyle("Anton", 400, max_px=80, min_px=80, line_height=0.95, stroke=0.05)
    tight = fit_text("HNMH\nHNMH", style, 600, 400, LIBRARY)
    loose = fit_text("HNMH\nHÅÉH", style, 600, 400, LIBRARY)
    pitch = [f.lines[1].baseline - f.lines[0].baseline for f in (tight, loose)]
    assert pitch[0] == 76 < pitch[1]
    lowest = loose.lines[0].baseline - loose.lines[0].shaped.ink[1] * 80
    highest = loose.lines[1].baseline - loose.lines[1].shaped.ink[3] * 80
    assert highest - lowest >= 0.04 * 80 - 1


def test_capitals_follow_the_language():
    def shown(text: str, language: str) -> str:
        style = replace(PLAIN, uppercase=True, language=language, family="Inter")
        return fit_text(text, style, 900, 200, LIBRARY).text

    assert shown("izmir straße", "") == "IZMIR STRASSE"
    assert shown("diyarbakır", "tr") == "DİYARBAKIR"
    assert shown("άλφα ϊ", "el-GR") == "ΑΛΦΑ Ϊ"


def test_nothing_to_draw_is_an_error_of_the_caller():
    with pytest.raises(ValueError, match="no text"):
        fit_text(" \n\u200b ", PLAIN, 400, 200, LIBRARY)
    with pytest.raises(PresetError, match="max_px"):
        TextStyle("Anton", max_px=10, min_px=20)
    with pytest.raises(PresetError, match="red"):
        TextStyle("Anton", color="red")


# splitting


@settings(max_examples=100, deadline=None)
@given(st.lists(words, min_size=1, max_size=24).map(" ".join), styles, sides)
def test_cues_hold_all_words_in_order_and_each_fits(text, style, side):
    try:
        cues = split_into_cues(text, style, *side, LIBRARY)
    except UnbreakableTextError as error:
        word = error.problems[0].message.split("'")[1] if "'" not in text else None
        if word is not None:
            assert word in (text.upper() if style.uppercase else text)
        return
    assert " ".join(cues).split() == text.split()
    assert all(fit_text(cue, style, *side, LIBRARY) is not None for cue in cues)
    if len(cues) > 1:
        assert fit_text(text, style, *side, LIBRARY) is None


def test_cues_end_where_sentences_and_clauses_do():
    style = TextStyle("Inter", 700, max_px=70, min_px=56)
    text = (
        "Clay from Porto, fired twice. It keeps coffee hot for three hours, "
        "and it never spills. Order today and get one free."
    )
    assert split_into_cues(text, style, 768, 300, LIBRARY) == [
        "Clay from Porto, fired twice.",
        "It keeps coffee hot for three hours,",
        "and it never spills. Order today and get one free.",
    ]


def test_the_last_cue_is_not_a_lone_word():
    style = TextStyle("Inter", 700, max_px=70, min_px=56)
    text = "some words go on and on without a stop until there is only one more remaining"
    clause = "best clay cups from Porto are made by hand and, fired."
    cues = split_into_cues(clause, style, 768, 300, LIBRARY)
    assert cues == ["best clay cups from Porto", "are made by hand and, fired."]
    for n in range(8, 16):
        cues = split_into_cues(" ".join(text.split()[:n]), style, 768, 300, LIBRARY)
        assert len(cues[-1].split()) > 1


def test_a_word_that_can_not_be_broken_is_named():
    with pytest.raises(
        UnbreakableTextError, match="Donaudampfschifffahrt.*400x200 px even at 56 px"
    ):
        split_into_cues(
            "Die Donaudampfschifffahrt ruft", replace(PLAIN, min_px=56), 400, 200, LIBRARY
        )
    assert split_into_cues("  ", PLAIN, 400, 200, LIBRARY) == []


# drawing


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stroke", [0.0, 0.15])
@pytest.mark.parametrize("shadow", [None, TextShadow(dx=-0.2, dy=0.3, blur=0.4, opacity=1)])
def test_nothing_is_clipped(family, stroke, shadow):
    style = TextStyle(family, 800, max_px=64, min_px=64, stroke=stroke, shadow=shadow)
    fitted = fit_text("gjpqyÅÉÇ|{}\ngjpqyÅÉÇ|{}", style, 900, 400, LIBRARY)
    tile = draw_text(fitted, LIBRARY)
    alpha = tile.rgba[..., 3]
    border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    assert not border.any()
    assert tile.rgba.shape[0] % 2 == tile.rgba.shape[1] % 2 == tile.x % 2 == tile.y % 2 == 0
    assert inside(tile.ink, 900, 400)
    assert inside(fitted.ink, 900, 400)
    a, b = np.array(tile.ink), np.array(fitted.ink)
    assert (a[:2] >= b[:2]).all() and (a[2:] <= b[2:]).all() and np.abs(a - b).max() <= 2
    if shadow is None:
        x0, y0, x1, y1 = alpha_bounds(tile.rgba)
        drawn = np.array((x0 + tile.x, y0 + tile.y, x1 + tile.x, y1 + tile.y))
        assert np.abs(drawn - a).max() <= 1


@settings(max_examples=80, deadline=None)
@given(
    texts, styles, st.none() | st.builds(TextShadow, dx=st.floats(-0.3, 0.3), blur=st.floats(0, 1))
)
def test_a_drawn_text_stays_inside_its_box(text, style, shadow):
    fitted = fit_text(text, style, 400, 250, LIBRARY)
    if fitted is None:
        return
    tile = draw_text(fitted, LIBRARY)
    assert inside(tile.ink, 400, 250)
    shaded = draw_text(replace(fitted, style=replace(style, shadow=shadow)), LIBRARY).rgba[..., 3]
    assert not (shaded[[0, -1]].any() or shaded[:, [0, -1]].any())
    x0, y0, x1, y1 = alpha_bounds(tile.rgba)
    drawn = (x0 + tile.x, y0 + tile.y, x1 + tile.x, y1 + tile.y)
    assert inside(drawn, 400, 250)


def test_drawing_twice_gives_the_same_bytes():
    style = replace(
        PLAIN,
        stroke=0.06,
        shadow=TextShadow(),
        box=TextBoxStyle("#203040", 0.7, per_line=True),
        highlight=WordHighlight("#FFD400", TextBoxStyle("#111111")),
    )

    def once() -> bytes:
        library = FontLibrary([FONTS])
        fitted = fit_text("The same every\ntime, truly", style, 600, 300, library)
        return draw_text(fitted, library, highlight=[1]).rgba.tobytes()

    assert once() == once()


def test_a_stroke_never_covers_a_letter():
    style = TextStyle("Anton", 400, max_px=80, min_px=80, letter_spacing=-0.04, color="#FFFFFF")
    bare = fit_text("RAVAge\nÅkyh", style, 600, 400, LIBRARY)
    stroked = replace(bare, style=replace(style, stroke=0.14, stroke_color="#000000"))
    plain, tile = draw_text(bare, LIBRARY), draw_text(stroked, LIBRARY)
    height, width = plain.rgba.shape[:2]
    dx, dy = plain.x - tile.x, plain.y - tile.y
    under = tile.rgba[dy : dy + height, dx : dx + width]
    solid = plain.rgba[..., 3] == 255
    assert (under[solid] == 255).all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stroke", [0.04, 0.08, 0.14])
def test_a_stroke_is_as_wide_as_asked_and_has_no_holes(family, stroke):
    style = TextStyle(family, 800, max_px=90, min_px=90, max_lines=1)
    bare = fit_text("Å8eg&%R", style, 900, 300, LIBRARY)
    plain = draw_text(bare, LIBRARY)
    tile = draw_text(replace(bare, style=replace(style, stroke=stroke)), LIBRARY)
    letters = np.zeros(tile.rgba.shape[:2], np.uint8)
    height, width = plain.rgba.shape[:2]
    dx, dy = plain.x - tile.x, plain.y - tile.y
    letters[dy : dy + height, dx : dx + width] = plain.rgba[..., 3]

    def distance(blank: np.ndarray) -> np.ndarray:
        return cv2.distanceTransform(blank.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)

    alpha = tile.rgba[..., 3]
    assert alpha[distance(letters < 128) < stroke * 90 - 1].min() > 200
    assert alpha[distance(letters < 1) > stroke * 90 + 1.5].max() == 0


@pytest.mark.parametrize("stroke", [0.02, 0.1])
def test_a_stem_grows_by_the_stroke_on_both_sides(stroke):
    bare = fit_text("l", PLAIN, 300, 200, LIBRARY)
    stroked = replace(bare, style=replace(PLAIN, stroke=stroke))

    def width(fitted: FittedText) -> float:
        alpha = draw_text(fitted, LIBRARY).rgba[..., 3]
        return alpha[alpha.shape[0] // 2].sum() / 255

    assert width(stroked) - width(bare) == pytest.approx(2 * stroke * bare.size, abs=0.05)


def test_glyphs_are_placed_between_pixels():
    fitted = fit_text("lllllll", replace(PLAIN, max_px=37), 400, 100, LIBRARY)
    tile = draw_text(fitted, LIBRARY)
    row = tile.rgba[tile.rgba.shape[0] // 2, :, 3].astype(float)
    mass = row.sum() / 255
    stems = np.split(row, np.flatnonzero(row == 0))
    weights = [s.sum() / 255 for s in stems if s.sum()]
    assert mass == pytest.approx(7 * weights[0], rel=0.01)
    assert len({tuple(s[s > 0]) for s in stems if s.sum()}) > 1


def test_boxes_of_lines_grow_together_and_are_never_painted_twice():
    box = TextBoxStyle("#3060C0", 0.5, pad_y=0.3, radius=0.2, per_line=True)
    fitted = fit_text("A rather long line\nshort", replace(PLAIN, box=box), 700, 300, LIBRARY)
    tile = draw_text(fitted, LIBRARY)
    upper, lower = tile.plates
    assert upper[3] > lower[1] and lower[2] < upper[2]
    alpha = tile.rgba[..., 3]
    y = (upper[3] + lower[1]) // 2 - tile.y
    assert alpha[y, lower[0] + 12 - tile.x] == 128
    # The corner outside, between both, is filled by a quarter circle; the next pixels are not.
    radius = round(0.2 * fitted.size)
    x, y = lower[2] - tile.x, upper[3] - tile.y
    assert alpha[y, x] > 100 and alpha[y + radius + 1, x] == 0 and alpha[y, x + radius + 1] == 0


def test_a_shadow_falls_outside_of_a_box_only():
    box = TextBoxStyle("#FFFFFF", 0.5, radius=0)
    shadow = TextShadow(dx=0.1, dy=0.1, blur=0.1, color="#000000", opacity=1)
    fitted = fit_text("Hi", replace(PLAIN, box=box, shadow=shadow), 300, 200, LIBRARY)
    tile = draw_text(fitted, LIBRARY)
    x0, y0, x1, y1 = tile.plates[0]
    inner = tile.rgba[y0 - tile.y + 2, x0 - tile.x + 2 : x1 - tile.x - 2]
    assert (inner == [255, 255, 255, 128]).all()
    assert tile.rgba[y1 - tile.y + 1, x1 - tile.x - 20, 3] > 100


def test_highlighted_words_take_their_colour():
    style = replace(PLAIN, color="#FF0000", highlight=WordHighlight("#00FF00"))
    fitted = fit_text("red green red", style, 600, 200, LIBRARY)
    tile = draw_text(fitted, LIBRARY, highlight=[1])
    for word in tile.words:
        part = tile.rgba[word.y0 - tile.y : word.y1 - tile.y, word.x0 - tile.x : word.x1 - tile.x]
        shown = part[part[..., 3] == 255][:, :3]
        assert {tuple(p) for p in shown} == {(0, 255, 0) if word.index == 1 else (255, 0, 0)}
        assert part[..., 3].any(axis=0).sum() > 0.8 * (word.x1 - word.x0)
    with pytest.raises(ValueError, match="no highlight"):
        draw_text(fit_text("red", PLAIN, 300, 200, LIBRARY), LIBRARY, highlight=[0])
