"""Numbers of cards, accounts, wallets, addresses on the Internet and national documents: Presidio's own recognisers.

Each of them sees only a short window around what can be such a number, so that its time and its mistakes stay small.
Digits that only pass a checksum are too often a count or a price: those need a word near them that says what they are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.presidio import Borrowed, Form
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import SPACED, either

_DIGITS = re.compile(r"\d+")
_NEAR = 48
"""Characters before a number, and half as many after it, in which a word can say what it is."""

_CARD = Borrowed(
    "CreditCardRecognizer",
    (
        Form(
            "card",
            r"\b(?:4\d{3}|5[0-8]\d{2}|2[2-7]\d{2}|6\d{3}|3\d{3}|1800|2131)"
            r"[- ]?\d{3,4}[- ]?\d{3,4}[- ]?\d{0,5}[- ]?\d{0,3}\b",
            0.3,
        ),
    ),
)
_IBAN = Borrowed("IbanRecognizer")
_IP = Borrowed("IpRecognizer")
_CRYPTO = Borrowed("CryptoRecognizer")
_WALLETS = Borrowed(
    "PatternRecognizer",
    (
        Form("ethereum", r"\b0x[0-9a-fA-F]{40}\b", 0.95),
        Form("tron", r"\bT[1-9A-HJ-NP-Za-km-z]{33}\b", 0.8),
        Form("litecoin", r"\b(?:[LM][1-9A-HJ-NP-Za-km-z]{26,33}|ltc1[a-z0-9]{39,59})\b", 0.75),
        Form("dogecoin", r"\bD[5-9A-HJ-NP-U][1-9A-HJ-NP-Za-km-z]{32}\b", 0.8),
        Form("ripple", r"\br[1-9A-HJ-NP-Za-km-z]{24,34}\b", 0.6),
        Form("cardano", r"\baddr1[a-z0-9]{50,110}\b", 0.95),
        Form("solana", r"\b[1-9A-HJ-NP-Za-km-z]{43,44}\b", 0.6),
        Form("monero", r"\b[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}\b", 0.9),
        Form("bitcoin", r"\b(?:bc1[a-z0-9]{25,60}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b", 0.6),
    ),
    entity=Kind.CRYPTO_WALLET.value,
    flags=re.DOTALL,
)


@dataclass(frozen=True)
class _Document:
    """One of Presidio's recognisers, what its numbers look like, and the words that must be near, if any."""

    recognizer: str
    candidate: str
    words: str = ""


