"""Which recognisers a policy calls for. The one list of them."""

from collections.abc import Iterable

from pipeline.scrub.emails import EmailRecognizer
from pipeline.scrub.handles import HandleRecognizer
from pipeline.scrub.links import LinkRecognizer
from pipeline.scrub.phones import PhoneRecognizer
from pipeline.scrub.policy import ScrubPolicy
from pipeline.scrub.recognizer import TextRecognizer

PATTERNS: tuple[type[TextRecognizer], ...] = (HandleRecognizer, EmailRecognizer, PhoneRecognizer, LinkRecognizer)


def recognizers_for(policy: ScrubPolicy, names: Iterable[str]) -> list[TextRecognizer]:
    """The recognisers of the kinds that are on, and the gazetteer of `names` if there are any."""
    on = set(policy.kinds)
    return [recognizer() for recognizer in PATTERNS if recognizer.kind in on]
