"""Repairs of texts as other programs leave them in tables.

Characters that can't be seen, UTF-8 that was read in another encoding and saved again, and what
spreadsheets write where there is no value.
"""

from __future__ import annotations

import re
from functools import lru_cache

_MAX_TIMES = 3
"""Times that a text may have been saved in a wrong encoding."""


# Characters that can't be seen -------------------------------------------------------------------

_BLANK = "\u200b\u2060\ufeff\u00ad\u180e\u115f\u1160\u3164\uffa0\u2800"
"""Characters without width or shape that Unicode does not count as white space."""
_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks of the direction of writing."""
_IN_NAMES = re.compile(f"[{_BLANK}{_DIRECTION}\u0000-\u0008\u000e-\u001f\u007f]+")
_AT_ENDS = re.compile(f"^[\\s{_BLANK}]+|[\\s{_BLANK}]+$")


def strip_unseen(text: str) -> str:
    """Return a text without blanks of any kind at its ends."""
    if text.isascii():
        return text.strip()
    # Twice a search from one end, for `+$` would be tried at every blank of a long text.
    start = _AT_ENDS.match(text)
    begin = start.end() if start else 0
    end = len(text)
    while end > begin and (text[end - 1].isspace() or text[end - 1] in _BLANK):
        end -= 1
    return text[begin:end]


def clean_file_name(text: str) -> str:
    """Return the name of a file or a column without characters that can't be seen.

    U+200C and U+200D stay inside of it: some scripts and emoji are not written without them.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return _IN_NAMES.sub("", text).strip(" \t\r\n\u200c\u200d\u00a0").strip()


# Saved twice -------------------------------------------------------------------------------------

_MISREAD = ("cp1252", "cp1250", "cp1251", "cp1254", "mac_roman", "gbk")
"""Encodings that UTF-8 is most often taken for."""
_LEADS = re.compile("[\u00c2-\u00f4\u0102-\u0179\u0402-\u045f\u221a\u00ac\u4e00-\u9fff]")
"""Characters that the first byte of a sequence of UTF-8 becomes in these."""
_TRACES = re.compile(
    "[ÃÂ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€|ï»¿|ð\x9fŸ|Ð[\u0080-\u00bf]|Ñ[\u0080-\u00bf]|√[∂º§üñ©]"
)
_OTHER_SCRIPT = re.compile(r"(?<!\w)[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]{4,}(?!\w)")
"""Words of nothing but accented letters: Cyrillic, Greek and others that were read as Western."""
LOST = "\ufffd"
"""Stands where a program could not tell which character was meant."""


@lru_cache(maxsize=8)
def _byte_of(encoding: str) -> dict[str, int]:
    """Character -> its byte; bytes without a character are those of Latin-1."""
    found = {}
    for byte in range(0x80, 0x100):
        try:
            found[bytes([byte]).decode(encoding)] = byte
        except UnicodeDecodeError:
            found[chr(byte)] = byte
    return found


def repair_saved_twice(text: str) -> str | None:
    """Return a text of UTF-8 that was read as another encoding and saved again, once or several
    times, as it was; None where it is no such text, or not wholly."""
    if text.isascii() or not _LEADS.search(text):
        return None
    new = text
    for _ in range(_MAX_TIMES):
        better = next((t for e in _MISREAD if (t := _read_anew(new, e)) is not None), None)
        if better is None:
            break
        new = better
    return None if new == text else new


def _read_anew(text: str, encoding: str) -> str | None:
    try:
        if encoding == "gbk":
            data = text.encode("gbk")
        else:
            byte_of = _byte_of(encoding)
            data = bytes(ord(c) if ord(c) < 0x80 else byte_of.get(c, 0xFF) for c in text)
        new = data.decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None
    # What comes out must be letters and signs in use: `É»` is also the bytes of a rare letter.
    if new == text or not all(c.isascii() or _is_usual(c) for c in new):
        return None
    if encoding == "gbk" and (len(text) < 3 or max(new) < "\u2e80"):
        return None  # Two characters of Chinese are easily those of something else.
    return new


def _is_usual(character: str) -> bool:
    code = ord(character)
    return (
        0xA0 <= code < 0x250
        or 0x370 <= code < 0x530
        or 0x5D0 <= code < 0x5EB
        or 0x620 <= code < 0x700
        or 0x900 <= code < 0xE7F
        or 0x1E00 <= code < 0x2000
        or 0x2010 <= code < 0x2028
        or 0x2030 <= code < 0x205F
        or 0x20A0 <= code < 0x20C2
        or 0x2100 <= code < 0x2800
        or 0x3000 <= code < 0x3100
        or 0x4E00 <= code < 0xA000
        or 0xAC00 <= code < 0xD7A4
        or code in (0x200D, 0xFE0F)
        or 0xFF00 <= code < 0xFFF0
        or 0x1F000 <= code < 0x1FB00
    )