_IBAN_LENGTH_LIST = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27
GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27
MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23
TN24 TR26 UA29 VA22 VG24 XK20
"""
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTH_LIST.split()}
"""Characters by country, from the SWIFT IBAN registry."""
_ID_WORDS = "id ssn social security tax number no nr citizen national passport identity identification card personal"
_NATIONAL = (
    _Document("UsSsnRecognizer", r"\d{3}[- .]\d{2}[- .]\d{4}"),
    _Document("UsSsnRecognizer", r"\d{9}", "ssn social"),
    _Document("UsItinRecognizer", r"9\d{2}[- ]?\d{2}[- ]?\d{4}", "itin tax taxpayer"),
    _Document("UkNinoRecognizer", r"[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]"),
    _Document("NhsRecognizer", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "nhs"),
    _Document("EsNifRecognizer", r"\d{7,8}[- ]?[A-Za-z]", "dni nif documento identidad"),
    _Document("EsNieRecognizer", r"[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]"),
    _Document("ItFiscalCodeRecognizer", r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]"),
    _Document("PlPeselRecognizer", r"\d{11}", "pesel"),
    _Document("SgFinRecognizer", r"[STFGMstfgm]\d{7}[A-Za-z]"),
    _Document("InPanRecognizer", r"[A-Za-z]{5}\d{4}[A-Za-z]", "pan card income tax"),
    _Document("InAadhaarRecognizer", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", "aadhaar aadhar adhar uidai uid"),
    _Document("AuTfnRecognizer", r"\d{3} ?\d{3} ?\d{3}", "tfn tax file"),
    _Document("AuMedicareRecognizer", r"[2-6]\d{3} ?\d{5} ?\d", "medicare"),
    _Document("FiPersonalIdentityCodeRecognizer", r"\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-Ya-y]"),
    _Document("KrRrnRecognizer", r"\d{6}-[1-8]\d{6}"),
    _Document("SePersonnummerRecognizer", r"(?:19|20)?\d{6}[-+]\d{4}"),
    _Document("ThTninRecognizer", r"[1-8](?:-\d{4}-\d{5}-\d{2}-\d|\d{12})", _ID_WORDS),
    _Document("TrNationalIdRecognizer", r"[1-9]\d{10}", "tc kimlik tckn no"),
    _Document("NgNinRecognizer", r"\d{11}", "nin national identification"),
    _Document(
        "DeTaxIdRecognizer", r"[1-9]\d(?: ?\d{3}){3}", "steuer steuerid steuernummer idnr tin identifikationsnummer"
    ),
    _Document(
        "DeSocialSecurityRecognizer", r"\d{2} ?\d{6} ?[A-Za-z] ?\d{3}", "sozialversicherung rentenversicherung sv"
    ),
    _Document("CaSinRecognizer", r"\d{3}[- ]\d{3}[- ]\d{3}", "sin social insurance"),
    _Document("ZaIdNumberRecognizer", r"\d{13}", _ID_WORDS),
)
_OWN_IDS = Borrowed(
    "PatternRecognizer",
    (
        # Formats that Presidio does not know: Brazil's CPF as it is printed, Chile's RUT, Mexico's CURP.
        Form("cpf", r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b", 0.85),
        Form("rut", r"\b\d{1,2}\.\d{3}\.\d{3}-[\dkK]\b", 0.8),
        Form("curp", r"\b[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d\b", 0.9),
    ),
    entity=Kind.NATIONAL_ID.value,
)


class _Windowed(TextRecognizer):
    """Lets recognisers of Presidio look at windows of a text."""

    def _in_windows(
        self, text: str, candidate: re.Pattern[str], recognizer: Borrowed, words: re.Pattern[str] | None = None
    ) -> Iterator[Finding]:
        for match in candidate.finditer(text):
            start, end = match.span()
            if words is not None and not words.search(text[max(0, start - _NEAR) : end + _NEAR // 2]):
                continue
            window = self._window(text[start:end])
            for result in recognizer.look(window):
                # A word that names the document is worth more than the shape alone.
                score = 0.85 if words is not None and result.score < 0.85 else float(result.score)
                yield start + result.start, start + result.end, score, recognizer.name

    def _window(self, written: str) -> str:
        return written


class CardRecognizer(TextRecognizer):
    """Finds numbers of payment cards: the known beginnings, 12 to 19 digits, and Luhn's checksum."""

    kind = Kind.CREDIT_CARD
    needs_digits = True
    _candidate = re.compile(r"(?<![\w.,+])\d(?:[ .-]?\d){11,18}(?![\w%])")

    def may_hold(self, glance: Glance) -> bool:
        """A card has at least twelve digits."""
        return glance.digits >= 12

    def find(self, text: str) -> Iterator[Finding]:
        """Candidates that are no repeated or rising digits, checked by Presidio."""
        for match in self._candidate.finditer(text):
            # The digits of an expiry date may follow: shorter readings end where a group does.
            ends = [group.end() for group in _DIGITS.finditer(text, *match.span())]
            readings = (self._reading(text, match.start(), end) for end in reversed(ends))
            best = next((reading for reading in readings if reading is not None), None)
            if best is not None:
                yield best

    def _reading(self, text: str, start: int, end: int) -> Finding | None:
        window = text[start:end].replace(".", "-")
        digits = [char for char in window if char.isdecimal()]
        if len(set(digits)) < 2 or not 12 <= len(digits) <= 19:
            return None
        for result in _CARD.look(window):
            return start + result.start, start + result.end, float(result.score), _CARD.name
        return None


class BankAccountRecognizer(_Windowed):
    """Finds international bank account numbers, by country format and checksum."""

    kind = Kind.IBAN
    needs_digits = True
    _candidate = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,32}")

    def may_hold(self, glance: Glance) -> bool:
        """An account number has two check digits and more."""
        return glance.digits >= 6

    def find(self, text: str) -> Iterator[Finding]:
        """Candidates in any casing, checked by Presidio."""
        yield from self._in_windows(text, self._candidate, _IBAN)

    def _window(self, written: str) -> str:
        """As many characters as an account number of that country has; words may follow it."""
        length = _IBAN_LENGTHS.get(written[:2].upper(), len(written))
        ends = [place for place, char in enumerate(written, start=1) if char.isalnum()][:length]
        return written[: ends[-1]].upper()


