"""What the labels of language models mean: the usual names of each kind, and how labels mark a span's tokens."""

import re
from collections.abc import Iterable

from csmv.pipeline.scrub.policy import Kind

_USUAL = {
    Kind.PERSON: "per pers person name ps patient staff hcw private_person person_name full_name fullname first_name "
    "firstname given_name givenname middle_name middlename last_name lastname surname family_name",
    Kind.LOCATION: "loc location gpe fac lc city state county country region",
    Kind.STREET_ADDRESS: "address private_address street_address street full_address home_address street_name",
    Kind.EMAIL: "email email_address private_email",
    Kind.PHONE: "phone phone_number phonenumber private_phone telephone telephone_number telephonenum mobile_number",
    Kind.URL: "url private_url website link",
    Kind.USERNAME: "username user_name handle personal_handle account_name accountname social_media_handle",
    Kind.IP_ADDRESS: "ip ip_address ipv4 ipv6 ipaddress",
    Kind.CREDIT_CARD: "credit_card credit_card_number creditcardnumber creditcard card_number",
    Kind.IBAN: "iban iban_code account_number bank_account bank_account_number bankaccount",
    Kind.CRYPTO_WALLET: "crypto crypto_wallet bitcoin_address bitcoinaddress ethereumaddress litecoinaddress",
    Kind.NATIONAL_ID: "ssn us_ssn national_id national_id_number id_number idcardnum socialnum social_security_number "
    "passport passport_number driver_license driver_license_number driverlicensenum tax_id taxnum",
    Kind.IDENTIFIER: "secret password passwd pin api_key access_token",
}
_KIND_OF = {_plain: kind for kind, labels in _USUAL.items() for _plain in labels.split()}

PROMPTS = (
    "person",
    "username",
    "email",
    "phone number",
    "street address",
    "url",
    "ip address",
    "credit card number",
    "bank account number",
    "national id number",
    "location",
)
"""What a model is asked for that takes any label in plain words."""

_BEFORE = re.compile(r"([BIESLUM])[-_](.+)")
_BEHIND = re.compile(r"(.+)[-_]([BIESLUM])")


def kinds_of(labels: Iterable[str]) -> dict[str, Kind]:
    """Those of a model's labels whose usual meaning is a kind, whatever their case and what joins their words."""
    meanings = {label: _KIND_OF.get(re.sub(r"[\W_]+", "_", label.strip()).lower()) for label in labels}
    return {label: kind for label, kind in meanings.items() if kind is not None}


class TagScheme:
    """How a token classifier's labels say where a span begins and ends: B-, I-, E-, S- (or L-, U-), PER-B, or not.

    Args:
        labels: all that the model has; `O` and the like are no part of a span.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        inside = [label for label in labels if label.upper() not in ("O", "OUT", "OUTSIDE", "")]
        self._pattern = next((p for p in (_BEFORE, _BEHIND) if inside and all(map(p.fullmatch, inside))), None)
        self.names = tuple(dict.fromkeys(self.parts(label)[1] for label in inside))
        """The labels without their marks."""

    def parts(self, label: str) -> tuple[str, str]:
        """Whether a token begins a span (`B`) or goes on with one (`I`), and the label without its mark."""
        match = self._pattern.fullmatch(label) if self._pattern else None
        if match is None:
            return "I", label
        mark, name = match.groups() if self._pattern is _BEFORE else reversed(match.groups())
        return ("B" if mark in "BSU" else "I"), name
