"""A labelled corpus for the scrub: templates filled by Faker in many locales, every span known exactly, from one seed.

The templates are split once and for all: rules may be written against `development`, and are measured on `held_out`.
"""

import random
import re
from dataclasses import dataclass
from pathlib import Path

import phonenumbers
from faker import Faker

TEMPLATES = Path(__file__).parent / "scrub_templates"
LOCALES = (
    *("en_US", "en_GB", "en_AU", "en_IN", "es_ES", "es_MX", "fr_FR", "de_DE", "it_IT", "pt_BR", "nl_NL", "pl_PL"),
    *("sv_SE", "tr_TR", "id_ID", "ru_RU", "ro_RO", "cs_CZ"),
)
PHONE_REGIONS = (
    *("US", "GB", "CA", "AU", "IN", "DE", "FR", "ES", "IT", "BR", "MX", "NL", "PL", "TR", "RU", "ID", "PH", "NG", "KE"),
    *("ZA", "JP", "KR", "CN", "PK", "EG", "SA", "AE", "SE", "PT", "AR", "VN", "TH", "MY", "SG", "UA", "RO", "GR", "BD"),
)
PROVIDERS = ("gmail", "yahoo", "hotmail", "outlook", "icloud", "protonmail")
_SLOT = re.compile(r"\{(\w+)\}")
_KEYCAP = "\ufe0f\u20e3"
_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_BOLD = {chr(ord("a") + i): chr(0x1D5EE + i) for i in range(26)}


@dataclass(frozen=True)
class Item:
    """A text, what is counted with it, and the spans that must go."""

    text: str
    section: str
    spans: tuple[tuple[int, int], ...]


def templates(part: str) -> dict[str, list[str]]:
    """The templates of a part, `development` or `held_out`, by section."""
    found: dict[str, list[str]] = {}
    for line in (TEMPLATES / f"{part}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]") and "⟦" not in line:
            section = found.setdefault(line[1:-1], [])
        elif line.strip() and not line.startswith("# "):
            section.append(line)
    return found


def corpus(part: str, size: int, seed: int) -> list[Item]:
    """`size` items of a part, the sections in turn, so that each is equally often there."""
    maker = _Maker(seed)
    by_section = templates(part)
    weights = [("clean", 3), *((name, 2 if name in _MAIN else 1) for name in by_section if name != "clean")]
    turns = [name for name, weight in weights for _ in range(weight)]
    return [maker.item(by_section, turns[number % len(turns)]) for number in range(size)]


_MAIN = ("handle", "handle_veiled", "email", "email_veiled", "phone", "phone_veiled", "url", "url_veiled")

_DOCUMENTS = {
    "cpf": ("pt_BR", "cpf"),
    "codice": ("it_IT", "ssn"),
    "pesel": ("pl_PL", "pesel"),
    "hetu": ("fi_FI", "ssn"),
    "personnummer": ("sv_SE", "ssn"),
    "aadhaar": ("en_IN", "aadhaar_id"),
    "sin": ("en_CA", "ssn"),
    "tckn": ("tr_TR", "ssn"),
    "rut": ("es_CL", "person_rut"),
    "curp": ("es_MX", "curp"),
    "rrn": ("ko_KR", "ssn"),
    "cn_id": ("zh_CN", "ssn"),
}
"""Slots that Faker fills: a locale of it and the name of its method."""