_VERSIONED = """
version ver v update patch build firmware release driver drivers ios ipados macos android windows chrome firefox safari
edge opera python java php node nodejs ruby rust golang linux kernel ubuntu debian unity unreal minecraft app software
sdk api ui after since section chapter step rule article fw os beta rc dlc hotfix
"""
_VERSION_BEFORE = Expression(rf"\b(?:{'|'.join(_VERSIONED.split())})\.?\s?(?:to\s)?$", re.I)
_ADDRESS_WORDS = """
ip ips ipul ipv4 ipv6 ip_address server servers srv host ping dns addr address adress adresse direccion endereco
indirizzo adres
connect join port proxy vpn router gateway ddos dos dox doxx doxxed leak leaked subnet localhost lan wan ssh
rdp telnet at айпи ип сервер адрес آي_بي سيرفر آيبي आईपी
"""
_ADDRESSED = Expression(
    rf"(?:(?<![{SPACED}])"
    rf"(?:{either(' '.join(w for w in _ADDRESS_WORDS.split() if re.match(f'[{SPACED}]', w)))})(?![{SPACED}])"
    r"|服务器|地址|サーバー|アドレス|서버|아이피|주소)",
    re.I,
)
_GLUED_ADDRESS = Expression(r"(?:ip|server|host|addr|address|айпи)$", re.I)
_FEW = 6
"""Digits up to which four numbers with dots are as well a version as an address."""


class IpAddressRecognizer(TextRecognizer):
    """Finds addresses of computers: IPv4, IPv6, and those of network cards (MAC)."""

    kind = Kind.IP_ADDRESS
    needs_digits = True

    def may_hold(self, glance: Glance) -> bool:
        """An address has three signs between its parts, and digits."""
        text = glance.text
        return glance.digits >= 1 and (
            any(text.count(sign) >= 3 for sign in ".,-")
            or text.count(":") >= 2
            or (glance.digits >= 4 and (text.count(".") >= 2 or text.lower().count("dot") >= 3))
        )

    def find(self, text: str) -> Iterator[Finding]:
        """Whole addresses, as the standard library reads them."""
        for match in _VERSION_6.finditer(text):
            end = _end_of_version_6(match)
            if end:
                yield match.start(), end, 0.9, "version 6"
        for match in _VERSION_4.finditer(text):
            if _is_version_4(text, match):
                yield match.start(), match.end(), 0.7, "version 4"
        for match in _VEILED_4.finditer(text):
            octets = [int(octet) for octet in _DIGITS.findall(match[0])]
            around = text[max(0, match.start() - 24) : match.start()] + " | " + text[match.end() : match.end() + 16]
            if max(octets) < 256 and _ADDRESSED.search(around) and "ip" in around.lower():
                yield match.start(), match.end(), 0.7, "version 4, written otherwise"
        for match in _MAC.finditer(text):
            lettered = any(char.isalpha() for char in match[0])
            if lettered or "mac" in text[max(0, match.start() - 20) : match.end() + 20].lower():
                yield match.start(), match.end(), 0.85, "network card"


_VERSION_4 = Expression(
    r"(?<![0-9_])(?<!\w\.)(?P<address>(?:\d{1,3}\.){3}\d{1,3})(?P<net>/\d{1,2})?(?P<port>:\d{1,5})?(?!\w|\.\d)"
)
_VEILED_4 = Expression(
    r"(?<![\w.,])(?<!\d-)\d{1,3}(?:(?: ?[.,-] ?| ?[\[({]\s?(?:\.|dot|punto"
    r"|ponto|punkt)\s?[\])}] ?| (?:dot|punto|ponto|punkt) )\d{1,3}){3}"
    r"(?!\w|[.,-]\d)",
    re.I,
)
_VERSION_6 = Expression(
    r"(?<![\w.])(?:(?<=[A-Za-z]:)|(?<=v6:)|(?<!:))(?P<address>[0-9A-Fa-f]{0,4}"
    r"(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?<=:\d)|(?<=:\d\d)|(?<=:\d\d\d))?"
    r"(?:(?:\.\d{1,3}){3})?)(?P<zone>%\w{1,15})?(?P<net>/\d{1,3})?(?![\w:]|\.\d)"
)
_MAC = Expression(
    r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}"
    r"(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![\w:-]|\.\w)"
)
_FEWEST_HEX = 4


