"""Which language a word is in, for its hyphens: by script, letters, endings and small words.

Only used where the brief's locale does not say, or says what the letters contradict. A wrong guess
costs an odd hyphen, no more.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pytoon_pipeline.picture.line_breaks import script_of

_SCRIPT_LANGUAGES = {
    "Cyrl": ("ru", "uk", "be", "bg", "sr", "mk", "mn"),
    "Grek": ("el",),
    "Deva": ("mr", "sa", "hi"),
    "Beng": ("as", "bn"),
    "Guru": ("pa",),
    "Orya": ("or",),
    "Telu": ("te",),
    "Knda": ("kn",),
}
_CYRILLIC_HINTS = (
    ("uk", "[іїєґ]"),
    ("be", "ў"),
    ("sr", "[ћђјљњџ]"),
    ("mk", "[ѓќѕ]"),
    ("mn", "[өү]"),
)

# Language, letters and endings that tell, small words. Each find of the letters counts 2, each of
# the small words 2; letters in capitals here are rare elsewhere and count 5.
_LATIN_HINTS: dict[str, tuple[str, str, str]] = {
    "de": (
        "ß",
        r"[äöü]|sch|ungs?\b|ungen\b|keit|heit|schaft|tz|pf|cht|ck|eu|isch|lich"
        r"|[^aeiou]ts[^aeiou]|dienst|stellung|werk|haus|zeug",
        "der die das und für mit ist nicht ein eine auf von zu den im aus bei alle",
    ),
    "nl": (
        "ij",
        r"aa|ee|oo|uu|heid|lijk|schap|kken|tten\b|ingen?\b|oe",
        "het een van voor en met niet de op zijn je",
    ),
    "fi": (
        "yö|äy|öy",
        r"aa|ii|ää|yy|uu|oo|kk|tt|pp|ll|[aeiouyäö]i[nkh]|inen\b"
        r"|[ns][ae]n\b|ssa|lla|uo|ie|yt",
        "ja on ei se kun tai sekä",
    ),
    "sv": ("å", r"[äö]|sjö|ning|het\b|skap|ande\b", "och att det som för en är med till på"),
    "da": ("", r"[æøå]|hed\b|ning|sk|lse\b|ende\b", "og det er en til med ikke af på"),
    "nb": ("", r"[æøå]|het\b|ning|sjon|sk|else\b", "og det er en til med ikke av på"),
    "hu": (
        "ő|ű",
        r"sz|gy|ny|zs|ság|ség|nak\b|nek\b|ban\b|ben\b|[áéíóú]|kért|ok\b|ek\b",
        "és az egy nem hogy is",
    ),
    "pl": ("ł|ą|ę|ż|ź|ś", r"cz|rz|sz|[ćńó]|ów\b|ego\b|ych\b", "i na z do się nie dla"),
    "cs": ("ř|ě|ů", r"[čšžýáíé]|ost|ní\b|ých\b", "a na se je pro"),
    "sk": ("ľ|ĺ|ŕ", r"[čšžýáíéôť]|ost|ých\b", "a na sa je pre"),
    "hr": ("đ", r"[čšžć]|nje\b|ost|ije", "i je na za se u"),
    "sl": ("", r"[čšž]|nje\b|ost|anj", "in je na za se v"),
    "tr": ("ğ|ı|ş", r"ler|lar|[çöü]|dır|mak\b|mek\b", "ve bir için ile bu"),
    "es": ("ñ", r"ción|ciones|[áéíóú]|mente\b|idad|ados?\b", "el la los las para con y por de"),
    "pt": ("ã|õ", r"[çáéíóúê]|mente\b|idade|ção", "o os as para com não e de"),
    "fr": ("œ", r"[èêàçéîôû]|eux\b|tion|ment\b|eau", "le la les des et pour une du"),
    "it": ("", r"zione|zioni|mente\b|[àèìòù]|gli|tà|cch|zz", "il la di che per con i e"),
    "ro": ("ă|ț|ș", r"[îâ]|ului\b|ție|tori", "și de la în pentru cu"),
    "ca": ("l·l", r"[çàèò]|ció|ment\b", "i el els amb per de"),
    "lv": ("ā|ē|ī|ģ|ķ|ļ|ņ", r"[čšžū]|šan", "un ir ar par"),
    "lt": ("ė|ų|į", r"[čšžūąę]|imas\b", "ir yra su į"),
    "et": ("", r"õ|aa|ii|uu|ää|öö|üü|[äöü]|mine\b|sse\b", "ja on ei see"),
    "is": ("þ|ð", r"[áéíóúýæö]", "og er að ekki"),
    "cy": ("", r"ll|dd|wy|gwy|wll|yn|[ŵŷ]|w[^aeiouy]", "yn y yr a ac ar"),
    "en": (
        "",
        r"tions?\b|sh|th|ness\b|ments?\b|ck|ally\b|ing\b|ght|ity\b|ph|able\b"
        r"|i[sz]ation|ize|ational",
        "the and for with your of to in is all you",
    ),
}
_SURE = 4
"""Points that a language must have to be taken against the brief's."""


def language_of(word: str, text: str = "", declared: str = "") -> str:
    """Return the language of a word that stands in `text`: a two-letter code, empty where nothing
    tells.

    `declared` is what the author says (BCP 47). It holds where the word is in its script; English,
    which is what a brief says that says nothing, gives way to clear signs of another language.
    """
    tag = declared.replace("_", "-").split("-")[0].lower()
    tag = {"no": "nb"}.get(tag, tag)
    script = next((s for s in map(script_of, word) if s), "Zyyy")
    if script == "Cyrl":
        if tag in _SCRIPT_LANGUAGES["Cyrl"]:
            return tag
        lower = text.lower() or word.lower()
        return next((name for name, hint in _CYRILLIC_HINTS if re.search(hint, lower)), "ru")
    if script != "Latn":
        known = _SCRIPT_LANGUAGES.get(script, ())
        return tag if tag in known else known[-1] if known else ""
    if tag not in ("", "en") and tag not in _NOT_LATIN:
        return tag
    return _latin_language(word.lower(), text.lower()) or ("en" if tag == "en" else "")


_NOT_LATIN = frozenset(
    """am ar be bg bn bo ckb dv el fa gu he hi hy ja ka kk km kn ko ky lo mk ml mn mr my ne pa ps ru
    sd si sr ta te tg th ug uk ur yi zh""".split()  # noqa: SIM905
)


@lru_cache(maxsize=1024)
def _latin_language(word: str, text: str) -> str:
    small = set(re.findall(r"[^\W\d_]+", text))
    scores: dict[str, int] = {}
    for name, (rare, letters, words) in _LATIN_HINTS.items():
        points = 2 * len(small & set(words.split()))
        points += 2 * len(re.findall(letters, word))
        if rare:
            points += 5 * len(re.findall(rare, word))
        scores[name] = points
    if not set(word) <= set("abdefghijklmnoprstuvyäö"):
        scores["fi"] = 0
    # Of equals the first: where relatives are alike (Danish, Norwegian), so are their hyphens.
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= _SURE and scores[best] > scores["en"] else ""
