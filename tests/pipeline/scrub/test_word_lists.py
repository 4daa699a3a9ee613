"""Which findings an allow list spares, and what a deny list removes."""

import pytest

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import Scrubber, ScrubPolicy
from csmv.pipeline.scrub.spared import domain_of
from csmv.pipeline.scrub.word_lists import WordLists, digest_of_list, words_in


def scrubber(allow: str = "", deny: str = "", names: tuple[str, ...] = (), **policy: object) -> Scrubber:
    words = WordLists.of_files(allow.encode(), deny.encode())
    digests = {"allow": words.allow_digest, "deny": words.deny_digest}
    return Scrubber(ScrubPolicy.model_validate({**digests, **policy}), names=names, words=words)


def scrubbed(text: str, allow: str = "", deny: str = "", names: tuple[str, ...] = (), **policy: object) -> str:
    return scrubber(allow, deny, names, **policy).scrub([text])[0].text


# ---------------------------------------------------------------------- allowed


@pytest.mark.parametrize(
    ("allowed", "text", "expected"),
    [
        ("starclub77", "go @starclub77 and @kayla_r", "go @starclub77 and <USERNAME>"),
        ("@starclub77", "ig: StarClub77, snap: kaylarose", "ig: StarClub77, snap: <USERNAME>"),
        ("StarClub77", "＠ｓｔａｒｃｌｕｂ７７ hi", "＠ｓｔａｒｃｌｕｂ７７ hi"),
        ("press@club.org", "write press@club.org or kayla@club.org", "write press@club.org or <EMAIL>"),
        (
            "mysite.com",
            "see https://www.mysite.com/news?id=12345678901 ok",
            "see https://www.mysite.com/news?id=12345678901 ok",
        ),
        ("mysite.com", "see mysite dot com", "see mysite dot com"),
        ("212 555 0198", "call 212 555 0198", "call 212 555 0198"),
        ("84.23.11.209", "ip 84.23.11.209 and 84.23.11.210", "ip 84.23.11.209 and <IP_ADDRESS>"),
    ],
)
def test_an_allowed_finding_stays_whoever_found_it(allowed: str, text: str, expected: str) -> None:
    assert scrubbed(text, allow=f"# kept\n{allowed}\n") == expected
    assert scrubbed(text) != expected, "without the list it goes"


def test_what_only_looks_like_an_allowed_word_goes() -> None:
    text = "@starclub777 @xstarclub77 notmysite.com x.mysite.com"
    assert scrubbed(text, allow="starclub77\nmysite.com") == "<USERNAME> <USERNAME> <URL> <URL>"


def test_a_known_name_stays_if_it_is_allowed_and_its_parts_with_it() -> None:
    names = ("Zorvan Quell", "quell", "kaylarose")
    text = "zorvan quell is the best, kaylarose too"
    assert scrubbed(text, names=names) == "<USERNAME> is the best, <USERNAME> too"
    assert scrubbed(text, allow="Zorvan Quell", names=names) == "zorvan quell is the best, <USERNAME> too"


def test_a_handle_goes_from_a_link_whose_domain_is_allowed() -> None:
    text = "mysite.com/kaylarose/news"
    assert scrubbed(text, allow="mysite.com", names=("kaylarose",)) == "mysite.com/<USERNAME>/news"


# ---------------------------------------------------------------------- denied


@pytest.mark.parametrize(
    ("denied", "text", "expected"),
    [
        ("brimworth", "at Brimworth, BRIMWORTH's brimworths", "at <USERNAME>, <USERNAME>'s brimworths"),
        ("Zoëqx", "zoeqx", "<USERNAME>"),
        ("zq", "ZQ said zqx", "<USERNAME> said zqx"),  # however short
        ("张伟", "我认识张伟吗", "我认识<USERNAME>吗"),
        ("🦄🔥", "it is 🦄🔥!", "it is <USERNAME>!"),
        ("8675309", "it is 8675309 today", "it is <USERNAME> today"),
        ("Brimworth Valley School", "brimworth  valley school", "<USERNAME>"),
        (" ".join(f"brim{n}" for n in range(20)), "x " + " ".join(f"brim{n}" for n in range(20)), "x <USERNAME>"),
        ("love", "love it", "love it"),  # an ordinary word
        ("!love", "I LOVE it, lovely", "I <USERNAME> it, lovely"),
        ("Sunny Day", "Sunny Day, sunny day", "<USERNAME>, sunny day"),  # as it is written
        ("!Sunny Day", "Sunny Day, sunny day", "<USERNAME>, <USERNAME>"),
        ("2024", "in 2024", "in 2024"),
    ],
)
def test_a_denied_word_goes_wherever_it_is_a_word(denied: str, text: str, expected: str) -> None:
    assert scrubbed(text, deny=denied) == expected


def test_denied_words_go_whatever_kinds_are_on() -> None:
    text = "at brimworth with @kayla_r"
    assert scrubbed(text, deny="brimworth", username={"enabled": False}) == "at <USERNAME> with @kayla_r"
    assert scrubbed(text, deny="brimworth", username={"replace": "[x]"}) == "at [x] with [x]"


def test_a_word_on_both_lists_goes() -> None:
    assert scrubbed("@starclub77 starclub77", allow="starclub77", deny="starclub77") == "<USERNAME> <USERNAME>"


# ---------------------------------------------------------------------- files


def test_a_file_has_comments_and_a_word_a_line() -> None:
    data = "\ufeff# who may stay\r\nZorvan Quell  # the mayor\r\n\r\n  c#minor  \nkayla#1234\n#\n!\n".encode()
    assert list(words_in(data, "allow.txt")) == ["Zorvan Quell", "c#minor", "kayla#1234"]


def test_words_that_are_no_text_are_refused() -> None:
    with pytest.raises(CsmvError, match=r"allow\.txt: expected words in UTF-8"):
        list(words_in(b"\xff\xfe\x00", "allow.txt"))


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_another_list_than_the_policy_asks_for_is_refused(name: str) -> None:
    policy = ScrubPolicy.model_validate({name: digest_of_list(b"brimworth\n")})
    with pytest.raises(CsmvError, match=rf"private/policy/{name}\.txt .* is not there") as missing:
        Scrubber(policy)
    with pytest.raises(CsmvError, match="is another one") as other:
        Scrubber(policy, words=WordLists.of_files(b"other\n", b"other\n"))
    assert "other\n" not in f"{missing.value}{other.value}"
    Scrubber(policy, words=WordLists.of_files(b"brimworth\n", b"brimworth\n"))


def test_lists_print_nothing_of_themselves() -> None:
    assert "brimworth" not in repr(WordLists.of_files(b"brimworth\n", b"brimworth\n"))


@pytest.mark.parametrize(
    ("link", "domain"),
    [
        ("https://www.nasa.gov/x", "nasa.gov"),
        ("HTTP://NASA.gov:80?x", "nasa.gov"),
        ("nasa(dot)gov", "nasa.gov"),
        ("nasa . gov", "nasa.gov"),
        ("//nasa.gov#x", "nasa.gov"),
        ("http://nasa.gov@evil.org/", "evil.org"),
        ("nasa.gov.", "nasa.gov"),
    ],
)
def test_the_domain_of_a_link(link: str, domain: str) -> None:
    assert domain_of(link) == domain
