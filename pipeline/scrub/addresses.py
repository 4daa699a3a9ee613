"""Street addresses: a house number and a street by its type, in the order of the language.

Only forms that name both are found: a lone "Main Street" says where something is, not where somebody lives.
"""

import re
from collections.abc import Iterator

from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.ordinary import is_everyday, is_ordinary
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import WORD

_AFTER = (
    "street st avenue ave av road rd boulevard blvd lane ln drive dr court ct way place pl terrace ter circle cir "
    "highway hwy parkway pkwy square sq trail trl crescent cres close gardens grove mews row hill loop alley"
)
_BEFORE = (
    "calle carrera avenida av avda plaza paseo rua travessa alameda rue avenue boulevard chemin impasse allee quai via "
    "viale corso piazza vicolo ul ulica aleja al jalan jl gang calea strada bulevardul ulitsa улица ул вулиця проспект"
)
_OTHER_TYPES = (
    "caddesi cad cd sokak sokagi sok sk bulvari blv mahallesi mah пр просп пер ш наб бул вул провулок переулок бульвар "
    "шоссе площадь пл проезд проспект вулиця شارع đuong duong pho ngo hem quan phuong house flat plot door "
    "shop c r am im "
    "zum zur an auf in beim unter hinter vor coords coord coordinates coordinate gps lat latitude"
)
_GERMANIC = (
    "strasse straße str weg allee platz gasse ring damm ufer straat laan weg plein gracht gatan vagen veien gate vej"
)
_NUMBER = r"\d{1,5}(?:\s?[a-zA-Z])?(?:[-/]\d{1,4}[a-zA-Z]?)?"
_SPEECH = (
    "a an the is are was in on of to and or at times it way be than that this so my your i you for every each some any "
    "no all more most same other another what which who how why when where if but just not very"
)


def _any(words: str) -> str:
    return "|".join(words.split())


