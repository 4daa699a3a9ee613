"""Numbers of cards, accounts, wallets, addresses on the Internet and national documents: Presidio's own recognisers.

Each of them sees only a short window around what can be such a number, so that its time and its mistakes stay small.
Digits that only pass a checksum are too often a count or a price: those need a word near them that says what they are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.presidio import Borrowed, Form
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer

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
version ver v update patch build firmware release driver ios ipados macos android windows chrome firefox safari edge
opera python java php node nodejs ruby rust golang linux kernel ubuntu debian unity unreal minecraft app software sdk
api
"""
_VERSION_BEFORE = re.compile(rf"\b(?:{'|'.join(_VERSIONED.split())})\.?\s?(?:to\s)?$", re.I)


class IpAddressRecognizer(_Windowed):
    """Finds addresses of computers, IPv4 and IPv6."""

    kind = Kind.IP_ADDRESS
    _candidate = re.compile(
        r"(?<!\w)(?<!\w\.)(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?::\d{1,5})?(?!\w|\.\d)"
        r"|(?<![\w.:])(?=[0-9A-Fa-f]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{6,45}(?:%\w+)?(?![\w:])"
    )

    def may_hold(self, glance: Glance) -> bool:
        """An address has three dots or two colons, and digits."""
        return glance.digits >= 1 and (glance.text.count(".") >= 3 or glance.text.count(":") >= 2)

    def find(self, text: str) -> Iterator[Finding]:
        """Candidates, checked by Presidio; addresses of version 6 by the standard library, and whole."""
        for match in _VERSION_6.finditer(text):
            if any(char.isdecimal() for char in match[0]) and _is_address(match[0]):
                yield match.start(), match.end(), 0.9, "version 6"
        for finding in self._in_windows(text, self._candidate, _IP):
            if not _VERSION_BEFORE.search(text[max(0, finding[0] - 24) : finding[0]]):
                yield finding


_VERSION_6 = re.compile(
    r"(?<![\w.:])(?=[0-9A-Fa-f]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{2,45}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:]|\.\d)"
)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class WalletRecognizer(_Windowed):
    """Finds addresses of cryptocurrency wallets: Bitcoin's by checksum, others by their form."""

    kind = Kind.CRYPTO_WALLET
    _candidate = re.compile(r"(?<!\w)[0-9A-Za-z]{25,120}(?!\w)")
    _mixed = re.compile(r"(?=.*\d)(?=.*[a-z])")

    def may_hold(self, glance: Glance) -> bool:
        """A wallet is a long word with digits."""
        return glance.digits >= 2 and max(map(len, glance.words), default=0) >= 25

    def find(self, text: str) -> Iterator[Finding]:
        """Long words of mixed letters and digits that have a wallet's form."""
        for match in self._candidate.finditer(text):
            word = match[0]
            if len(set(word)) < 10 or not self._mixed.match(word):
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

    def may_hold(self, glance: Glance) -> bool:
        """The shortest of them have four digits."""
        return glance.digits >= 4

    def find(self, text: str) -> Iterator[Finding]:
        """Candidates of every document, checked by Presidio."""
        for candidate, words, recognizer in _documents():
            yield from self._in_windows(text, candidate, recognizer, words)
        yield from self._in_windows(text, _OWN_CANDIDATE, _OWN_IDS)
        for rule, words, candidate in _NAMED_NUMBERS:
            for match in candidate.finditer(text):
                if words.search(text[max(0, match.start() - _NEAR) : match.start()]):
                    yield match.start(), match.end(), 0.85, rule
        for match in _CHINESE.finditer(text):
            if _is_chinese_id(match[0]):
                yield match.start(), match.end(), 0.9, "resident identity number"


_OWN_CANDIDATE = re.compile(r"(?<![\w.-])(?:[\d.]{9,11}-[\dkK]{1,2}|[A-Za-z]{4}\d{6}[A-Za-z0-9]{8})(?![\w-])")


def _said_before(listed: str) -> re.Pattern[str]:
    """Any of the words, and no end of a sentence between them and the end."""
    words = "|".join(words.replace("_", r"[ -]?") for words in listed.split())
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)[^.!?]{{0,32}}$", re.I)


_WITH_DIGITS = r"(?=[A-Za-z]*\d)(?=(?:[A-Za-z]*\d){4})"
_NAMED_NUMBERS = tuple(
    (
        rule,
        re.compile(
            rf"(?<!\w)(?:{'|'.join(words.replace('_', r'[ -]?') for words in listed.split())})(?!\w)[^.!?]{{0,32}}$",
            re.I,
        ),
        re.compile(rf"(?<![\w.,/-])(?:{candidate})(?![\w%]|[.,]\d)"),
    )
    for rule, listed, candidate in (
        (
            "passport",
            "passport pasaporte passaporte passaporto passeport reisepass paspoort pasaport паспорт пасспорт paszport",
            rf"{_WITH_DIGITS}(?:[A-Za-z]{{0,3}}\d{{6,9}}[A-Za-z]?|[A-Za-z0-9]{{8,9}})",
        ),
        (
            "driving licence",
            "driving_licen[cs]e driver'?s?_licen[cs]e licencia_de_conducir permis_de_conduire fuhrerschein "
            "patente_di_guida carteira_de_motorista cnh rijbewijs",
            rf"{_WITH_DIGITS}[A-Za-z0-9]{{7,18}}",
        ),
        ("national insurance", "ni_number national_insurance nino", r"[A-Za-z]{2} ?(?:\d{2} ?){3}[A-Da-d]"),
        (
            "bank account",
            "account_(?:no|number|num) acc_no a/c_(?:no|number)? bank_account kontonummer numero_de_cuenta "
            "compte_bancaire conta_corrente rekening_?nummer sort_code routing_(?:no|number)",
            r"\d(?:[ -]?\d){5,17}",
        ),
        (
            "payment id",
            "pay_id payment_id binance_id binance_pay upi_id paypal_id bybit_uid okx_uid uid cash_?app_id wallet_id",
            r"\d{6,12}",
        ),
    )
)
"""What is known only by the word before it: the rule, the words, what the number looks like."""
_CHINESE = re.compile(
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
