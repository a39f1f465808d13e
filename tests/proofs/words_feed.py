"""A feed of 200 products in ten locales and ten currencies, for `proof_words.py`.

Each locale has ten things, two materials and five sentences of its own: twenty titles, and a
sentence for each. Prices are drawn from a fixed seed. The sentences are the project's own.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter


@dataclass(frozen=True)
class LocaleWords:
    """What products of one locale are called and cost."""

    locale: str
    currency: str
    decimals: int
    languages: str
    """As tesseract names them."""
    things: tuple[str, ...]
    materials: tuple[str, str]
    sentences: tuple[str, ...]
    call: str
    """Stands before the price in the call to action."""

    @property
    def titles(self) -> list[str]:
        return [f"{thing} {material}" for material in self.materials for thing in self.things]


LOCALES = (
    LocaleWords(
        "en-US",
        "USD",
        2,
        "eng",
        (
            "Salad Bowl",
            "Coffee Mug",
            "Bread Board",
            "Wall Clock",
            "Table Lamp",
            "Wool Blanket",
            "Garden Chair",
            "Tea Kettle",
            "Candle Holder",
            "Picture Frame",
        ),
        ("in Solid Oak", "with Brass Details"),
        (
            "Made by hand in small numbers",
            "A gift that stays for years",
            "Ships within two days",
            "Safe for the dishwasher",
            "Light, strong and easy to clean",
        ),
        "Yours for",
    ),
    LocaleWords(
        "en-GB",
        "GBP",
        2,
        "eng",
        (
            "Walking Boots",
            "Rain Jacket",
            "Leather Satchel",
            "Cotton Shirt",
            "Silk Scarf",
            "Knitted Jumper",
            "Travel Flask",
            "Umbrella Stand",
            "Biscuit Tin",
            "Garden Gloves",
        ),
        ("for Every Weather", "in Forest Green"),
        (
            "Tested on the wettest hills",
            "Repaired free of charge for life",
            "Colour that does not fade",
            "Sewn by people who love it",
            "Order today, wear it tomorrow",
        ),
        "Now only",
    ),
    LocaleWords(
        "de-CH",
        "CHF",
        2,
        "deu",
        (
            "Salatschüssel",
            "Kaffeemühle",
            "Schneidebrett",
            "Wanduhr",
            "Schreibtischlampe",
            "Wolldecke",
            "Gartenstuhl",
            "Teekanne",
            "Weihnachtskugel",
            "Geschenkkarton",
        ),
        ("aus Eichenholz", "für die Küche"),
        (
            "Von Hand gefertigt in kleinen Serien",
            "Ein Geschenk, das Jahre bleibt",
            "Lieferung innerhalb von zwei Tagen",
            "Spülmaschinenfest und leicht",
            "Schön, stark und pflegeleicht",
        ),
        "Jetzt für",
    ),
    LocaleWords(
        "pl-PL",
        "PLN",
        2,
        "pol",
        (
            "Miska do sałaty",
            "Kubek do kawy",
            "Deska do chleba",
            "Zegar ścienny",
            "Lampa stołowa",
            "Koc wełniany",
            "Krzesło ogrodowe",
            "Dzbanek do herbaty",
            "Świecznik",
            "Ramka na zdjęcia",
        ),
        ("z litego dębu", "w kolorze miodu"),
        (
            "Wykonane ręcznie w małych seriach",
            "Prezent, który zostaje na lata",
            "Wysyłka w ciągu dwóch dni",
            "Można myć w zmywarce",
            "Lekki, mocny i łatwy w czyszczeniu",
        ),
        "Teraz za",
    ),
    LocaleWords(
        "pt-BR",
        "BRL",
        2,
        "por",
        (
            "Tigela de salada",
            "Caneca de café",
            "Tábua de pão",
            "Relógio de parede",
            "Luminária de mesa",
            "Cobertor de lã",
            "Cadeira de jardim",
            "Chaleira",
            "Castiçal",
            "Moldura de fotos",
        ),
        ("em madeira maciça", "com detalhes de latão"),
        (
            "Feito à mão em pequena série",
            "Um presente que fica por anos",
            "Envio em até dois dias",
            "Pode ir à lava-louças",
            "Leve, forte e fácil de limpar",
        ),
        "Agora por",
    ),
    LocaleWords(
        "uk-UA",
        "UAH",
        2,
        "ukr",
        (
            "Салатниця",
            "Чашка для кави",
            "Дошка для хліба",
            "Настінний годинник",
            "Настільна лампа",
            "Вовняна ковдра",
            "Садовий стілець",
            "Чайник",
            "Свічник",
            "Рамка для фото",
        ),
        ("з дуба", "теплого кольору"),
        (
            "Зроблено вручну малими партіями",
            "Подарунок на довгі роки",
            "Доставка за два дні",
            "Можна мити в машині",
            "Легко чистити щодня",
        ),
        "Тепер за",
    ),
    LocaleWords(
        "el-GR",
        "EUR",
        2,
        "ell",
        (
            "Μπολ σαλάτας",
            "Κούπα καφέ",
            "Ξύλο κοπής",
            "Ρολόι τοίχου",
            "Επιτραπέζιο φωτιστικό",
            "Μάλλινη κουβέρτα",
            "Καρέκλα κήπου",
            "Τσαγιέρα",
            "Κηροπήγιο",
            "Κορνίζα",
        ),
        ("από μασίφ δρυ", "σε ζεστό χρώμα"),
        (
            "Φτιαγμένο στο χέρι",
            "Ένα δώρο που μένει για χρόνια",
            "Αποστολή σε δύο ημέρες",
            "Πλένεται στο πλυντήριο",
            "Ελαφρύ και γερό",
        ),
        "Τώρα με",
    ),
    LocaleWords(
        "ar-KW",
        "KWD",
        3,
        "ara",
        (
            "وعاء السلطة",
            "كوب القهوة",
            "لوح الخبز",
            "ساعة الحائط",
            "مصباح الطاولة",
            "بطانية الصوف",
            "كرسي الحديقة",
            "إبريق الشاي",
            "حامل الشموع",
            "إطار الصور",
        ),
        ("من خشب البلوط", "بلون دافئ"),
        ("صنع باليد بعناية", "هدية تبقى لسنوات", "التوصيل خلال يومين", "سهل التنظيف", "خفيف وقوي"),
        "الآن",
    ),
    LocaleWords(
        "he-IL",
        "ILS",
        2,
        "heb",
        (
            "קערת סלט",
            "ספל קפה",
            "קרש לחם",
            "שעון קיר",
            "מנורת שולחן",
            "שמיכת צמר",
            "כיסא גינה",
            "קומקום תה",
            "פמוט",
            "מסגרת תמונה",
        ),
        ("מעץ אלון", "בצבע חם"),
        ("עבודת יד בכמות קטנה", "מתנה לשנים רבות", "משלוח תוך יומיים", "קל לניקוי", "קל וחזק"),
        "עכשיו",
    ),
    LocaleWords(
        "hi-IN",
        "INR",
        2,
        "hin",
        (
            "सलाद का कटोरा",
            "कॉफी का मग",
            "रोटी का बोर्ड",
            "दीवार घड़ी",
            "मेज का लैंप",
            "ऊनी कंबल",
            "बगीचे की कुर्सी",
            "चाय की केतली",
            "मोमबत्ती स्टैंड",
            "फोटो फ्रेम",
        ),
        ("ठोस लकड़ी का", "गरम रंग में"),
        ("हाथ से बनाया गया", "सालों तक साथ रहे", "दो दिन में घर पर", "साफ करना आसान", "हल्का और मजबूत"),
        "अब केवल",
    ),
)


@dataclass(frozen=True)
class Product:
    """A row of the feed, as its shop states it."""

    id: str
    words: LocaleWords
    title: str
    sentence: str
    amount: Decimal


def draw_products(seed: int = 20) -> list[Product]:
    """The 200 products; equal for equal seeds."""
    rng = random.Random(seed)
    products = []
    for words in LOCALES:
        for number, title in enumerate(words.titles):
            ranges = ((1, 99), (100, 999), (1000, 29999))
            whole = rng.randint(*rng.choice(ranges))
            part = rng.choice((0, rng.randint(1, 10**words.decimals - 1)))
            amount = Decimal(whole) + Decimal(part).scaleb(-words.decimals)
            products.append(
                Product(
                    f"{words.locale}-{number:02}",
                    words,
                    title,
                    words.sentences[number % len(words.sentences)],
                    amount.quantize(Decimal(1).scaleb(-words.decimals)),
                )
            )
    return products


_GROUNDS = ((236, 229, 218), (40, 52, 64), (186, 120, 84), (110, 140, 112), (250, 250, 250))


def _draw_picture(path: Path, number: int) -> None:
    """A thing on a table: a soft ground with light from one side, a shape, and its shadow."""
    ground = _GROUNDS[number % len(_GROUNDS)]
    image = Image.new("RGB", (810, 1440), ground)
    draw = ImageDraw.Draw(image)
    for row in range(1440):
        light = 1 - 0.25 * row / 1440
        draw.line([(0, row), (810, row)], fill=tuple(round(c * light) for c in ground))
    colour = _GROUNDS[(number + 2) % len(_GROUNDS)]
    draw.ellipse([150, 1130, 690, 1210], fill=tuple(round(c * 0.5) for c in ground))
    image = image.filter(ImageFilter.GaussianBlur(12))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([230, 760, 580, 1170], 90, fill=colour, outline=(30, 30, 30), width=4)
    draw.ellipse([290, 800, 340, 1100], fill=tuple(min(255, c + 30) for c in colour))
    image.save(path, quality=92)


def write_feed(folder: Path, products: list[Product]) -> Path:
    """The feed with its pictures and its mapping; the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        _draw_picture(folder / f"thing{number}.jpg", number)
    feed = folder / "feed.tsv"
    with open(feed, "w", encoding="utf-8", newline="") as f:
        rows = csv.writer(f, delimiter="\t")
        rows.writerow(
            (
                "id",
                "title",
                "description",
                "link",
                "image_link",
                "availability",
                "price",
                "locale",
                "call",
                "look",
            )
        )
        looks = ("daylight", "bold", "editorial")
        for number, p in enumerate(products):
            rows.writerow(
                (
                    p.id,
                    p.title,
                    p.sentence,
                    "https://shop.example/p",
                    f"thing{number % 10}.jpg",
                    "in_stock",
                    f"{p.amount} {p.words.currency}",
                    p.words.locale,
                    p.words.call,
                    looks[number % len(looks)],
                )
            )
    (folder / "feed.mapping.yaml").write_text(
        "use: merchant\n"
        "fields:\n"
        '  locale: "{locale}"\n'
        '  preset: "{look}"\n'
        '  beats: "{description}"\n'
        '  cta: "{call} {price|price}"\n'
        "defaults:\n"
        "  music: none\n"
        "  duration: 9\n",
        encoding="utf-8",
    )
    return feed