def _end_of_version_6(match: re.Match[str]) -> int:
    """Where an address of version 6 ends that begins a match; 0 if it is none."""
    address, end = match["address"], match.end()
    if address.endswith(":") and not address.endswith("::") and match.end("address") == end:
        address, end = address[:-1], end - 1
    if not any(char.isdecimal() for char in address) or not _is_address(address):
        return 0
    # "1::2" is no address that anybody has; "::1" is everybody's own.
    short = sum(char.isalnum() for char in address) < _FEWEST_HEX and not address.startswith("::")
    return 0 if short else end


def _is_version_4(text: str, match: re.Match[str]) -> bool:
    """Whether four numbers with dots are an address and no version: by the word before, and by how many digits."""
    start = match.start()
    before = text[max(0, start - 24) : start]
    if not _is_address(match["address"]):
        return False
    if before and (before[-1].isalpha() and before[-1].isascii()):
        return _GLUED_ADDRESS.search(before) is not None
    if _VERSION_BEFORE.search(before):
        return False
    if sum(char.isdecimal() for char in match["address"]) > _FEW or match["port"] or match["net"]:
        return True
    if not before.strip() or _ADDRESSED.search(before) or _ADDRESSED.search(text[match.end() : match.end() + 16]):
        return True
    return not before.rstrip()[-1:].isalpha()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_CASES = re.compile(r"[a-z][A-Z]|[A-Z][a-z]")
_MOST_CASES = 8


def _is_mixed(word: str) -> bool:
    """Whether a long word is no speech: with small letters and digits, or with capitals all over."""
    if any(char.isdecimal() for char in word) and any(char.islower() for char in word):
        return True
    return len(_CASES.findall(word)) >= _MOST_CASES


class WalletRecognizer(_Windowed):
    """Finds addresses of cryptocurrency wallets: Bitcoin's by checksum, others by their form."""

    kind = Kind.CRYPTO_WALLET
    _candidate = re.compile(r"(?<!\w)[0-9A-Za-z]{25,120}(?!\w)")

    def may_hold(self, glance: Glance) -> bool:
        """A wallet is a long word."""
        return max(map(len, glance.words), default=0) >= 25

    def find(self, text: str) -> Iterator[Finding]:
        """Long words of mixed letters and digits that have a wallet's form."""
        for match in self._candidate.finditer(text):
            word = match[0]
            if len(set(word)) < 10 or not _is_mixed(word):
                continue
            for recognizer in (_CRYPTO, _WALLETS):
                for result in recognizer.look(word):
                    yield (
                        match.start() + result.start,
                        match.start() + result.end,
                        result.score,
                        recognizer.name,
                    )


class NationalIdRecognizer(_Windowed):
    """Finds numbers of national documents that Presidio knows, and a few that it does not."""

    kind = Kind.NATIONAL_ID
    needs_digits = True

    def may_hold(self, glance: Glance) -> bool:
        """The shortest of them have four digits."""
        return glance.digits >= 4

    def find(self, text: str) -> Iterator[Finding]:
        """Candidates of every document, checked by Presidio."""
        for candidate, words, recognizer in _documents():
            yield from self._in_windows(text, candidate, recognizer, words)
        yield from self._in_windows(text, _OWN_CANDIDATE, _OWN_IDS)
        for match in _CHINESE.finditer(text):
            if _is_chinese_id(match[0]):
                yield match.start(), match.end(), 0.9, "resident identity number"


_OWN_CANDIDATE = re.compile(r"(?<![\w.-])(?:[\d.]{9,11}-[\dkK]{1,2}|[A-Za-z]{4}\d{6}[A-Za-z0-9]{8})(?![\w-])")


_CHINESE = Expression(
    r"(?<![0-9A-Za-z])[1-8]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx](?![0-9A-Za-z])"
)


def _is_chinese_id(number: str) -> bool:
    """Whether the last character is the check of the others. Source: GB 11643-1999 (ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return "10X98765432"[total % 11] == number[17].upper()


@cache
def _documents() -> tuple[tuple[re.Pattern[str], re.Pattern[str] | None, Borrowed], ...]:
    return tuple(
        (
            re.compile(rf"(?<![\w.,-])(?:{document.candidate})(?![\w%-])"),
            re.compile(rf"(?<!\w)(?:{'|'.join(document.words.split())})(?!\w)", re.I) if document.words else None,
            Borrowed(document.recognizer),
        )
        for document in _NATIONAL
    )
