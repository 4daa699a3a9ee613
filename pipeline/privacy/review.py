"""Gathers what a scrub does to many texts, for a person to judge: what is removed, nearly removed, left.

Counts are exact. Of the texts a few are kept in each group: those with the smallest digests, so that they are the same
in any order and on any number of processes, and memory does not grow with the number of texts.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from csmv.pipeline.privacy.review_settings import ReviewSettings
from csmv.pipeline.scrub.folding import Folded, fold
from csmv.pipeline.scrub.forms import form_of
from csmv.pipeline.scrub.ordinary import is_everyday
from csmv.pipeline.scrub.recognizer import Glance
from csmv.pipeline.scrub.scrubber import Scrubbed, Scrubber, Span
from csmv.pipeline.scrub.vocabulary import CLEAR_PLATFORMS, GIVEN_NAMES, SHORT_PLATFORMS, SPACED, WORD, Tokens, either
from csmv.pipeline.scrub_pool import ScrubPool

NEARLY_FROM = 0.25
"""The score from which a finding below its threshold is shown."""

_BATCH = 500
_BEFORE, _AFTER = 140, 220
"""Characters that are shown of a text before and after what is marked in it."""
_LONGEST_PIECE = 300
_LONGEST_WORD = 100
_MOST_MARKS = 50
_SPARED_SAMPLES = 2
_DIGEST_BYTES = 16

# ---------------------------------------------------------------------- what is gathered


class Part(StrEnum):
    """The parts of a review."""

    REMOVED = "removed"
    NEARLY = "nearly removed"
    LEFT = "left"
    SPARED = "spared"


class Of(NamedTuple):
    """What a group is of: a part, the kind of personal data, and the rule, trigger or name."""

    part: Part
    kind: str
    rule: str


class Mark(StrEnum):
    """Why a piece of a sample is marked."""

    NONE = ""
    HERE = "here"  # what the group is of
    ALSO = "also"  # what another rule removes


class Piece(NamedTuple):
    """A piece of a sample's text."""

    text: str
    mark: Mark


class Sample(NamedTuple):
    """A part of a text with marks in it; what stands there afterwards; the word to decide on; the highest score."""

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    word: str
    score: float | None


@dataclass
class Samples:
    """Of the samples that were offered the `most` with the smallest digests, each with the number of its texts.

    Equal texts are one sample. The number is exact: one that is kept at the end was never dropped.
    """

    most: int
    kept: dict[bytes, tuple[Sample, int]] = field(default_factory=dict)
    _largest: bytes = b""

    def offer(self, digest: bytes, make: Callable[[], Sample], times: int = 1) -> None:
        """Take a sample, or drop it; it is only made if it is taken."""
        held = self.kept.get(digest)
        if held is not None:
            self.kept[digest] = (held[0], held[1] + times)
        elif len(self.kept) < self.most:
            self.kept[digest] = (make(), times)
            self._largest = max(self._largest, digest)
        elif digest < self._largest:
            del self.kept[self._largest]
            self.kept[digest] = (make(), times)
            self._largest = max(self.kept)

    def in_order(self) -> list[tuple[Sample, int]]:
        """The samples with the number of their texts."""
        return [self.kept[digest] for digest in sorted(self.kept)]


@dataclass
class Group:
    """How often something was found, in how many texts, and some of them."""

    samples: Samples
    findings: int = 0
    texts: int = 0


