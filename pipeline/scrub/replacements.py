"""What stands in the text in the place of a finding, by the operators of a policy."""

import hashlib
import hmac
import re

from pydantic import SecretStr

from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.policy import CLOSING, OPENING, Kind, Mask, Operator, ScrubPolicy

_INERT = "\ue000"
"""A character of private use that no recogniser reads as part of anything."""
_PLACEHOLDER = rf"<(?:{'|'.join(Kind)})(?::[0-9a-f]{{12}})?>"
_PLACEHOLDERS = re.compile(_PLACEHOLDER)


class Inert:
    """Makes what the scrub itself put into a text unreadable for recognisers: placeholders, and texts of one's own.

    A text of one's own without brackets around it could be part of anything, and is read as it stands.
    """

    def __init__(self, policy: ScrubPolicy) -> None:
        bracketed = sorted(text for text in policy.own_texts() if is_bracketed(text))
        self._beginnings = {"<", *(text[0] for text in bracketed)}
        self._written = re.compile("|".join((_PLACEHOLDER, *map(re.escape, bracketed)))) if bracketed else _PLACEHOLDERS

    def __call__(self, text: str) -> str:
        """The text, as long as before, with each of them inert."""
        if not any(beginning in text for beginning in self._beginnings):
            return text
        return self._written.sub(lambda found: _INERT * len(found[0]), text)


placeholders_inert = Inert(ScrubPolicy())


class Replacements:
    """Puts in place of a finding what a policy says.

    `asked` is how often the place was found again because of what had been put there. A mask then keeps nothing, and
    whatever is found a third time becomes a placeholder: what is left in the text is never a finding.
    """

    def __init__(self, policy: ScrubPolicy, key: SecretStr | None) -> None:
        self._policy = policy
        self._key = key.get_secret_value().encode("utf-8", "surrogatepass") if key else b""

    def of(self, kind: str, value: str, asked: int = 0) -> str:
        """What stands in the place of a value of a kind."""
        rule = self._policy.rule(Kind(kind))
        if rule.operator is Operator.REMOVE:
            return ""
        if rule.operator is Operator.HASH:
            message = f"{kind}:{fold(value).text.casefold()}".encode("utf-8", "surrogatepass")
            return f"<{kind}:{hmac.new(self._key, message, hashlib.sha256).hexdigest()[:12]}>"
        if rule.operator is Operator.MASK and asked < 2:
            return _masked(value, rule.mask or Mask(), bare=asked > 0)
        if rule.operator is Operator.REPLACE and rule.replace is not None and asked < 2:
            return rule.replace
        return f"<{kind}>"


def _masked(value: str, mask: Mask, *, bare: bool) -> str:
    """The value with a sign for each character but the first and last that the mask keeps, half of all at most."""
    most = 0 if bare else len(value) // 2
    last = min(mask.keep_last, most)
    first = min(mask.keep_first, most - last)
    return value[:first] + mask.char * (len(value) - first - last) + value[len(value) - last :]


def is_bracketed(text: str) -> bool:
    """Whether a text stands in brackets, so that it is never read as part of something else."""
    place = OPENING.find(text[0])
    return place >= 0 and text[-1] == CLOSING[place] and len(text) > 2