_NAMED = rf"(?!(?i:{_any(_SPEECH)})\b)(?:[A-ZÀ-ÞА-Я][\w'.-]{{0,24}}|\d+(?:st|nd|rd|th))"
_ENGLISH = Expression(
    rf"(?<![\w.,$€£-])\d{{1,5}}[a-zA-Z]?,?\s+(?:[NSEWnsew]\.?\s+|(?:North|South|East|West)\s+)?(?:{_NAMED}\s+){{1,3}}"
    rf"(?:(?i:{_any(_AFTER)}))\b\.?(?:,?\s+(?i:apt|apartment|unit|suite|ste|flat|#)\.?\s?\w{{1,5}})?"
    rf"(?:,\s*{_NAMED}(?:\s+{_NAMED}){{0,2}})?(?:,?\s+[A-Z]{{2}}\b)?"
    r"(?:,?\s+(?:\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[\dA-Z]? ?\d[A-Z]{2})\b)?"
)
_LOWER_ENGLISH = Expression(
    r"(?i:\b(?:addy|adress|stay|staying|live|lives|living|address"
    r"|house|home|pull up|come|deliver|send|ship|mail|located|find me)\b"
    r"[\w\s:,']{0,20}?)"
    rf"(?P<address>\b\d{{1,5}}\s+(?:[\w'.-]{{2,24}}\s+){{1,3}}(?i:{_any(_AFTER)})\b)"
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PARTICLES = r"(?:(?:de|del|de la|de los|des|du|da|das|do|dos|della|delle|degli|dei|di|la|le|les|los|las)\s+){0,2}"
_HOUSE = r"(?:(?i:n[°º.o]|no|nr|num|numero|número|дом|д|буд)\.?:?\s*)?"
_ROMANCE = Expression(
    rf"(?<!\w)(?:(?i:{_any(_BEFORE)})\b\.?|[Cc]/|R\.(?=\s))\s*(?<=[\s/])"
    rf"{_PARTICLES}(?:{_NAMED}\s+){{0,3}}{_NAMED}(?:\s*,\s*|\s+){_HOUSE}(?P<number>{_NUMBER})(?!\w|[.,]\d|%)"
    r"(?:,?\s(?i:apto|apt|piso|кв|m)\.?\s?\d{1,4})?"
)
_LOWER_ROMANCE = Expression(
    r"(?i:\b(?:vivo|vive|viven|moro|mora|direccion|endereco|abito"
    r"|indirizzo|habite|adresse|adres|alamat|manda|envia|ven)\b"
    r"[\w\s:,']{0,12}?)"
    rf"(?P<address>\b(?:{_any(_BEFORE)})\.?\s+{_PARTICLES}"
    rf"(?:[\w'-]{{2,20}}\s+){{0,3}}[\w'-]{{2,20}},?\s+{_HOUSE}\d{{1,5}}(?!\w|[.,]\d|%))"
)
_FRENCH = Expression(
    r"(?<![\w.,$€£-])\d{1,4}(?:\s?(?:bis|ter))?,?\s+"
    r"(?i:rue|avenue|boulevard|chemin|impasse|allee|quai|place|route)\s+"
    rf"(?:(?:de|du|des|la|le|les|l'|d')\s*){{0,2}}{_NAMED}(?:[\s-]{_NAMED}){{0,3}}(?:,?\s\d{{5}}\s{_NAMED})?"
)
_GERMAN = Expression(
    rf"(?<!\w)(?P<name>[A-ZÄÖÜ][\w-]{{2,30}}?)(?P<gap>\s)?(?P<type>"
    rf"(?i:{_any(_GERMANIC)}))\.?\s+(?P<number>{_NUMBER})(?!\w|[.,]\d|%|:)"
    rf"(?P<place>,?\s+\d{{4,5}}\s+{_NAMED})?"
)
_GERMAN_AT = Expression(
    r"(?<!\w)(?:Am|Im|Zum|Zur|Beim|An der|An den|An dem|In der|In den|Auf der|Auf dem|Unter den|Hinter der|Vor dem)\s"
    rf"(?:{_NAMED}\s){{0,2}}{_NAMED}\s\d{{1,3}}\s?[a-z]?,\s\d{{4,5}}\s{_NAMED}"
)
_TURKISH = Expression(
    r"(?<!\w)(?:[A-ZÀ-Þİ][\w'.-]{1,24}\s+){1,4}(?i:caddesi|cad|cd|sokak|sokagi|sok|sk|bulvari|blv|mahallesi|mah)\b\.?"
    r"(?:\s+(?:[A-ZÀ-Þİ][\w'.-]{1,24}\s+){1,3}(?i:caddesi|cad|sokak|sokagi"
    r"|sok)\b\.?)?\s*,?\s*(?:(?i:no)\s?[:.]?\s?)?\d{1,4}(?!\w|[.,]\d|%)"
)
_SLAVIC = Expression(
    r"(?<!\w)(?:(?i:пр|пр-т|просп|пер|ш|наб|б-р|бул|вул|ул|провулок|переулок|бульвар|шоссе|площадь|пл)\b\.?\s*"
    rf"(?:{_NAMED}\s+){{0,2}}{_NAMED}(?:\s*,\s*|\s+){_HOUSE}\d{{1,4}}"
    rf"|[А-ЯІЇЄ][\w-]{{3,24}}\s(?:проспект|шоссе|бульвар|улица|переулок|проезд|вулиця)"
    rf"(?:\s*,\s*|\s+){_HOUSE}\d{{1,4}})\s?[а-яa-z]?(?!\w|[.,]\d|%)"
)
_ARABIC = Expression(
    r"شارع(?:\s[\u0620-\u064a]{2,14}){1,4}\s?[,،-]?\s?(?:رقم\s)?\d{1,5}(?![\d%])"
    r"|(?<![\d.,])\d{1,5}\s?[,،-]?\s?شارع(?:\s[\u0620-\u064a]{2,14}){1,3}"
)
_ASIAN = Expression(
    r"[\w一-鿿]{1,12}[路街道巷]\s?\d{1,5}\s?[号號弄]|\d{1,4}[-−]\d{1,4}[-−]\d{1,4}\s?[一-鿿]{2,8}[区市町]"
    r"|[一-鿿]{1,6}[区市町村郡][一-鿿ぁ-んァ-ヶ]{1,10}\s?\d{1,4}(?:-\d{1,4}){1,3}(?!\d)"
    r"|[一-鿿ぁ-んァ-ヶ]{2,14}\d{1,2}丁目\d{1,3}番(?:地)?(?:\d{1,3}号?)?"
    r"|[가-힣]{1,5}[시군구읍면]\s[가-힣]{1,8}(?:로|길)\s?\d{1,4}(?:번길\s?\d{1,3})?(?:-\d{1,3})?(?![\d%])"
    r"|(?<![\d.,/])\d{1,4}(?:/\d{1,4})?\s?(?:หมู่\s?\d{1,2}\s?)?(?:ถนน|ถ\.|ซอย|ซ\.)[\u0e00-\u0e4e]{3,24}"
    r"|(?<![\d.,/])(?:(?i:so|nha)\s)?\d{1,4}(?:/\d{1,4})*\s(?i:đuong|duong|pho|ngo|hem)\s(?:[A-ZĐ]\w{0,10}\s?){1,4}"
    r"|(?<![\d.,/])\d{1,4}(?:/\d{1,4})*\s(?:[A-ZĐ]\w{0,10}\s?){1,4},\s?(?:Quan|Q\.?|Phuong|P\.|Huyen)\s?\w{1,12}"
)
_INDIAN = Expression(
    r"(?<!\w)(?i:(?:house|flat|plot|door|shop)\s?(?:no|number|#)\.?\s?[:-]?\s?)[A-Za-z]?-?\d{1,5}[A-Za-z]?(?:/\d{1,4})?"
    r"(?:\s?,\s?[\w' .-]{2,30}){1,4}"
)
_DEGREES = r"[-+]?\d{1,3}\.\d{%s,}\s?(?:°|deg)?\s?"
_COORDINATES = Expression(
    rf"(?<![\w.,-])(?P<lat>{_DEGREES % 4})[NSns]?(?:\s?[,;/|]\s?|\s)(?P<lon>{_DEGREES % 4})[EWOeow]?(?![\w]|\.\d)"
)
_NAMED_COORDINATES = Expression(
    rf"(?i:(?<!\w)(?:coords?|coordinates?|coordenadas|coordonnees"
    rf"|koordinaten|coordinate|gps|lat|latitude|локация|координаты|坐标|座標)"
    rf"\W{{0,4}})(?P<place>{_DEGREES % 1}[NSns]?(?:\s?[,;/|]\s?|\s)(?:(?i:lon"
    rf"|long|lng|longitude)\W{{0,3}})?{_DEGREES % 1}[EWOeow]?)(?![\w]|\.\d)"
)
_COMPASS = Expression(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,8})?\s?°\s?(?:\d{1,2}\s?['′]\s?(?:\d{1,2}(?:\.\d{1,4})?\s?(?:\"|″|'')\s?)?)?[NS]"
    r"\s?[,;/]?\s?\d{1,3}(?:\.\d{1,8})?\s?°\s?(?:\d{1,2}\s?['′]\s?"
    r"(?:\d{1,2}(?:\.\d{1,4})?\s?(?:\"|″|'')\s?)?)?[EWO](?!\w)"
)
_THREE_WORDS = Expression(
    r"///(?P<a>[a-z]{3,18}\.[a-z]{3,18}\.[a-z]{3,18})(?![\w.])|(?i:\b(?:w3w"
    r"|what3words?)\b\W{1,5})(?P<b>[A-Za-z]{3,18}\.[A-Za-z]{3,18}\.[A-Za-z]{3,18})(?![\w.])"
)
_PLUS_CODE = Expression(
    r"(?<![\w+])(?=[2-9CFGHJMPQRVWX]{0,8}[2-9])(?=[2-9CFGHJMPQRVWX]{0,8}[CFGHJMPQRVWX])"
    r"(?:[2-9CFGHJMPQRVWX]{8}|[2-9CFGHJMPQRVWX]{4})"
    r"\+[2-9CFGHJMPQRVWX]{2,3}(?![\w+])"
)
"""Open Location Codes, whole or with a town behind them. Source: github.com/google/open-location-code, its alphabet."""
_TYPES = frozenset((*_AFTER.split(), *_BEFORE.split(), *_OTHER_TYPES.split()))
_GLUED = Expression(_any(_GERMANIC) + "|[路街道巷区市町村郡目]|[로길]|ถ|ซ|坐标|座標|координат", re.I)


_FEW_WORDS = frozenset(("platz", "weg", "ring", "gate", "vej", "veg", "damm", "ufer", "laan", "plein", "gang"))
"""Types of street that are words of other kinds too: "Platz 1" is a rank, "Spring 2017" a season."""
_ALSO_WORDS = _set("way place court ct circle cir square sq close row hill loop trail alley gardens drive dr cross")
_MEASURES = _set(
    "minute minutes min mins hour hours day days week weeks month months year years mile miles km second seconds pm am "
    "star stars percent cent cents dollar dollars euro euros times people star points direction pac inch"
)
_PUBLIC = _set("cinema cinemas stadium station theater theatre hotel mall gate room screen show fire")
_YEAR = Expression(r"(?:19|20)\d\d(?:[-/]\d{2,4})?")
_ARTICLES = _set("der die das den dem auf in im am an zu meine mein deine unsere diese jede erste zweite dritte danke")


def _is_german(match: re.Match[str]) -> bool:
    """Whether "X platz 1" is a street: no rank, no season, no ordinary word that only ends like a street."""
    kind, first = match["type"].lower(), match["name"]
    if _YEAR.fullmatch(match["number"]) and not match["place"]:
        return False
    if match["gap"] is None:
        return kind not in _FEW_WORDS or not is_ordinary(first + match["type"])
    if first.lower() in _ARTICLES:
        return False
    return kind not in _FEW_WORDS or not is_ordinary(first) or first.lower().endswith("er")


def _is_english(written: str) -> bool:
    """Whether "5 X place" is an address: no measure, and no ordinary words before a word that is not only a street."""
    words = re.findall(r"[A-Za-z][\w'-]*", written.split(",")[0])
    number = re.match(r"\d+", written)
    if any(word.lower() in _MEASURES for word in words[:-1]):
        return False
    kind = next((word for word in reversed(words) if word.lower() in _AFTER.split()), "")
    if kind.islower() and kind in ("way", "place"):
        return False
    names = words[: words.index(kind)] if kind in words else words
    small = number is not None and len(number[0]) < 3
    return not (kind.lower() in _ALSO_WORDS and small and names and all(is_everyday(name, 4.6) for name in names))


def _is_romance(text: str, match: re.Match[str]) -> bool:
    """Whether "via X 5" is an address: no team of a season, no cinema."""
    written = match[0]
    if written[:2].lower() == "al" and written[2:3] != ".":
        return False
    if _YEAR.fullmatch(match["number"]) and "," not in written:
        return False
    return not any(word in _PUBLIC for word in WORD.findall(written.lower()))


class AddressRecognizer(TextRecognizer):
    """Finds street addresses."""

    kind = Kind.STREET_ADDRESS

    def may_hold(self, glance: Glance) -> bool:
        """An address has a house number and a word for its street; a place may be given by degrees or a code."""
        text = glance.text
        if "///" in text or "w3w" in glance.words or not glance.words.isdisjoint(("what3words", "what3word")):
            return True
        if not glance.digits:
            return False
        if not _TYPES.isdisjoint(glance.words) or _GLUED.search(text) is not None:
            return True
        return "+" in text or "°" in text or (glance.digits >= 4 and text.count(".") >= 2)

    def find(self, text: str) -> Iterator[Finding]:
        """Addresses in each language's order, then places that are given by degrees or codes."""
        for match in _ENGLISH.finditer(text):
            if _is_english(match[0]):
                yield match.start(), match.end(), 0.7, "English"
        for match in _ROMANCE.finditer(text):
            if _is_romance(text, match):
                yield match.start(), match.end(), 0.7, "Romance"
        for match in _GERMAN.finditer(text):
            if _is_german(match):
                yield match.start(), match.end(), 0.7, "Germanic"
        for rule, pattern in _STREETS:
            for match in pattern.finditer(text):
                yield match.start(), match.end(), 0.7, rule
        for pattern in (_LOWER_ENGLISH, _LOWER_ROMANCE):
            for match in pattern.finditer(text):
                yield *match.span("address"), 0.65, "after a word for home"
        yield from _places(text)


_STREETS = (
    ("French", _FRENCH),
    ("Germanic", _GERMAN_AT),
    ("Turkish", _TURKISH),
    ("Slavic", _SLAVIC),
    ("Arabic", _ARABIC),
    ("Asian", _ASIAN),
    ("Indian", _INDIAN),
)


def _places(text: str) -> Iterator[Finding]:
    """Degrees of latitude and longitude, three words of what3words, Open Location Codes."""
    for match in _COORDINATES.finditer(text):
        if abs(_degrees(match["lat"])) <= 90 and abs(_degrees(match["lon"])) <= 180:
            yield match.start(), match.end(), 0.8, "coordinates"
    for match in _NAMED_COORDINATES.finditer(text):
        yield *match.span("place"), 0.8, "coordinates"
    for match in _COMPASS.finditer(text):
        yield match.start(), match.end(), 0.85, "coordinates"
    for match in _THREE_WORDS.finditer(text):
        yield *match.span("a" if match["a"] else "b"), 0.8, "three words"
    if "+" in text:
        for match in _PLUS_CODE.finditer(text):
            yield match.start(), match.end(), 0.8, "plus code"


def _degrees(written: str) -> float:
    number = re.match(r"[-+]?\d+\.\d+", written)
    return float(number[0]) if number else 999.0
