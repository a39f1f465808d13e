"""No word of a living language makes a brief fail: parted by its language, then smaller, then in
more lines, then in more cues; emoji by their parts; scripts without blanks at their words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from test_spec import brief

from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.compiler.presets import open_presets
from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.picture.cues import UnbreakableTextError, split_into_cues
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.emoji import replace_unknown_emoji
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.hyphens import letter_breaks, separator_breaks, syllable_breaks
from pytoon_pipeline.picture.languages import language_of
from pytoon_pipeline.picture.line_breaks import break_opportunities, grapheme_starts
from pytoon_pipeline.picture.styles import TextStyle
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.text_forms import normalise_text
from pytoon_pipeline.settings import project_data

HERE = Path(__file__).parent
CASES = HERE / "fixtures" / "cases" / "words"
FONTS = FontLibrary([project_data("presets") / "fonts", HERE / "fixtures" / "fonts"])
SHOP = CompileContext(open_presets(project_data("presets")), FONTS)
HOOK = TextStyle("Montserrat", 800, max_px=124, min_px=84, max_lines=3, breaking="letters")
BOX = 768, 425
UNSEEN = str.maketrans("", "", " \n\u00a0\u00ad\u200b\u2060")


def compile_case(folder: Path) -> CompiledPlan:
    return compile_file(folder / "brief.yaml", folder, "brief", "brief.yaml", SHOP)


def compile_text(folder: Path, **fields: object) -> CompiledPlan:
    picture(folder / "a.png", (90, 160))
    text = json.dumps({"media": ["a.png"], "hook": "Hi", **fields}, ensure_ascii=False)
    return compile_case(brief(folder, text))


def drawn_lines(fitted: FittedText) -> list[str]:
    """The lines as a viewer reads them, with a hyphen where one is drawn."""
    lines = [fitted.text[line.start : line.end] for line in fitted.lines]
    return [
        line.rstrip("\u00ad").translate(UNSEEN | {32: " "}) + "-" * line.endswith("\u00ad")
        for line in lines
    ]


def set_cues(result: CompiledPlan, role: str) -> list[FittedText]:
    """The cues of a role as they will be drawn."""
    assert result.plan is not None, [str(p) for p in result.problems]
    found = []
    for cue in result.plan.captions:
        if cue.role == role:
            style = text_style(
                result.plan.styles[cue.style], cue.align_y, result.plan.metadata["locale"]
            )
            x0, y0, x1, y1 = cue.box
            found.append(fit_text(cue.text, style, x1 - x0, y1 - y0, FONTS))
    return found


@pytest.mark.parametrize(
    ("case", "role", "lines"),
    [
        ("emoji-flag", "hook", ["Made", "here 🏴󠁧󠁢󠁥󠁮󠁧󠁿"]),
        ("emoji-skin-tone", "hook", ["Made", "for her 👩🏽‍🚀"]),
        ("khmer", "hook", ["ទំនិញថ្មីសម្រាប់", "ផ្ទះបាយរបស់", "អ្នកទាំងអស់គ្នា"]),
        ("long-german-1", "hook", ["Weihnachts-", "geschenke", "für alle"]),
        ("long-german-2", "beat", ["Geschwindigkeits-", "begrenzung aufgehoben"]),
        ("long-german-3", "hook", ["Telekommu-", "nikations-", "dienstleistungen"]),
        ("printf", "hook", ["%{localtime}", "%d %s and", "$HOME"]),
    ],
)
def test_what_was_refused_is_set(case: str, role: str, lines: list[str]) -> None:
    result = compile_case(CASES / case)
    (fitted,) = set_cues(result, role)
    assert drawn_lines(fitted) == lines
    assert all(g.id != 0 for line in fitted.lines for g in line.shaped.glyphs)
    assert result.plan.notes == [] or not any("smaller" in n for n in result.plan.notes)


@pytest.mark.parametrize(
    ("language", "text", "lines"),
    [
        ("", "Weihnachtsgeschenke", ["Weihnachts-", "geschenke"]),
        ("en", "Lentokonesuihkuturbiini", ["Lentokone-", "suihkuturbiini"]),
        ("fi", "lentokonesuihkuturbiini", ["lentokone-", "suihkuturbiini"]),
        ("nl", "aansprakelijkheidsverzekering", ["aansprakelijk-", "heidsverzekering"]),
        ("ru", "достопримечательность", ["достоприме-", "чательность"]),
        ("", "αυτοκινητοβιομηχανία", ["αυτοκινητο-", "βιομηχανία"]),
        ("tr", "Çekoslovakyalılaştıramadık", ["Çekoslovakya-", "lılaştıramadık"]),
        ("de", "Feuer\u00adwehrmannschaftsübung", ["Feuerwehrmann-", "schaftsübung"]),
        ("en", "www.shop.example/summer-sale?x=1", ["www.shop", ".example/", "summer-sale?x=1"]),
        ("en", "service@my-example.company", ["service@my-", "example.company"]),
        ("en", "#SummerSaleNowOnEverything", ["#SummerSale", "NowOnEverything"]),
        ("en", "XJ900PROMAX512GBBLACK", ["XJ900PRO", "MAX512GBBLACK"]),
    ],
)
def test_words_part_where_their_readers_expect(language: str, text: str, lines: list[str]) -> None:
    style = replace(HOOK, language=language, family="Inter")
    assert drawn_lines(fit_text(text, style, *BOX, FONTS)) == lines


def test_first_hyphens_then_smaller_then_more_lines_then_more_cues(tmp_path: Path) -> None:
    def hook(text: str) -> tuple[list[FittedText], str, int]:
        result = compile_text(tmp_path, hook=text, locale="fi", duration=20)
        style = result.plan.styles[result.plan.captions[0].style]
        return set_cues(result, "hook"), " ".join(result.plan.notes), style.max_lines

    word = "lentokonesuihkuturbiini"
    (fitted,), notes, _ = hook(word)
    assert fitted.size >= 84 and len(fitted.lines) == 2 and "smaller" not in notes
    (fitted,), notes, _ = hook("Lentokonesuihkuturbiinimoottoriapumekaanikkoaliupseerioppilas")
    assert 44 <= fitted.size < 84 and "smaller than the preset's 84 px" in notes
    (fitted,), _, most = hook(4 * word)
    assert len(fitted.lines) > 3 and most > 3 and fitted.size >= 44
    cues, _, _ = hook(12 * word)
    assert len(cues) > 1
    shown = "".join(line for cue in cues for line in drawn_lines(cue))
    assert shown.replace("-", "") == 12 * word
    assert all(cue.size >= 44 for cue in cues)


@pytest.mark.parametrize("preset", ["hero/bold", "overlay/shelf", "meme/classic", "meme/modern"])
def test_every_place_for_words_takes_long_ones(tmp_path: Path, preset: str) -> None:
    archetype, name = preset.split("/")
    badge = {"badge": "Donaudampfschifffahrtsgesellschaft"} if archetype != "meme" else {}
    result = compile_text(
        tmp_path,
        archetype=archetype,
        preset=name,
        locale="de",
        duration=20,
        **badge,
        hook="Donaudampfschifffahrtsgesellschaftskapitän",
        cta="Lebensversicherungsgesellschaften",
        beats=["Jetzt bei https://www.sonnenschutz-beispiel.example/sommerangebote", "Ja"],
    )
    assert result.plan is not None, [str(p) for p in result.problems]
    said = "".join(c.text for c in result.plan.captions).translate(UNSEEN)
    for part in ("schiffahrtsgesellschaftskapitän", "sommerangebote", "versicherungsgesellschaft"):
        assert part.replace("schiff", "schifff") in said


# Every word


ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyzäöüßéñłőğıåø",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяії",
    "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώς",
    "ابتثجحخدرزسشصضطعغفقكلمنهوي",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "कखगचजटडतदनपबमयरलवसहािीुेो्",
    "ទំនិញថ្មីសម្រាប់ផះបាយរបសកគ",
    "สินค้าใหม่สำรับห้องครัวทุก",
    "ສິນຄ້າໃໝ່ສຳລັບເຮືອນຄົວຂອງທຸ",
    "မီးဖိုချောင်အတွက်ကုန်ပစ္စည်း",
    "aBcDe0123/.@_?&=#-:, ' %${}",
    "a1!…—\u00a0",
]
words = st.sampled_from(ALPHABETS).flatmap(lambda a: st.text(a, min_size=1, max_size=60))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(words, min_size=1, max_size=3).map(" ".join),
    st.sampled_from(["", "de", "fi", "ar", "km", "tr"]),
    st.sampled_from(["Montserrat", "Anton"]),
)
def test_any_words_are_set_whole_and_inside_their_box(text, language, family) -> None:
    style = replace(HOOK, min_px=44, max_lines=5, language=language, family=family)
    cues = split_into_cues(text, style, *BOX, FONTS)
    # Marks come in the order of Unicode's normal form.
    assert "".join(cues).translate(UNSEEN) == normalise_text(text).translate(UNSEEN)
    for cue in cues:
        fitted = fit_text(cue, style, *BOX, FONTS)
        x0, y0, x1, y1 = fitted.ink
        assert 0 <= x0 <= x1 <= BOX[0] and 0 <= y0 <= y1 <= BOX[1]
        assert "".join(drawn_lines(fitted)).replace("-", "").translate(UNSEEN) == cue.translate(
            UNSEEN
        ).replace("-", "")
        starts = {*grapheme_starts(fitted.text), len(fitted.text)}
        assert all(line.start in starts for line in fitted.lines)


@given(words)
def test_no_word_is_parted_inside_a_cluster(word) -> None:
    starts = set(grapheme_starts(word))
    for find in (separator_breaks, syllable_breaks, letter_breaks):
        assert set(find(word, 0, len(word), "de")) <= starts


def test_what_fits_whole_is_never_parted() -> None:
    for breaking in ("parts", "letters"):
        style = replace(HOOK, breaking=breaking, language="de")
        for text in ("Geschenke für alle", "#SaleNow", "Kaffee & Kuchen"):
            whole = fit_text(text, replace(style, breaking="words"), *BOX, FONTS)
            assert fit_text(text, style, *BOX, FONTS).lines == whole.lines
    with pytest.raises(UnbreakableTextError):
        split_into_cues("Telekommunikationsdienst", replace(HOOK, breaking="words"), *BOX, FONTS)


def test_a_hyphen_is_never_set_in_an_address_a_tag_or_a_code() -> None:
    for text in ("www.beispielunternehmen.de", "#weihnachtsgeschenke", "@lieblinge", "X1ABC"):
        found = syllable_breaks(text, 0, len(text), "de") | letter_breaks(text, 0, len(text), "de")
        assert set(found.values()) <= {"\u200b"}
    assert set(syllable_breaks("Weihnachten", 0, 11, "de").values()) == {"\u00ad"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Weihnachtsgeschenke", "de"),
        ("Rechtsschutzversicherung", "de"),
        ("aansprakelijkheidsverzekering", "nl"),
        ("Lentokonesuihkuturbiinimoottori", "fi"),
        ("megszentségteleníthetetlen", "hu"),
        ("Nordvästersjökustartilleriflygspaning", "sv"),
        ("Konstantynopolitańczykowianeczka", "pl"),
        ("достопримечательность", "ru"),
        ("рентгеноелектрокардіографічного", "uk"),
        ("αυτοκινητοβιομηχανία", "el"),
        ("Internationalization", "en"),
        ("უკანასკნელისთვის", ""),
    ],
)
def test_the_language_of_a_word_is_guessed_where_the_brief_says_nothing(text, language) -> None:
    assert language_of(text, text, "en") == language
    assert language_of("Kundenkonto", "Kundenkonto", "da") == "da"  # what is said, holds


# Blanks


def lines_at(text: str, **options) -> list[str]:
    stops = [0, *break_opportunities(text, **options), len(text)]
    return [text[a:b] for a, b in zip(stops, stops[1:], strict=False)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%{localtime} %d %s and $HOME", ["%{localtime} ", "%d ", "%s ", "and ", "$HOME"]),
        ("nur 149 zł", ["nur ", "149 zł"]),
        ("ab € 1.299,00 neu", ["ab ", "€ 1.299,00 ", "neu"]),
        ("1 299 kr nu", ["1 299 kr ", "nu"]),
        ("Jetzt 5 kg Reis", ["Jetzt ", "5 kg ", "Reis"]),
        ("25 % Rabatt", ["25 % ", "Rabatt"]),
        ("5 € 10 % mehr", ["5 € ", "10 % ", "mehr"]),
        ("a\u00a0b\u202fc d\u2060e f\u200bg", ["a\u00a0b\u202fc ", "d\u2060e ", "f\u200b", "g"]),
        ("ດີ ສິນຄ້າໃໝ່", ["ດີ ", "ສິນຄ້າ", "ໃໝ່"]),
        ("ကုန်ပစ္စည်းအသစ်များ", ["ကုန်ပစ္စည်း", "အသစ်", "များ"]),
    ],
)
def test_lines_end_between_words_and_not_in_figures(text: str, found: list[str]) -> None:
    assert lines_at(text, phrases=True) == found


def test_marks_above_and_below_are_drawn_whole() -> None:
    for text in ("ផ្ទះបាយថ្មី", "ສິນຄ້າໃໝ່", "ใหม่สำหรับห้องครัว", "မီးဖိုချောင်"):
        fitted = fit_text(text, replace(HOOK, stroke=0.05), *BOX, FONTS)
        alpha = draw_text(fitted, FONTS).rgba[..., 3]
        edges = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert alpha.any() and not edges.any()


# Emoji


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("👩🏽‍🚀👨‍👩‍👧‍👦🏴󠁧󠁢󠁳󠁣󠁴󠁿🇦🇶1️⃣👩🏿‍❤️‍💋‍👨🏻🐦‍🔥🏳️‍⚧️", None),
        ("Go 👽🏽!", "Go 👽!"),
        ("Us 👩‍👽", "Us 👩👽"),
        ("In 🇨🇶", "In 🇨🇶"),
        ("New \U0001fae9 look", "New look"),
        ("\U0001fae9\nSale", "Sale"),
        ("Key a⃣", "Key a"),
        ("👍🏽\u0301", "👍🏽"),
    ],
)
def test_an_emoji_that_no_font_has_is_drawn_by_its_parts(text: str, drawn: str | None) -> None:
    shown, origin, replaced = replace_unknown_emoji(text, FONTS)
    assert shown.replace("\u2060", "") == (drawn or text) and len(origin) == len(shown) + 1
    assert bool(replaced) == (drawn is not None)
    glyphs = [
        g for line in fit_text(text, HOOK, 2000, 800, FONTS).lines for g in line.shaped.glyphs
    ]
    assert all(g.id != 0 for g in glyphs)


def test_a_replaced_emoji_is_noted_wherever_it_stands(tmp_path: Path) -> None:
    result = compile_text(tmp_path, hook="For you 👽🏽", badge="New 👩‍👽")
    assert result.plan is not None and not result.problems
    notes = " ".join(result.plan.notes)
    assert "👽🏽 (U+1F47D U+1F3FD); it is drawn as 👽" in notes and "drawn as 👩👽" in notes


def test_the_emoji_font_is_whole() -> None:
    pictures = [f for faces in FONTS._iterate_folders() for f in faces if f.pictures]
    assert len(pictures) == 3 and all(f.path.stat().st_size < 4 << 20 for f in pictures)
    glyphs = range(FONTS.font(pictures[0]).face.glyph_count)
    held = [sum(bool(FONTS.font(f).get_glyph_color_png(g)) for g in glyphs) for f in pictures]
    assert sum(held) == 3926