@dataclass
class Review:
    """What was gathered of some texts."""

    settings: ReviewSettings
    texts: int = 0
    touched: int = 0
    """Texts in which something was removed."""
    groups: dict[Of, Group] = field(default_factory=dict)

    def add(self, of: Of, text: str, findings: int, make: Callable[[], Sample], most: int | None = None) -> None:
        """Count a text that belongs to a group."""
        digest = blake2b(digest_size=_DIGEST_BYTES)
        digest.update("\0".join((str(self.settings.seed), *of, text)).encode("utf-8", "surrogatepass"))
        group = self._group(of, most or self.settings.samples)
        group.findings += findings
        group.texts += 1
        group.samples.offer(digest.digest(), make)

    def merge(self, other: "Review") -> None:
        """Add what was gathered of other texts, with the same settings."""
        self.texts += other.texts
        self.touched += other.touched
        for of, theirs in other.groups.items():
            group = self._group(of, theirs.samples.most)
            group.findings += theirs.findings
            group.texts += theirs.texts
            for digest, (sample, times) in theirs.samples.kept.items():
                group.samples.offer(digest, lambda sample=sample: sample, times)  # type: ignore[misc]

    def of(self, part: Part) -> list[tuple[Of, Group]]:
        """The groups of a part, by kind, those with most findings first."""
        groups = [(of, group) for of, group in self.groups.items() if of.part is part]
        return sorted(groups, key=lambda one: (one[0].kind, -one[1].findings, one[0].rule))

    def _group(self, of: Of, most: int) -> Group:
        group = self.groups.get(of)
        if group is None:
            group = self.groups[of] = Group(Samples(most))
        return group


Told = tuple[str, str | None]
"""A text and its language, where it is known."""


def review(texts: Iterable[Told], pool: ScrubPool, settings: ReviewSettings) -> Review:
    """Gather what `pool` does to texts, on all its processes, and which of its names it spares.

    Args:
        texts: before scrubbing, with their languages; they are read once, a few hundred at a time.
        pool: the scrubber.
        settings: how many samples there should be, and the seed.
    """
    whole = Review(settings)
    spared = _SparedNames(pool.names)
    for batch, gathered in pool.map(partial(_gathered, settings), _batches(texts)):
        whole.merge(gathered)
        spared.look((text for text, _ in batch), whole)
    return whole


def _batches(texts: Iterable[Told]) -> Iterator[list[Told]]:
    rest = iter(texts)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _gathered(settings: ReviewSettings, scrubber: Scrubber, batch: Sequence[Told]) -> Review:
    review = Review(settings, texts=len(batch))
    texts, languages = [text for text, _ in batch], [language for _, language in batch]
    everything = scrubber.scrub(texts, languages)
    nearly = scrubber.candidates(texts, NEARLY_FROM, [scrubbed.spans for scrubbed in everything], languages)
    for (text, language), scrubbed, candidates in zip(batch, everything, nearly, strict=True):
        if candidates:
            _add_nearly(review, text, scrubbed, candidates)
        if scrubbed.spans:
            review.touched += 1
            _add_removed(review, text, scrubbed, partial(scrubber.replacement, text=text, language=language))
        else:
            _add_left(review, text)
    return review


# ---------------------------------------------------------------------- removed, and nearly


def _add_removed(review: Review, text: str, scrubbed: Scrubbed, replacement: Callable[[Span], str]) -> None:
    for of, spans in _by_rule(Part.REMOVED, scrubbed.spans).items():

        def make(spans: list[Span] = spans) -> Sample:
            marks = [
                (span.start, span.end, Mark.HERE if span in spans else Mark.ALSO, replacement(span))
                for span in scrubbed.spans
            ]
            return _sample(text, marks, max(span.score for span in spans))

        review.add(of, text, len(spans), make)


def _add_nearly(review: Review, text: str, scrubbed: Scrubbed, candidates: Sequence[Span]) -> None:
    for of, spans in _by_rule(Part.NEARLY, candidates).items():

        def make(spans: list[Span] = spans) -> Sample:
            marks: list[_Marked] = [(span.start, span.end, Mark.ALSO, None) for span in scrubbed.spans]
            marks += [(span.start, span.end, Mark.HERE, None) for span in spans]
            return _sample(text, sorted(marks), max(span.score for span in spans))

        review.add(of, text, len(spans), make)


def _by_rule(part: Part, spans: Iterable[Span]) -> dict[Of, list[Span]]:
    by_rule: dict[Of, list[Span]] = {}
    for span in spans:
        by_rule.setdefault(Of(part, str(span.kind), span.recognizer), []).append(span)
    return by_rule


_Marked = tuple[int, int, Mark, str | None]
"""Start, end, why, and what stands there afterwards if it is removed."""