class _Maker:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.fakers = [Faker(locale) for locale in LOCALES]
        for number, faker in enumerate(self.fakers):
            faker.seed_instance(seed * 1000 + number)
        self.english = self.fakers[0]
        self.documents = {locale: Faker(locale) for locale, _ in _DOCUMENTS.values()}
        for number, faker in enumerate(self.documents.values()):
            faker.seed_instance(seed * 1000 + 500 + number)

    def item(self, by_section: dict[str, list[str]], section: str) -> Item:
        """One filled template."""
        self.faker = self.random.choice(self.fakers)
        text, spans, start = "", [], 0
        for part in re.split(r"(\{\w+\}|⟦|⟧)", self.random.choice(by_section[section])):
            if part == "⟦":
                start = len(text)
            elif part == "⟧":
                spans.append((start, len(text)))
            elif _SLOT.fullmatch(part) and part[1:-1] in _DOCUMENTS:
                text += self._document(part[1:-1])
            elif _SLOT.fullmatch(part) and hasattr(self, f"_{part[1:-1]}"):
                text += getattr(self, f"_{part[1:-1]}")()
            else:
                text += part
        return Item(text, section, tuple(spans))

    # ------------------------------------------------------------------ names

    def _handle(self) -> str:
        base = self.faker.user_name()
        if not base.isascii() or len(base) < 4:
            base = self.english.user_name()
        kind = self.random.random()
        first = re.sub(r"[^a-z]", "", base) or "someone"
        if kind < 0.55:
            return base.replace("-", "_").rstrip("._")
        if kind < 0.7:
            return f"{first}_{self.random.choice(('x', 'official', 'vibes', 'edits', 'real', 'o'))}"
        if kind < 0.8:
            return f"{first}.{self.random.choice(('xo', 'jpg', 'art', 'fan', 'tv'))}{self.random.randint(1, 99)}"
        if kind < 0.9:
            return f"{first}{self.random.randint(1, 2010)}"
        return f"its{first}{self.random.choice(('', '_', 'x', '07'))}".rstrip("_")

    def _handle_wide(self) -> str:
        return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in self._handle())

    def _handle_bold(self) -> str:
        return "".join(_BOLD.get(char, char) for char in self._handle())

    def _handle_zero_width(self) -> str:
        handle = self._handle()
        at = self.random.randint(1, len(handle) - 1)
        return handle[:at] + "\u200b" + handle[at:]

    def _handle_upper(self) -> str:
        return self._handle().upper()

    def _word(self) -> str:
        return self.random.choice(
            ("love", "this", "so", "good", "pls", "lol", "wow", "jaja", "omg", "bro", "real", "ok")
        )

    # ------------------------------------------------------------------ mail and links

    def _email(self) -> str:
        return self.random.choice(
            (self.faker.ascii_email, self.faker.ascii_free_email, self.faker.ascii_company_email)
        )()

    def _email_upper(self) -> str:
        return self._email().upper()

    def _local(self) -> str:
        return self._handle().replace("$", "")

    def _provider(self) -> str:
        return self.random.choice(PROVIDERS)

    def _tld(self) -> str:
        return self.random.choice(("com", "net", "org", "de", "co"))

    def _domain(self) -> str:
        return self.faker.domain_name()

    def _domain_com(self) -> str:
        return f"{self._site()}.{self.random.choice(('com', 'com', 'net', 'org', 'io', 'co.uk', 'shop', 'tv', 'gg'))}"

    def _site(self) -> str:
        return re.sub(r"[^a-z0-9]", "", self.english.domain_word()) + self.random.choice(("", "shop", "24", "hub"))

    def _site_upper(self) -> str:
        return self._site().upper()

    def _path(self) -> str:
        return self.english.uri_path(1)

    def _code(self) -> str:
        return "".join(self.random.choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=7))

    # ------------------------------------------------------------------ phone numbers

    def _number(self) -> phonenumbers.PhoneNumber:
        """A valid mobile number of a random region."""
        region = self.random.choice(PHONE_REGIONS)
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        national = phonenumbers.national_significant_number(example)
        for _ in range(50):
            tail = "".join(self.random.choices("0123456789", k=6))
            number = phonenumbers.parse(national[:-6] + tail, region)
            if phonenumbers.is_valid_number(number):
                return number
        return example

    def _phone(self) -> str:
        if self.random.random() < 0.25:
            return self.faker.phone_number()
        number = self._number()
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        international = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        style = self.random.randrange(7)
        if style == 0:
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if style == 1:
            return international
        if style == 2:
            return international.replace(" ", "-")
        if style == 3:
            return "00" + international[1:]
        if style == 4:
            return re.sub(r"[ -]", ".", national.replace("(", "").replace(")", ""))
        if style == 5:
            return re.sub(r"\D", "", national)
        return national

    def _phone_plus(self) -> str:
        number = self._number()
        styles = (phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        return phonenumbers.format_number(number, self.random.choice(styles))

    def _plain_digits(self) -> str:
        national = phonenumbers.format_number(self._number(), phonenumbers.PhoneNumberFormat.NATIONAL)
        return re.sub(r"\D", "", national)

    def _phone_keycaps(self) -> str:
        return "".join(digit + _KEYCAP for digit in self._plain_digits())

    def _phone_words(self) -> str:
        return " ".join(_DIGIT_WORDS[int(digit)] for digit in self._plain_digits())

    def _phone_spaced(self) -> str:
        return " ".join(self._plain_digits())

    def _phone_wide(self) -> str:
        return "".join(chr(ord(digit) + 0xFEE0) for digit in self._plain_digits())

    def _a3(self) -> str:
        return self.random.choice(("212", "310", "415", "646", "702", "713", "786", "832", "904", "917"))

    def _b3(self) -> str:
        return str(self.random.randint(220, 989))

    def _c4(self) -> str:
        return f"{self.random.randint(12, 9987):04d}"

    def _c2(self) -> str:
        return f"{self.random.randint(10, 98)}"

    # ------------------------------------------------------------------ numbers of documents

    def _ipv4(self) -> str:
        return self.english.ipv4_public()

    def _ipv6(self) -> str:
        return self.english.ipv6()

    def _card(self) -> str:
        return self.english.credit_card_number(self.random.choice(("visa16", "mastercard", "amex", "discover")))

    def _card_spaced(self) -> str:
        number = self.english.credit_card_number(self.random.choice(("visa16", "mastercard", "discover")))
        return self.random.choice((" ", "-")).join(number[i : i + 4] for i in range(0, 16, 4))

    def _iban(self) -> str:
        return str(self.random.choice([f for f in self.fakers if f.locales[0] in _IBAN_LOCALES]).iban())

    def _iban_spaced(self) -> str:
        iban = self._iban()
        return " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))

    def _btc(self) -> str:
        return self.random.choice(
            ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
             "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
        )  # fmt: skip

    def _eth(self) -> str:
        return "0x" + "".join(self.random.choices("0123456789abcdefABCDEF", k=40))

    def _ssn(self) -> str:
        return self.english.ssn()

    def _nino(self) -> str:
        letters = self.random.choice(("AB", "CE", "HJ", "JK", "RS"))
        return f"{letters}{self.random.randint(100000, 999999)}{self.random.choice('ABCD')}"

    def _ipv6_short(self) -> str:
        words = (f"{self.random.randint(1, 0xFFFF):x}" for _ in range(3))
        return f"2001:db8::{':'.join(words)}"

    def _card_amex_spaced(self) -> str:
        number = self.english.credit_card_number("amex")
        return f"{number[:4]} {number[4:10]} {number[10:]}"

    def _card_dotted(self) -> str:
        number = self.english.credit_card_number("visa16")
        return ".".join(number[i : i + 4] for i in range(0, 16, 4))

    def _card_wide(self) -> str:
        return "".join(chr(ord(digit) + 0xFEE0) for digit in self.english.credit_card_number("mastercard"))

    def _iban_lower(self) -> str:
        return self._iban().lower()

    def _iban_dashed(self) -> str:
        return self._iban_spaced().replace(" ", "-")

    def _base58(self, prefix: str, length: int) -> str:
        return prefix + "".join(self.random.choices(_BASE58, k=length - len(prefix)))

    def _tron(self) -> str:
        return self._base58("T", 34)

    def _ltc(self) -> str:
        return self._base58(self.random.choice("LM"), 34)

    def _doge(self) -> str:
        return self._base58("D" + self.random.choice("5678ABCDEFGHJKLMNPQRSTU"), 34)

    def _sol(self) -> str:
        return self._base58("", self.random.choice((43, 44)))

    def _xmr(self) -> str:
        return self._base58("4" + self.random.choice("0123456789AB"), 95)

    def _xrp(self) -> str:
        return self._base58("r", self.random.randint(33, 34))

    def _ada(self) -> str:
        return "addr1q" + "".join(self.random.choices("023456789acdefghjklmnpqrstuvwxyz", k=97))

    def _document(self, slot: str) -> str:
        """A number from Faker, some of whose providers draw from Python's common generator and not from their own."""
        locale, method = _DOCUMENTS[slot]
        before = random.getstate()
        random.seed(self.random.getrandbits(32))
        try:
            return str(getattr(self.documents[locale], method)())
        finally:
            random.setstate(before)

    def _ssn_spaced(self) -> str:
        return self._ssn().replace("-", " ")

    def _nino_spaced(self) -> str:
        nino = self._nino()
        return " ".join((nino[:2], nino[2:4], nino[4:6], nino[6:8], nino[8]))

    def _dni(self) -> str:
        number = self.random.randint(10**7, 10**8 - 1)
        return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"

    def _nie(self) -> str:
        first, number = self.random.randrange(3), self.random.randint(0, 10**7 - 1)
        return f"{'XYZ'[first]}{number:07d}{'TRWAGMYFPDXBNJZSQVHLCKE'[(first * 10**7 + number) % 23]}"

    def _aadhaar_spaced(self) -> str:
        number = self._document("aadhaar")
        return " ".join((number[:4], number[4:8], number[8:]))

    def _nhs(self) -> str:
        while True:
            digits = [self.random.randint(0, 9) for _ in range(9)]
            check = 11 - sum(digit * (10 - place) for place, digit in enumerate(digits)) % 11
            if check != 10 and digits[0] in (4, 6, 7):
                whole = "".join(map(str, [*digits, check % 11]))
                return f"{whole[:3]} {whole[3:6]} {whole[6:]}"

    def _street_en_lower(self) -> str:
        return self._street_en().lower()

    def _street_fr(self) -> str:
        name = self.random.choice(("Victor Hugo", "de la République", "des Lilas", "Jean Jaurès", "du Moulin"))
        return f"{self.random.randint(1, 180)} {self.random.choice(('rue', 'avenue', 'boulevard'))} {name}"

    def _street_es(self) -> str:
        name = self.random.choice(("Mayor", "de Alcalá", "Cervantes", "San Juan", "del Sol"))
        return f"{self.random.choice(('Calle', 'Avenida', 'Plaza'))} {name} {self.random.randint(1, 180)}"

    def _street_it(self) -> str:
        name = self.random.choice(("Roma", "Garibaldi", "Giuseppe Verdi", "Dante", "San Marco"))
        return f"{self.random.choice(('Via', 'Viale', 'Corso'))} {name} {self.random.randint(1, 180)}"

    def _street_pt(self) -> str:
        name = self.random.choice(("das Flores", "Augusta", "da Liberdade", "Santos Dumont"))
        return f"{self.random.choice(('Rua', 'Avenida', 'Travessa'))} {name}, {self.random.randint(1, 980)}"

    def _street_nl(self) -> str:
        name = self.random.choice(("Kerk", "Dorps", "Molen", "School"))
        return f"{name}{self.random.choice(('straat', 'laan', 'weg'))} {self.random.randint(1, 180)}"

    def _street_pl(self) -> str:
        name = self.random.choice(("Kwiatowa", "Mickiewicza", "Polna", "Długa"))
        return f"ul. {name} {self.random.randint(1, 180)}"

    def _plz(self) -> str:
        return str(self.random.randint(10115, 14199))

    def _street_en(self) -> str:
        return f"{self.random.randint(2, 9899)} {self.english.last_name()} {self.random.choice(_STREETS)}"

    def _street_de(self) -> str:
        name = self.random.choice(("Haupt", "Bahnhof", "Garten", "Schiller", "Goethe", "Linden"))
        return f"{name}{self.random.choice(('straße', 'str.', 'weg', 'allee'))} {self.random.randint(1, 180)}"

    # ------------------------------------------------------------------ numbers that are nobody's

    def _rating(self) -> str:
        return self.random.choice(("9/10", "10/10", "8.5/10", "100/10", "5 stars", "11/10", "0/10"))

    def _percent(self) -> str:
        return self.random.choice(("100%", "99.9%", "1000000%", "50 %", "110%", "100000000%"))

    def _price(self) -> str:
        return self.random.choice(("$5", "$1,299.99", "20€", "£3.50", "₹1,00,000", "5.99", "$100000", "1.000.000 €"))

    def _score(self) -> str:
        return self.random.choice(("3-2", "102-98", "21:19", "7-0", "6-4 7-5 6-2", "110-108", "2-1"))

    def _year(self) -> str:
        return str(self.random.randint(1960, 2030))

    def _age(self) -> str:
        return str(self.random.randint(2, 99))

    def _count(self) -> str:
        return self.random.choice(
            ("1,000,000", "10000000", "25k", "3.4M", "100,000", "1 000 000", "12.345.678", "987654")
        )

    def _time(self) -> str:
        return f"{self.random.randint(0, 23)}:{self.random.randint(0, 59):02d}"

    def _date(self) -> str:
        return self.english.date(self.random.choice(("%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%m-%Y")))

    def _n1(self) -> str:
        return str(self.random.randint(1, 9))

    def _n2(self) -> str:
        return str(self.random.randint(10, 99))

    def _n4(self) -> str:
        return str(self.random.randint(1000, 9999))

    def _n10(self) -> str:
        return str(self.random.randint(10**9, 10**10 - 1))


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_IBAN_LOCALES = ("de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "sv_SE", "en_GB", "tr_TR")
_STREETS = ("Street", "St", "Avenue", "Ave", "Road", "Rd", "Drive", "Lane", "Blvd", "Court")