def looks_saved_twice(text: str) -> bool:
    """Return whether a text shows traces of UTF-8, or of another script, read as another
    encoding."""
    return not text.isascii() and bool(_TRACES.search(text) or _OTHER_SCRIPT.search(text))


# What stands where there is no value -------------------------------------------------------------

_ERROR_WORDS = """
#N/A #REF! #VALUE! #NAME? #DIV/0! #NULL! #NUM! #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT! #BUSY!
#UNKNOWN! #GETTING_DATA #ERROR! #PYTHON! #EXTERNAL! #TIMEOUT! #NV #BEZUG! #WERT! #ZAHL! #ÜBERLAUF!
#KALK! #FELD! #BLOCKIERT! #VERBINDEN! #UNBEKANNT! #FEHLER! #LEER! #VALEUR! #NOM? #NOMBRE! #NUL!
#PROPAGATION! #EPARS! #CHAMP! #BLOQUÉ! #ERREUR! #N/D #N/D! #¡REF! #¡VALOR! #¿NOMBRE? #¡NUM!
#¡DIV/0! #¡NULO! #¡DESBORDAMIENTO! #¡CALC! #¡CAMPO! #RIF! #VALORE! #NOME? #NULLO! #ESPANSIONE!
#CAMPO! #ERRORE! #N/B #VERW! #WAARDE! #NAAM? #GETAL! #DEEL/0! #LEEG! #OVERLOOP! #VALOR! #NÚM!
#NULO! #DESPEJAR! #ADR! #ARG! #NAZWA? #LICZBA! #DZIEL/0! #ZERO! #ROZLANIE! #Н/Д #ССЫЛКА! #ЗНАЧ!
#ИМЯ? #ЧИСЛО! #ДЕЛ/0! #ПУСТО! #ПЕРЕНОС! #ВЫЧИСЛ! #SAKNAS! #REFERENS! #VÄRDEFEL! #NAMN? #OGILTIGT!
#DIVISION/0! #SKÄRNING! #I/T #REFERENCE! #VÆRDI! #NAVN? #VERDI! #PUUTTUU! #VIITTAUS! #ARVO! #NIMI?
#LUKU! #JAKO/0! #TYHJÄ! #YOK #BAŞV! #DEĞER! #AD? #SAYI! #SAYI/0! #BOŞ! #TAŞMA! #NENÍ_K_DISPOZICI
#ODKAZ! #HODNOTA! #NÁZEV? #ČÍSLO! #DĚLENÍ_NULOU! #NEDOSTUPNÝ #HIÁNYZIK #HIV! #ÉRTÉK! #NÉV? #SZÁM!
#ZÉRÓOSZTÓ! #NULLA!
"""
_ERRORS = frozenset(_ERROR_WORDS.split())
"""As Excel, LibreOffice, Numbers and Google Sheets write them, in the languages of Europe."""
_INSIDE = re.compile(r"(?<!\w)(#N/A(?!\w)|#DIV/0!|#REF!|#VALUE!|#NAME\?|#NULL!|#NUM!)")
_WAITING = re.compile(
    r"(?i)(loading|wird geladen|chargement|cargando|caricamento|carregando|laden|ladowanie|"
    r"загрузка|読み込み中|正在加载|로드 중)(\s+\w+(\s+\w+)?)?\s*(\.\.\.|…)"
)


def find_error_value(text: str) -> str | None:
    """Return the error of a spreadsheet that a cell holds instead of a value; None where it holds
    none."""
    if len(text) < 40:
        text = text.strip()
        if text.upper() in _ERRORS or re.fullmatch(r"(?i)err:\d{3}|#{3,}", text):
            return text
        if _WAITING.fullmatch(text):
            return text
    found = _INSIDE.search(text) if "#" in text else None
    return found[1] if found else None


_NO_VALUE = """
nan null (null) none nil undefined n/a n.a. na true false wahr falsch vrai faux verdadero falso vero
- -- --- – — ? ?? . / tbd todo {} [] \\n nat <na> (blank) (leer) (empty) missing
"""
_EMPTY_WORDS = frozenset([*_NO_VALUE.split(), "[object object]"])


def is_empty_word(text: str) -> bool:
    """Return whether a text is one that programs, or people, write where there is no value."""
    return len(text) < 20 and text.strip().lower() in _EMPTY_WORDS
