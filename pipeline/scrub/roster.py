"""Which recognisers a policy calls for. The one list of them."""

from collections.abc import Iterable
from functools import cache

from csmv.pipeline.scrub.addresses import AddressRecognizer
from csmv.pipeline.scrub.deny_list import DenyList
from csmv.pipeline.scrub.documents import (
    BankAccountRecognizer,
    CardRecognizer,
    IpAddressRecognizer,
    NationalIdRecognizer,
    WalletRecognizer,
)
from csmv.pipeline.scrub.emails import MailAddressRecognizer
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.handles import HandleRecognizer
from csmv.pipeline.scrub.links import LinkRecognizer
from csmv.pipeline.scrub.named_numbers import (
    NamedAccountRecognizer,
    NamedIdRecognizer,
    PlaceNumberRecognizer,
    SecretRecognizer,
)
from csmv.pipeline.scrub.names import model_recognizers
from csmv.pipeline.scrub.own_patterns import own_recognizers
from csmv.pipeline.scrub.phones import PhoneNumberRecognizer
from csmv.pipeline.scrub.players import PlayerRecognizer
from csmv.pipeline.scrub.policy import Kind, ScrubPolicy
from csmv.pipeline.scrub.recognizer import TextRecognizer

PATTERNS: tuple[type[TextRecognizer], ...] = (
    HandleRecognizer,
    PlayerRecognizer,
    MailAddressRecognizer,
    PhoneNumberRecognizer,
    LinkRecognizer,
    IpAddressRecognizer,
    CardRecognizer,
    BankAccountRecognizer,
    WalletRecognizer,
    NationalIdRecognizer,
    AddressRecognizer,
    NamedIdRecognizer,
    NamedAccountRecognizer,
    SecretRecognizer,
    PlaceNumberRecognizer,
)


@cache
def _patterns() -> tuple[TextRecognizer, ...]:
    # They keep nothing of a policy or a text, and a collector makes a scrubber for every video.
    return tuple(recognizer() for recognizer in PATTERNS)


def recognizers_for(policy: ScrubPolicy, names: Iterable[str], deny: Iterable[str] = ()) -> list[TextRecognizer]:
    """The recognisers of the kinds that are on, the gazetteer of `names` if there are any, and the denied words.

    Raises CsmvError if a language model is asked for that is not there.
    """
    on = set(policy.kinds)
    recognizers = [recognizer for recognizer in _patterns() if recognizer.kind in on]
    recognizers += [recognizer for recognizer in own_recognizers(policy) if recognizer.kind in on]
    recognizers += model_recognizers(policy)
    person_names = tuple(names)
    if person_names and Kind.USERNAME in on:
        recognizers.append(Gazetteer(person_names))
    denied_words = tuple(deny)
    if denied_words:
        recognizers.append(DenyList(denied_words))
    return recognizers
