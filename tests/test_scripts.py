"""Scripts beside Latin, and emoji: joined, reordered, broken and drawn as their readers know them.

The fonts are the project's own; line breaks of scripts without a font here are tested without one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytoon_pipeline.picture import bidi
from pytoon_pipeline.picture.cues import UnbreakableTextError, split_into_cues
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.font_choice import FontSpec, MissingGlyphError
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.line_breaks import break_opportunities, grapheme_starts
from pytoon_pipeline.picture.shaping import ShapedGlyph, ShapedParagraph, bidi_levels
from pytoon_pipeline.picture.styles import TextBoxStyle, TextShadow, TextStyle
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.text_forms import shown_text
from pytoon_pipeline.settings import project_data

FIXTURES = Path(__file__).parent / "fixtures"
FONTS = project_data("presets") / "fonts"
LIBRARY = FontLibrary([FONTS])
KHMER = FontLibrary([FONTS, FIXTURES / "fonts"])
LATIN_ONLY = FontLibrary([FONTS / "montserrat", FONTS / "inter"])
BOLD = FontSpec("Montserrat", 700)
PLAIN = TextStyle("Montserrat", 800, max_px=60, min_px=12)


def glyphs(text: str, library: FontLibrary = LIBRARY, **spec) -> list[ShapedGlyph]:
    paragraph = ShapedParagraph(text, replace(BOLD, **spec), library)
    return list(paragraph.line(0, len(text)).glyphs)


def shown(text: str, **spec) -> str:
    """The characters as they stand from left to right."""
    return "".join(text[g.cluster] for g in glyphs(text, **spec))


def nominal(char: str, weight: int = 700) -> int:
    face = LIBRARY.find_covering_face(char, weight)
    return LIBRARY.font(face).get_nominal_glyph(ord(char))


# What no font has


@pytest.mark.parametrize(
    ("text", "script", "font"),
    [
        ("مرحبا", "Arabic", "Noto Sans Arabic"),
        ("Hello שלום", "Hebrew", "Noto Sans Hebrew"),
        ("नमस्ते", "Devanagari", "Noto Sans Devanagari"),
        ("こんにちは世界", "Japanese", "Noto Sans JP"),
        ("Nice 😀", "emoji", "Noto Color Emoji"),
        ("Team 👨‍👩‍👧", "emoji", "Noto Color Emoji"),
        ("❤️", "emoji", "Noto Color Emoji"),
        ("1️⃣", "emoji", "Noto Color Emoji"),
        ("🇩🇪", "emoji", "Noto Color Emoji"),
    ],
)
def test_letters_that_no_font_has_are_named(text, script, font):
    with pytest.raises(MissingGlyphError) as caught:
        fit_text(text, PLAIN, 400, 200, LATIN_ONLY)
    assert caught.value.script == script
    assert font in caught.value.remedy
    assert caught.value.characters[0] in text
    assert "H" not in caught.value.characters


def test_emoji_alone_that_no_font_has_are_refused():
    """Left out, nothing would be seen."""
    with pytest.raises(MissingGlyphError) as caught:
        fit_text("\U0001fae9", PLAIN, 400, 200, LIBRARY)
    assert caught.value.characters == "\U0001fae9"
    assert "NotoColorEmoji.ttf" in caught.value.remedy


# Direction


@pytest.mark.parametrize(
    ("text", "base", "levels"),
    [
        ("Nike שלום 25 !", None, "00000111112200"),
        ("שלום!", None, "11111"),
        ("abc!", 1, "2221"),
        ("مرحبا 25%", None, "111111221"),
        ("שלום 25%", None, "11111222"),
        ("١٢ ريال", 1, "2211111"),
        ("קנה (abc) def", None, "1111122211222"),
        ("a (ב) c", None, "0001000"),
        ("אב\u2067c\u2069ד", None, "111411"),
        ("ab\u2068אב\u2069 1", None, "00011000"),
        ("א\nb", None, "112"),
    ],
)
def test_levels(text, base, levels):
    """As the conformance tests of UAX 9 resolve such texts."""
    assert "".join(map(str, bidi_levels(text, base))) == levels


def test_unicodes_own_cases_resolve_as_it_says():
    """The conformance file of UAX 9: fields are the characters, the direction asked for (2: by the
    first strong letter), the paragraph's level and each character's; x is removed (X9)."""
    lines = (FIXTURES / "unicode" / "BidiCharacterTest-part.txt").read_text("utf-8").splitlines()
    cases = [line.split(";") for line in lines if line and not line.startswith("#")]
    assert len(cases) > 2000
    for codes, direction, paragraph, expected, _ in cases:
        text = "".join(chr(int(code, 16)) for code in codes.split())
        base = {"0": 0, "1": 1, "2": bidi.base_level(text)}[direction]
        assert base == int(paragraph), codes
        found = bidi.resolve_levels(text, base)
        pairs = zip(expected.split(), found, strict=True)
        assert all(level in ("x", str(ours)) for level, ours in pairs), (codes, direction, found)


@given(st.text("aא1ا١+%,!() \t\u0300\u00ad\u202a\u202b\u202d\u202e\u202c\u2066\u2067\u2068\u2069"))
def test_every_text_has_levels(text):
    for base in (None, 0, 1):
        levels = bidi.resolve_levels(text, base)
        least = bidi.base_level(text) if base is None else base
        assert len(levels) == len(text)
        assert all(least <= level <= 127 for level in levels)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Buy עכשיו!", "Buy וישכע!"),
        ("מבצע 50% על Dawn (היום)", ")םויה( Dawn לע 50% עצבמ"),
        ("קנה (abc) def עכשיו", "וישכע def )abc( הנק"),
        ("מחיר: 1,250.00!", "!1,250.00 :ריחמ"),
        ("שלום 🔥🎉 עולם", "םלוע 🎉🔥 םולש"),
        ("דגל 🇩🇪🇫🇷", "🇩🇫 לגד"),
    ],
)
def test_right_to_left_text_stands_as_it_is_read(text, seen):
    assert shown(text, family="Inter") == seen


def test_brackets_are_mirrored():
    left, letter, right = glyphs("(א)")
    face = LIBRARY.font(left.face)
    assert [g.cluster for g in (left, letter, right)] == [2, 1, 0]
    assert left.id == face.get_nominal_glyph(ord("("))
    assert right.id == face.get_nominal_glyph(ord(")"))


def test_the_language_decides_where_letters_do_not():
    assert shown("Dawn 2!") == "Dawn 2!"
    assert shown("Dawn 2!", language="he") == "!Dawn 2"


@pytest.mark.parametrize(
    ("text", "language", "side"),
    [("abc אבג", "", 0), ("אבג abc", "", 1), ("abc אבג", "he", 1), ("abc", "en", 0)],
)
def test_lines_begin_on_the_side_they_are_read_from(text, language, side):
    style = replace(PLAIN, align="left", language=language)
    x0, _, x1, _ = fit_text(text, style, 500, 200, LIBRARY).ink
    assert (x0, 500 - x1)[side] == 0 and (x0, 500 - x1)[1 - side] > 50


# Joining and reordering


def test_arabic_is_joined_and_runs_right_to_left():
    joined, apart = glyphs("ححح"), glyphs("ح\u200cح\u200cح")
    assert len({g.id for g in joined}) == 3  # final, medial, initial
    assert {g.id for g in apart if g.ink} == {nominal("ح")}
    assert [g.cluster for g in joined] == [2, 1, 0]
    assert all(g.x < h.x for g, h in zip(joined, joined[1:], strict=False))
    assert glyphs("ححح", letter_spacing=0.3) == joined
    assert joined[0].face.family == "Noto Sans Arabic"
    # The letters touch: no gap, whatever the size.
    assert all(g.ink[2] >= h.ink[0] for g, h in zip(joined, joined[1:], strict=False))


def test_lam_and_alef_become_one():
    alone = [nominal("ل"), nominal("ا")]
    pair = glyphs("لا")
    assert {g.cluster for g in pair} == {0} or not {g.id for g in pair} & set(alone)


def test_arabic_marks_sit_on_their_letters():
    bare, marked = glyphs("حد"), glyphs("حَدّ")
    letters = [g for g in marked if g.id in {b.id for b in bare}]
    assert [g.x for g in letters] == pytest.approx([g.x for g in bare])
    marks = [g for g in marked if g not in letters]
    assert len(marks) == 2 and all(m.ink[3] > 0.5 for m in marks)


def test_devanagari_vowels_and_conjuncts():
    ki = glyphs("कि")
    assert [g.id == nominal("क") for g in ki] == [False, True]  # the short i stands before
    ksha = glyphs("क्ष")
    assert len([g for g in ksha if g.ink]) == 1
    assert ksha[0].id not in {nominal("क"), nominal("ष")}
    rka = glyphs("र्क")
    assert rka[0].id == nominal("क") and rka[-1].ink[3] > rka[0].ink[3]  # r, as a hook above
    for text in ("हिन्दी", "त्योहारी", "विद्या"):
        assert nominal("्") not in {g.id for g in glyphs(text)}  # no virama is left over


def test_letters_from_another_font_look_as_heavy():
    assert glyphs("سلام", family="Anton", weight=400)[0].face.weight == 800
    assert glyphs("سلام", family="Inter", weight=500)[0].face.weight == 500
    assert glyphs("שלום", family="Inter", weight=700)[0].face.weight == 700


def test_digits_go_with_the_letters():
    def families(text: str) -> list[str]:
        return [g.face.family.split()[-1] for g in glyphs(text, family="Anton") if g.ink]

    assert set(families("خصم 50%!")) == {"Arabic"}
    assert set(families("Скидка 50%")) == {"Oswald"}  # as narrow as Anton
    # Of two scripts, with that of most letters.
    assert families("خصم 5 A") == ["Anton", *["Arabic"] * (families("خصم").count("Arabic") + 1)]
    assert set(families("50%")) == {"Anton"}
    assert families("5 🔥 ש") == ["Hebrew", "Emoji", "Hebrew"]


# Emoji

SEQUENCES = ["🔥", "❤️", "👍🏽", "👨‍👩‍👧", "👩‍💻", "❤️‍🔥", "🇩🇪", "1️⃣", "#️⃣", "☀️", "™️", "🏳️‍🌈"]


@pytest.mark.parametrize("emoji", SEQUENCES)
def test_a_sequence_is_one_picture(emoji):
    (glyph,) = glyphs(emoji)
    assert glyph.picture and glyph.face.family == "Noto Color Emoji"
    x0, y0, x1, y1 = glyph.ink
    assert 0.5 < y1 - y0 <= 1.1 and 0.4 < x1 - x0 < 1.3
    line = glyphs(f"a{emoji}b {emoji}{emoji}")
    assert [g.picture for g in line] == [False, True, False, False, True, True]
    assert line[1].ink[0] > line[0].ink[2] and line[1].ink[2] < line[2].ink[0]


def test_what_is_text_by_default_stays_text():
    assert not any(g.picture for g in glyphs("A ♥ © ™ # 5 * ✓", family="Inter"))
    assert not glyphs("❤")[0].picture and glyphs("❤️")[0].picture
    assert glyphs("☎")[0].picture and glyphs("☕\ufe0e")[0].picture  # no font has them as text


def test_an_emoji_keeps_its_colours_and_stands_amid_the_capitals():
    style = TextStyle(
        "Inter",
        800,
        max_px=100,
        min_px=100,
        color="#00FF00",
        stroke=0.1,
        stroke_color="#0000FF",
        shadow=TextShadow(0, 0.2, 0, "#000000", 1),
    )
    fitted = fit_text("❤️", style, 300, 300, LIBRARY)
    tile = draw_text(fitted, LIBRARY)
    x0, y0, x1, y1 = tile.ink
    heart = tile.rgba[y0 - tile.y : y1 - tile.y, x0 - tile.x : x1 - tile.x].astype(int)
    red = heart[heart[..., 3] == 255][:, :3].mean(axis=0)
    assert red[0] > 180 and red[1:].max() < 90
    assert y1 - y0 == pytest.approx(100 * 1.1, abs=14) and x1 - x0 == pytest.approx(110, abs=16)
    cap = LIBRARY.metrics(LIBRARY.find("Inter", 800)).cap_height * 100
    assert (y0 + y1) / 2 == pytest.approx(fitted.lines[0].baseline - cap / 2, abs=4)
    assert (x0 + x1) / 2 == pytest.approx(150, abs=1)
    below = tile.rgba[y1 - tile.y + 2 : y1 - tile.y + 18, :, :]
    assert (below[below[..., 3] == 255][:, :3] == 0).all() and (below[..., 3] == 255).any()


def test_small_and_large_emoji_are_clean():
    """No dark fringe from what is transparent, no ringing."""
    for size in (20, 64, 200):
        style = replace(PLAIN, max_px=size, min_px=size)
        tile = draw_text(fit_text("🟡", style, 400, 400, LIBRARY), LIBRARY)
        seen = tile.rgba[tile.rgba[..., 3] > 128].astype(int)
        assert seen[:, 0].min() > 180 and seen[:, 2].max() < 120
        edge = tile.rgba[(tile.rgba[..., 3] > 40) & (tile.rgba[..., 3] < 128)].astype(int)
        assert edge[:, 0].mean() > 170


def test_an_emoji_is_part_of_the_fingerprint():
    fitted = fit_text("Hot 🔥", PLAIN, 400, 200, LIBRARY)
    assert [f.path.parent.name for f in fitted.faces] == ["montserrat", "noto-color-emoji"]


def test_emoji_reach_the_cues_unchanged():
    text = "Now 50% off ✨🔥 for you ❤️ and yours 👨‍👩‍👧. Tap the link 👇🏽 before Sunday 1️⃣!"
    cues = split_into_cues(text, replace(PLAIN, min_px=40), 500, 120, LIBRARY)
    assert len(cues) > 1 and " ".join(cues) == text


# Lines without spaces


def pieces(text: str, **options) -> list[str]:
    stops = [0, *break_opportunities(text, **options), len(text)]
    return [text[a:b] for a, b in zip(stops, stops[1:], strict=False)]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("毎朝のコーヒーを、美味しく。", "", ["毎朝の", "コーヒーを、", "美味しく。"]),
        ("新しい「ドーン」ケトルで", "ja", ["新しい", "「ドーン」", "ケトルで"]),
        ("今天是晴天。立即购买！", "zh", ["今天", "是", "晴天。", "立即", "购买！"]),
        ("今天天氣真好，立即購買！", "zh-TW", ["今天", "天氣", "真好，", "立即", "購買！"]),
        ("วันนี้อากาศดี กาแฟ", "", ["วัน", "นี้", "อากาศ", "ดี ", "กาแฟ"]),
        ("Sale 🔥🔥 now", "", ["Sale ", "🔥🔥 ", "now"]),
    ],
)
def test_lines_end_where_phrases_do(text, language, found):
    assert pieces(text, language=language, phrases=True) == found


def test_inside_a_phrase_only_the_rules_of_line_ends_hold():
    assert pieces("日本の「文章」です。") == ["日", "本", "の", "「文", "章」", "で", "す。"]
    assert pieces("コーヒーっていい！？") == ["コー", "ヒーっ", "て", "い", "い！？"]
    assert pieces("🔥🔥👨‍👩‍👧") == ["🔥", "🔥", "👨‍👩‍👧"]


cjk = st.text("日本語朝のをでコーヒっゃ、。」「！（）…々〜新しいabc 10%·今天好", max_size=24)


@given(cjk, st.sampled_from(["", "ja", "zh", "zh-Hant"]), st.booleans())
def test_no_line_starts_or_ends_with_what_may_not(text, language, phrases):
    tight = break_opportunities(text, language)
    stops = break_opportunities(text, language, phrases)
    assert set(stops) <= set(tight) <= set(grapheme_starts(text))
    for i in stops:
        if text[i - 1] != " ":
            assert text[i] not in "、。」！）…々〜ーっゃ%", (text, i)
            assert text[i - 1] not in "「（"


def test_invisible_characters_make_no_line_and_no_cue():
    assert pieces("\u200bSale") == ["\u200bSale"]
    assert pieces("Big sale\u200b\u200d") == ["Big ", "sale\u200b\u200d"]
    for text in ("\u200bSale", "\u200d\nSale", "\u2067\u200bSale\u2069", "Sale\u200b\u200d"):
        assert len(fit_text(text, replace(PLAIN, max_lines=1), 300, 100, LIBRARY).lines) == 1
        assert len(split_into_cues(text, PLAIN, 300, 100, LIBRARY)) == 1
    assert split_into_cues("\u200d \u200b", PLAIN, 300, 100, LIBRARY) == []


def test_a_phrase_is_broken_only_where_it_must_be():
    """Set with emoji and Arabic, whose fonts are here, since no font for ideographs is."""
    style = replace(PLAIN, min_px=40, max_px=40, max_lines=3)
    fitted = fit_text("Hot 🔥🔥🔥", style, 170, 200, LIBRARY)
    assert [fitted.text[ln.start : ln.end] for ln in fitted.lines] == ["Hot", "🔥🔥🔥"]
    fitted = fit_text("🔥" * 7, style, 170, 200, LIBRARY)
    assert [ln.end - ln.start for ln in fitted.lines] == [4, 3]
    assert split_into_cues("🔥" * 20, style, 170, 100, LIBRARY)
    assert [w.index for w in fitted.words] == [0, 0]


# All of it together

drawable = [
    "Sale",
    "now!",
    "50%",
    "(abc)",
    "سلام",
    "مَرْحَبًا",
    "لا",
    "١٢٣",
    "שלום",
    "\u05e9\u05c1",
    "क्षि",
    "हिन्दी",
    "र्क",
    "🔥",
    "❤️",
    "❤\ufe0e",
    "👨‍👩‍👧",
    "👍🏽",
    "🇩🇪",
    "1️⃣",
    "\u200d",
    "\u200b",
    "\u00ad",
    "\ufe0f",
    "\u202e",
    "\u202c",
    "\u2067",
    "\u2069",
    "\u0301",
    "-",
    "—",
    "«",
    "»",
    "\u00a0",
    "\x00",
    "ß",
    "İ",
    *"\n    ",
]
others = ["🦤", "🏽", "日本。", "กาแฟดี", "한국", "ကော်ဖီ", "\ue000", "\ud800", "ﬁ", "\U000e0067"]
mixed = st.one_of(
    st.lists(st.sampled_from(drawable), max_size=14), st.lists(st.sampled_from(drawable + others))
).map("".join)
looks = st.builds(
    TextStyle,
    family=st.sampled_from(["Anton", "Inter", "Noto Sans Arabic"]),
    max_px=st.integers(20, 60),
    min_px=st.integers(8, 20),
    max_lines=st.integers(1, 3),
    max_chars_per_line=st.integers(4, 30),
    letter_spacing=st.sampled_from([0.0, 0.1]),
    uppercase=st.booleans(),
    language=st.sampled_from(["", "ar", "ja", "tr"]),
    stroke=st.sampled_from([0.0, 0.08]),
    shadow=st.none() | st.just(TextShadow()),
    box=st.none() | st.just(TextBoxStyle(per_line=True)),
)


@settings(max_examples=300, deadline=None)
@given(mixed, looks, st.integers(60, 500), st.integers(30, 250))
def test_any_text_is_drawn_whole_or_refused_by_name(text, style, width, height):
    try:
        fitted = fit_text(text, style, width, height, LIBRARY)
    except MissingGlyphError as error:
        assert set(error.characters) <= set(text + text.upper())
        with pytest.raises(MissingGlyphError):
            split_into_cues(text, style, width, height, LIBRARY)
        return
    except ValueError as error:
        assert "no text" in str(error)
        return
    if fitted is not None:
        tile = draw_text(fitted, LIBRARY)
        x0, y0, x1, y1 = tile.ink
        if fitted.ink[2] > fitted.ink[0]:
            assert 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height
        alpha = tile.rgba[..., 3]
        assert not np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]]).any()
        assert all(g.id != 0 for line in fitted.lines for g in line.shaped.glyphs)
    try:
        cues = split_into_cues(text, style, width, height, LIBRARY)
    except UnbreakableTextError:
        return
    for cue in cues:
        assert fit_text(cue, style, width, height, LIBRARY) is not None


# One voice for each word


GREEK, RUSSIAN, UKRAINIAN = "Τώρα με €342.44", "Ещё дешевле: 99 ₽", "Їжа, ґанок, єдність"
SERBIAN, KAZAKH, VIETNAMESE = "Ђурђевак џем љубав", "Жаңа қыс әр үйге", "Ặ Ữ ấm đun nước đẹp"
LATIN = ("Żółta jaźń", "Příliš žluťoučký kůň", "Çığ ağır şey", "Šķēle ģints", "Ŵyl y Gŷr")


@pytest.mark.parametrize("family", ["Anton", "Bebas Neue", "Montserrat", "Oswald", "Inter"])
@pytest.mark.parametrize(
    "text", [GREEK, RUSSIAN, UKRAINIAN, SERBIAN, KAZAKH, VIETNAMESE, *LATIN, "Ṣé ẹ rí ọjà"]
)
def test_letters_of_one_script_come_from_one_font(family: str, text: str):
    weight = 400 if family in {"Anton", "Bebas Neue"} else 700
    drawn = glyphs(text, family=family, weight=weight)
    faces = {g.face for g in drawn if text[g.cluster].isalpha()}
    assert len(faces) == 1, faces
    assert LIBRARY.measure_heaviness(faces.pop()) > 600


@pytest.mark.parametrize("sign", "€$£¥₴₪₹₺₽₸₫₦₱₩₾₼")
@pytest.mark.parametrize("family", ["Anton", "Bebas Neue", "Montserrat", "Oswald"])
def test_a_price_and_its_sign_come_from_one_font(family: str, sign: str):
    for text in (f"Now {sign}1,299.50", f"Now 1 299,50 {sign}"):
        drawn = glyphs(text, family=family)
        assert len({g.face for g in drawn if g.ink and not text[g.cluster].isalpha()}) == 1
        assert {g.face.family for g in drawn if text[g.cluster].isalpha()} == {family}


def test_a_word_of_symbols_stays_with_the_font_that_has_them():
    """Anton has an Omega for ohms, and no other Greek letter."""
    assert {g.face.family for g in glyphs("100 Ω", family="Anton") if g.ink} == {"Anton"}


def test_what_stands_in_for_a_headline_face_is_as_heavy_and_as_narrow():
    assert glyphs("Цена", family="Anton", weight=400)[0].face.family == "Oswald"
    assert glyphs("Τιμή", family="Anton", weight=400)[0].face.weight == 800
    asked = glyphs("Τιμή", family="Anton", weight=400, fallback_families=("Inter",))
    assert asked[0].face.weight == 800
    assert glyphs("Τιμή", family="Bebas Neue", weight=400)[0].face.weight >= 700


def test_letters_in_another_form_are_drawn_plainly_where_no_font_has_it():
    def drawn(text: str) -> list[int]:
        return [g.id for g in glyphs(text, family="Bebas Neue")]

    assert drawn("ＳＡＬＥ！") == drawn("𝗦𝗔𝗟𝗘!") == drawn("SALE!")
    assert drawn("Oʻzbek") == drawn("O‘zbek")


@pytest.mark.parametrize(
    ("language", "text", "capitals"),
    [
        ("en", "Μάιος ή άυλος", "ΜΑΪΟΣ Ή ΑΫΛΟΣ"),
        ("el", "Τώρα σούπερ", "ΤΩΡΑ ΣΟΥΠΕΡ"),
        ("en", "ağır indirim", "AĞIR İNDİRİM"),
        ("tr", "şimdi", "ŞİMDİ"),
        ("en", "big gift", "BIG GIFT"),
    ],
)
def test_capitals_are_those_of_the_language(language: str, text: str, capitals: str):
    style = replace(PLAIN, uppercase=True, language=language)
    assert shown_text(text, style, LIBRARY) == capitals


def test_a_text_that_no_box_holds_is_given_up_early(monkeypatch: pytest.MonkeyPatch):
    shaped = []
    shape = ShapedParagraph._shape_range
    monkeypatch.setattr(
        ShapedParagraph,
        "_shape_range",
        lambda self, *span: shaped.append(span) or shape(self, *span),
    )
    style = replace(PLAIN, breaking="letters", max_lines=3)
    for text in ("ក" * 300, "x" * 300, "क" * 300, "Five words of " * 30):
        assert fit_text(text, style, 300, 200, LIBRARY if text[0] != "ក" else KHMER) is None
    assert len(shaped) <= 8


def test_a_preposition_stays_with_its_price():
    style = replace(PLAIN, max_px=60, min_px=56, max_lines=2, max_chars_per_line=20)
    text = "Žilvinas siūlo: arbatinukas už 19,90 € su nemokamu pristatymu"
    assert split_into_cues(text, style, 860, 200, LIBRARY) == [
        "Žilvinas siūlo: arbatinukas",
        "už 19,90 € su nemokamu pristatymu",
    ]
