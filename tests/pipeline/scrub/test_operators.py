"""What a policy puts in the place of findings, by kind and by language of the text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.scrub import Scrubber, ScrubPolicy
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.validated import parse

KEY = SecretStr("k" * 32)
TEXT = "ig: kaylarose, mail kayla@gmail.com or call 212 555 0198"
PIECES = st.sampled_from(
    [
        *("@", "kayla_r", "ig", ":", " ", ".", "com", "555", "-", "1234", "(at)", " dot ", "🔥", "[user]", "someone"),
        *(
            "<USERNAME>",
            "<",
            ">",
            "http://",
            "/",
            "é",
            "你好",
            "+1",
            "user",
            "#1234",
            "*",
            "****",
            "**98",
            "█",
            "(kind)",
        ),
        *("0x", "DE89", "Street", "t.me", "my ", " is ", "call ", "www", "snap", "84.23.11.209", "kaylarose", "(kind)"),
    ]
)


def policy_of(data: dict[str, Any]) -> ScrubPolicy:
    return parse(ScrubPolicy, data, "policy")


def scrubbed(data: dict[str, Any], text: str, language: str | None = None) -> str:
    return Scrubber(policy_of(data), KEY).scrub([text], [language])[0].text


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"operator": "placeholder"}, "ig: <USERNAME> hi"),
        ({"operator": "remove"}, "ig:  hi"),
        ({"operator": "mask"}, "ig: ********* hi"),
        ({"mask": {"char": "█"}}, "ig: █████████ hi"),
        ({"mask": {"keep_last": 2}}, "ig: *******se hi"),
        ({"mask": {"keep_first": 1, "keep_last": 2}}, "ig: k******se hi"),
        ({"mask": {"keep_last": 99}}, "ig: *****rose hi"),  # never more than half
        ({"mask": {"keep_first": 99, "keep_last": 2}}, "ig: ka*****se hi"),
        ({"replace": "[user]"}, "ig: [user] hi"),
        ({"replace": "someone"}, "ig: someone hi"),
        ({"replace": "«Name»"}, "ig: «Name» hi"),
        ({"replace": "utilisateur caché"}, "ig: utilisateur caché hi"),
    ],
)
def test_an_operator(rule: dict[str, Any], expected: str) -> None:
    assert scrubbed({"username": rule}, "ig: kaylarose hi") == expected


def test_a_hash_tells_persons_apart_and_names_nobody() -> None:
    first, second, again = (
        scrubbed({"username": {"operator": "hash"}}, text) for text in ("@kayla_r", "@other_one", "@KAYLA_R")
    )
    assert first == again != second
    assert first.startswith("<USERNAME:") and "kayla" not in first


def test_each_kind_has_an_operator_of_its_own() -> None:
    data = {"username": {"replace": "[user]"}, "email": {"operator": "remove"}, "phone": {"mask": {"keep_last": 4}}}
    assert scrubbed(data, TEXT) == "ig: [user], mail  or call ********0198"


def test_a_language_has_rules_of_its_own_and_the_rest_from_the_policy() -> None:
    data = {
        "username": {"replace": "[user]"},
        "languages": {"de": {"username": {"operator": "mask"}, "email": {"enabled": False}}},
    }
    assert scrubbed(data, "ig: kaylarose a@b.com", "de") == "ig: ********* a@b.com"
    assert scrubbed(data, "ig: kaylarose a@b.com", "de-AT") == "ig: ********* a@b.com"
    for language in ("en", "", "un", None):
        assert scrubbed(data, "ig: kaylarose a@b.com", language) == "ig: [user] <EMAIL>"


def test_a_language_has_thresholds_of_its_own() -> None:
    (span,) = Scrubber(ScrubPolicy()).find(["call 212 555 0198"])[0]
    data = {"languages": {"de": {"threshold": 1.0}, "fr": {"phone": {"threshold": 1.0}}}}
    assert span.score < 1
    assert scrubbed(data, "call 212 555 0198") == "call <PHONE>"
    assert scrubbed(data, "call 212 555 0198", "de") == "call 212 555 0198"
    assert scrubbed(data, "call 212 555 0198", "fr") == "call 212 555 0198"


def test_a_kind_may_be_on_in_one_language_alone() -> None:
    data = {"phone": {"enabled": False}, "languages": {"de": {"phone": {"enabled": True}}}}
    assert scrubbed(data, "call 212 555 0198") == "call 212 555 0198"
    assert scrubbed(data, "call 212 555 0198", "de") == "call <PHONE>"


def test_a_mask_that_would_still_be_read_as_a_number_keeps_nothing() -> None:
    """Of twenty digits the last ten are a number by themselves: what is left is never a finding."""
    data = {"phone": {"mask": {"keep_last": 40}}, "credit_card": {"mask": {"keep_last": 40}}}
    scrubber = Scrubber(policy_of(data))
    for text in ("call +4479111234560044791112", "call me 0044 7911 123456 or 0044 7911 123456"):
        out = scrubber.scrub([text])[0].text
        assert scrubber.scrub([out])[0].spans == ()


OPERATORS: list[dict[str, Any]] = [
    {"operator": "remove"},
    {"operator": "hash"},
    {"operator": "mask"},
    {"mask": {"keep_first": 2, "keep_last": 6, "char": "█"}},
    {"replace": "[user]"},
    {"replace": "someone"},
    {"replace": "(kind)"},
]
_SCRUBBERS: dict[str, Scrubber] = {}


def shared_scrubber(rule: dict[str, Any]) -> Scrubber:
    if str(rule) not in _SCRUBBERS:
        policy = policy_of({kind.lower(): rule for kind in Kind if kind not in (Kind.PERSON, Kind.LOCATION)})
        _SCRUBBERS[str(rule)] = Scrubber(policy, KEY, names=["Zoë Q. Fantôme", "kaylarose"])
    return _SCRUBBERS[str(rule)]


@settings(max_examples=150, deadline=None)
@given(text=st.lists(PIECES, max_size=14).map("".join), rule=st.sampled_from(OPERATORS))
def test_every_operator_is_stable(text: str, rule: dict[str, Any]) -> None:
    """Nothing is found in what was scrubbed, so scrubbing it again changes nothing."""
    scrubber = shared_scrubber(rule)
    once = scrubber.scrub([text])[0].text
    again = scrubber.scrub([once])[0]
    assert (again.text, again.spans) == (once, ())


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(text=st.lists(PIECES, max_size=20).map("".join), rule=st.sampled_from(OPERATORS))
def test_every_operator_is_stable_five_thousand_times(text: str, rule: dict[str, Any]) -> None:
    scrubber = shared_scrubber(rule)
    once = scrubber.scrub([text])[0].text
    assert scrubber.scrub([once])[0].text == once


@pytest.mark.parametrize(
    "text",
    [
        *("@user", "a@b.com", "http://x", "www.x", "x.com", "+1", "0171 1234567", "84.23.11.209", "#tag", "", " x"),
        "x" * 81,
    ],
)
def test_a_text_that_reads_as_a_finding_is_refused(text: str) -> None:
    with pytest.raises(CsmvError, match=r"policy: username\.replace: "):
        policy_of({"username": {"replace": text}})


@pytest.mark.parametrize("text", ["(at)", "[dot]", "12 Maple Street"])
def test_a_text_that_becomes_part_of_a_finding_is_refused_when_scrubbing_starts(text: str) -> None:
    with pytest.raises(CsmvError, match="in the place of findings"):
        Scrubber(policy_of({"username": {"replace": text}}))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"usernames": {}}, "unknown key 'usernames'; did you mean 'username'"),
        ({"username": {"masks": {}}}, "unknown key 'username.masks'"),
        ({"username": {"operator": "hide"}}, "username.operator"),
        ({"username": {"operator": "replace"}}, "needs the text"),
        ({"username": {"operator": "hash", "replace": "x"}}, "belongs to `operator: replace`"),
        ({"username": {"mask": {"char": "x"}}}, "mask.char"),
        ({"username": {"mask": {"keep_last": -1}}}, "keep_last"),
        ({"languages": {"german": {}}}, "such as 'de'"),
        ({"languages": {"de": {"usernames": {}}}}, "unknown key 'languages.de.usernames'"),
        ({"languages": {"de": {"username": {"treshold": 1}}}}, "did you mean 'threshold'"),
        ({"languages": {"de": {"person": {"enabled": True}}}}, "needs a model"),
    ],
)
def test_a_mistake_is_named(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CsmvError) as error:
        policy_of(data)
    assert sentence in str(error.value)


def test_public_addresses_only() -> None:
    data = {"public_ips_only": True}
    for private in (
        "192.168.178.201",
        "10.0.0.7",
        "127.0.0.1",
        "169.254.1.1",
        "192.0.2.17",
        "fe80::1ff:fe23:4567:890a",
    ):
        assert scrubbed(data, f"host {private} is up") == f"host {private} is up", private
        assert scrubbed({}, f"host {private} is up") == "host <IP_ADDRESS> is up", private
    for public in ("84.23.11.209", "2a00:1450:4001:81b::200e"):
        assert scrubbed(data, f"host {public} is up") == "host <IP_ADDRESS> is up", public


def test_the_digest_of_a_policy_of_before_has_not_changed() -> None:
    """A root's tables are stale when the policy's JSON differs: fields that are not used may not show in it."""
    json = policy_of({"username": {"operator": "hash"}, "threshold": 0.6}).model_dump_json()
    off = '{"enabled":false,"operator":"placeholder","threshold":null}'
    on = '{"enabled":true,"operator":"placeholder","threshold":null}'
    kinds = ("email", "phone", "url", "ip_address", "credit_card", "iban", "crypto_wallet", "national_id")
    assert json == (
        '{"threshold":0.6,"username":{"enabled":true,"operator":"hash","threshold":null},'
        + "".join(f'"{kind}":{on},' for kind in (*kinds, "street_address"))
        + f'"person":{off},"location":{off},"ner":null}}'
    )


def test_a_policy_comes_back_from_json() -> None:
    policy = policy_of(
        {
            "username": {"replace": "[user]"},
            "public_ips_only": True,
            "allow": "0" * 64,
            "languages": {"de": {"threshold": 0.3, "url": {"mask": {"keep_last": 3}}}},
        }
    )
    assert ScrubPolicy.model_validate_json(policy.model_dump_json()) == policy
    assert hash(policy) == hash(ScrubPolicy.model_validate_json(policy.model_dump_json()))