def _sample(text: str, marks: Sequence[_Marked], score: float | None, word: str | None = None) -> Sample:
    """The part of a text around the first mark of its group."""
    start, end = next((start, end) for start, end, mark, _ in marks if mark is Mark.HERE)
    low, high = max(start - _BEFORE, 0), min(min(end, start + _LONGEST_PIECE) + _AFTER, len(text))
    before: list[Piece] = [Piece("… ", Mark.NONE)] if low else []
    after = list(before)
    at = low
    for first, last, mark, replacement in marks:
        if last <= low or first >= high:
            continue
        plain = Piece(text[at:first], Mark.NONE)
        before += [plain, Piece(_clipped(text[first:last]), mark)]
        after += [plain, Piece(_clipped(text[first:last] if replacement is None else replacement), mark)]
        at = last
    rest = [Piece(text[at:high], Mark.NONE), Piece(" …" if max(at, high) < len(text) else "", Mark.NONE)]
    is_changed = any(replacement is not None for *_, replacement in marks)
    value = text[start:end].strip() if word is None else word
    return Sample(
        _without_empty([*before, *rest]),
        _without_empty([*after, *rest]) if is_changed else (),
        value if len(value) <= _LONGEST_WORD else "",
        score,
    )


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_PIECE else f"{text[: _LONGEST_PIECE - 80]} … {text[-60:]}"


def _without_empty(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    return tuple(piece for piece in pieces if piece.text)


# ---------------------------------------------------------------------- left

_CALLS = """
call_me text_me ring_me message_me msg_me dm_me pm_me hmu hit_me_up write_me add_me reach_me contact_me my_number
phone_number cell_number llamame escribeme mi_numero me_liga me_chama meu_numero appelle-moi appelez-moi ecris-moi
mon_numero ruf_mich schreib_mir meine_nummer chiamami scrivimi il_mio_numero zadzwon napisz_do_mnie moj_numer позвони
позвоните звоните напиши_мне мой_номер beni_ara bana_yaz numaram telpon_aku hubungi nomor_saya nomorku
"""
_NAMES_SAID = """
my_name_is my_names my_name's name's_is i_am_called call_me me_llamo mi_nombre_es meu_nome_é meu_nome_e me_chamo
je_m'appelle je_m’appelle mon_nom_est ich_heiße ich_heisse mein_name_ist mi_chiamo il_mio_nome_è il_mio_nome_e
nazywam_się nazywam_sie mam_na_imię mam_na_imie меня_зовут мое_имя моё_имя benim_adım benim_adim nama_saya namaku
mi_fullname full_name
"""
_PRESENTED = """
i_am i'm i’m im this_is its_me it's_me soy je_suis c'est ich_bin hier_ist sono sou eu_sou jestem я ben aku saya
"""
_LIVES = """
i_live_at i_live_on i_live_in lives_at lives_on my_address my_house vivo_en mi_direccion moro_na moro_em meu_endereco
j'habite mon_adresse ich_wohne meine_adresse abito_in il_mio_indirizzo mieszkam_na мой_адрес живу_на zip_code postcode
"""
_MAILS = """
gmail hotmail outlook_com yahoo_com icloud protonmail proton_me email_me e-mail_me mail_me my_email my_mail my_e-mail
mi_correo meu_email mon_mail meine_mail (at) [at] at_gmail arroba
"""


_TOKENS = ("an @", "a web address", "seven digits or more")


def _words(words: str) -> str:
    return rf"(?<![{SPACED}])(?:{either(words)})(?![{SPACED}])"


@cache
def triggers() -> dict[str, re.Pattern[str]]:
    """What makes a text worth a look that nothing was found in: name -> where it stands in the folded text.

    The group `word` is what a person may want to decide on; for _TOKENS, it is all that stands between spaces.
    """
    patterns = {
        "an @": r"@",
        "a platform's name": _words(CLEAR_PLATFORMS + SHORT_PLATFORMS),
        "a web address": r"https?:|www\.|\.(?:com|net|org|info|io|me|gg|co|tv|app|link|shop|xyz)(?![a-z])",
        "seven digits or more": r"\d(?:[\s().+/-]{0,2}\d){6,}",
        "a wish to be called": _words(_CALLS),
        "a word of mail": _words(_MAILS),
        "a name that is told": rf"{_words(_NAMES_SAID)}(?:[\s:]+(?P<word>[{SPACED}]+))?",
        "“I am” before a given name": rf"{_words(_PRESENTED)}\s+(?P<word>{either(GIVEN_NAMES)})(?![{SPACED}])",
        "a word of living somewhere": _words(_LIVES),
    }
    return {name: re.compile(pattern, re.I) for name, pattern in patterns.items()}


_TOKENS_OF = {"a platform's name": Tokens(CLEAR_PLATFORMS, SHORT_PLATFORMS)}
"""Of the triggers with many alternatives, what a text must hold."""


def _add_left(review: Review, text: str) -> None:
    folded = fold(text)
    glance = Glance(folded.text)
    for name, pattern in triggers().items():
        if name in _TOKENS_OF and not _TOKENS_OF[name].are_in(folded.text, glance.words):
            continue
        matches = list(islice(pattern.finditer(folded.text), _MOST_MARKS))
        if matches:

            def make(name: str = name, matches: list[re.Match[str]] = matches) -> Sample:
                marks = [(*folded.original(match.start(), match.end()), Mark.HERE, None) for match in matches]
                return _sample(text, marks, None, _word_of(text, folded, name, matches[0]))

            review.add(Of(Part.LEFT, "", name), text, len(matches), make)


def _word_of(text: str, folded: Folded, trigger: str, match: re.Match[str]) -> str:
    if trigger in _TOKENS:
        return _token(text, *folded.original(match.start(), match.end()))
    if "word" in match.re.groupindex and match["word"]:
        start, end = folded.original(*match.span("word"))
        return "" if is_everyday(match["word"]) else text[start:end]
    return ""


def _token(text: str, start: int, end: int) -> str:
    """What stands between spaces around a place; the place itself, if it holds a space."""
    if re.search(r"\s", text[start:end]):
        return text[start:end]
    first = next((at for at in range(start, max(start - 60, 0), -1) if text[at - 1].isspace()), max(start - 60, 0))
    last = next((at for at in range(end, min(end + 60, len(text))) if text[at].isspace()), min(end + 60, len(text)))
    return text[first:last].strip(".,;:!?")


# ---------------------------------------------------------------------- spared


class _SparedNames:
    """The known names that a scrubber leaves alone since they are ordinary words, looked for in texts.

    Behind an @ they are removed all the same, and not counted here.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name for name in map(_single_word, names) if name)

    def look(self, texts: Iterable[str], review: Review) -> None:
        """Count the names that stand in texts as words."""
        if not self._names:
            return
        for text in texts:
            folded = fold(text)
            places: dict[str, list[tuple[int, int]]] = {}
            for match in WORD.finditer(folded.text):
                word = match.group().lower()
                if word in self._names and folded.text[match.start() - 1 : match.start()] != "@":
                    places.setdefault(word, []).append(folded.original(match.start(), match.end()))
            for word, spans in places.items():

                def make(spans: list[tuple[int, int]] = spans) -> Sample:
                    return _sample(text, [(start, end, Mark.HERE, None) for start, end in spans], None)  # noqa: B023

                review.add(Of(Part.SPARED, "", word), text, len(spans), make, _SPARED_SAMPLES)


def _single_word(name: str) -> str:
    """A name in small letters if it is one word, of two letters at least, that is spared; else nothing."""
    words = WORD.findall(fold(name).text)
    if len(words) != 1 or len(words[0]) < 2 or words[0].isdecimal() or form_of(name) is not None:
        return ""
    return str(words[0].lower())


_GIVEN = frozenset(GIVEN_NAMES.split())


def likeliest_names(names: Iterable[tuple[Of, Group]]) -> list[tuple[Of, Group]]:
    """Spared names in the order in which they are likely to mean a person: given names, then the rarer words."""

    def rank(one: tuple[Of, Group]) -> tuple[bool, int, int, str]:
        name = one[0].rule
        commonness = sum(is_everyday(name, at_least) for at_least in (3.5, 4.0, 4.5, 5.0, 5.5))
        return name not in _GIVEN, commonness, -one[1].texts, name

    return sorted(names, key=rank)
