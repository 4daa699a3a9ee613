"""Kinds of personal data as real text holds them, and what only looks like it: invented examples of each."""

import json
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from csmv.pipeline.scrub import Scrubber, ScrubPolicy

DATA = Path(__file__).parents[2] / "data"
EXAMPLES: list[tuple[str, list[str], list[str]]] = [
    ("linkhttps://www.facebook.com/mirelo.vance83 ok", ["mirelo.vance83"], ["link"]),
    ("siehe…mirelo83.com", ["mirelo83.com"], ["siehe"]),
    ("公式サイト・mirelo83.net", ["mirelo83.net"], []),
    ("…mirelo@posteo.de", ["mirelo@posteo.de"], []),
    ("+49 176 4455667,+49 151 2233445", ["4455667", "2233445"], []),
    ("415.555.2671/415.555.2672", ["555.2671", "555.2672"], []),
    ("text4155552671 now", ["4155552671"], ["now"]),
    ("tel4155552671", ["4155552671"], []),
    ("5552671 (415) call me", ["5552671"], ["call me"]),
    ("2001:db8::8a2e:370:7334 is it", ["2001:db8", "7334"], ["is it"]),
    ("fe80::1%eth0 leaks", ["fe80::1"], ["leaks"]),
    ("::1 home", ["::1"], ["home"]),
    ("pan ABCPK1234F ok", ["ABCPK1234F"], ["pan", "ok"]),
    ("pasaporte AB1234567 perdido", ["AB1234567"], ["perdido"]),
    ("my NI number is AB123456C", ["AB123456C"], ["my NI number is"]),
    ("Reisepass Nr C01X00T47 weg", ["C01X00T47"], ["weg"]),
    ("account number 12345678 sort code 12-34-56", ["12345678", "12-34-56"], []),
    ("contraseña: perrito77", ["perrito77"], []),
    ("mot de passe : chaton2020", ["chaton2020"], []),
    ("my password is kitty99!", ["kitty99"], ["my password is"]),
    ("the password is wrong", [], ["the password is wrong"]),
    ("upi id 9988776655", ["9988776655"], []),
    ("via@mirelo so nice", ["mirelo"], ["so nice"]),
    ("lol!@sunshine", ["sunshine"], ["lol!"]),
    ("(@sunshine)", ["sunshine"], []),
    ("https://mirelo83.com/abc) nice", ["mirelo83.com/abc"], [") nice"]),
    ("https://mirelo83.com/abc|next", ["mirelo83.com/abc"], ["|next"]),
    ("'https://mirelo83.com/abc' yes", ["mirelo83.com/abc"], ["' yes"]),
    ("insta💕👉mirelo.vance", ["mirelo.vance"], []),
    ("tg ➡️ mirelo_83", ["mirelo_83"], []),
    ("my name on free fire (DragoX99)", ["DragoX99"], []),
    ("ign: kayla_rose_22", ["kayla_rose_22"], []),
    ("name: mirelo_vance", ["mirelo_vance"], []),
    ("love it @sunshine. So good", ["sunshine"], ["love it", "So good"]),
    ("meet @ live nation", [], ["meet @ live nation"]),
    ("see you @ home. Me too", [], ["see you @ home. Me too"]),
    ("lunch @ sky bar", [], ["lunch @ sky bar"]),
    ("season #2023", [], ["season #2023"]),
    ("Pikachu #0025", [], ["Pikachu #0025"]),
    ("day #0099 of asking", [], ["day #0099 of asking"]),
    ("a &gt; b &amp; c &lt;3", [], ["a &gt; b &amp; c &lt;3"]),
    ("Tom &amp; Jerry 1940", [], ["Tom &amp; Jerry 1940"]),
    ("it&#39;s ok", [], ["it&#39;s ok"]),
    ("(1999-2003) rip", [], ["(1999-2003) rip"]),
    ("[2010-2015]", [], ["[2010-2015]"]),
    ("03 • 05 • 2021", [], ["03 • 05 • 2021"]),
    ("12·11·2019 the day", [], ["12·11·2019 the day"]),
    ("android 12.1.0.4 bug", [], ["android 12.1.0.4 bug"]),
    ("std::vector rocks", [], ["std::vector rocks"]),
    ("add::more", [], ["add::more"]),
    ("Chrome 101.0.4951.41", [], ["Chrome 101.0.4951.41"]),
    ("5 Some place else", [], ["5 Some place else"]),
    ("2 Good way to go", [], ["2 Good way to go"]),
    ("Danke Weg 1", [], ["Danke Weg 1"]),
    ("user: hello there", [], ["user: hello there"]),
    ("User: please stop", [], ["User: please stop"]),
    ("x&lt;y", [], ["x&lt;y"]),
    ("Berliner Platz 7 wohne ich", ["Berliner Platz 7"], ["wohne ich"]),
    # links that lost the space before them, behind any letter or sign
    ("hereftp://files.mirelo83.net/a", ["mirelo83.net"], ["here"]),
    ("点击instagram.com/mirelo83关注我", ["mirelo83"], ["点击", "关注我"]),
    ("Siteウェブwww.mirelo83.jpです", ["mirelo83.jp"], ["Siteウェブ", "です"]),
    ("clickwww.mirelo83.com now", ["mirelo83.com"], ["click", "now"]),
    ("joindiscord.gg/mirelo83", ["mirelo83"], ["join"]),
    ("htps://mirelo83.com/abc", ["mirelo83.com/abc"], []),
    ("lien:https//mirelo83.com/x", ["mirelo83.com/x"], ["lien:"]),
    # and their end
    ("https://mirelo83.com/abc] nice", ["mirelo83.com/abc"], ["] nice"]),
    ("«https://mirelo83.com/abc»x", ["mirelo83.com/abc"], ["«", "»x"]),
    ("【https://mirelo83.com/abc】次", ["mirelo83.com/abc"], ["【", "】次"]),
    ("https://mirelo83.com/abc。次", ["mirelo83.com/abc"], ["。次"]),
    ("https://mirelo83.com，好看", ["mirelo83.com"], ["，好看"]),
    ("https://mirelo83.com/a_(b) x", ["mirelo83.com/a_(b)"], [" x"]),
    # Discord's invitations, however cut
    ("join .gg/qAx7Yz", ["qAx7Yz"], ["join"]),
    ("discord gg/quandrix", ["quandrix"], []),
    ("discord.gg / quandrix", ["quandrix"], []),
    ("invite code: qAx7Yz9", ["qAx7Yz9"], ["invite code:"]),
    ("gg/wp, gg ez.gg", [], ["gg/wp, gg ez.gg"]),
    # addresses for apps
    ("tg:resolve?domain=quandrix", ["quandrix"], []),
    ("snapchat://add/quandrix", ["quandrix"], []),
    ("ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3", ["bafybei"], []),
    ("spotify:user:quandrix", ["quandrix"], []),
    ("magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a", ["c12fe1c06bba"], []),
    ("spotify: premium, re:zero, did: it, 10:30", [], ["spotify: premium, re:zero, did: it, 10:30"]),
    # links made harmless, and pulled apart
    ("https[:]//quandrix.com/x", ["quandrix.com"], []),
    ("www[.]quandrix[.]co[.]uk", ["quandrix", "uk"], []),
    ("t dot me slash quandrix", ["quandrix"], []),
    ("instagram. com/quandrix", ["quandrix"], []),
    ("quandrix,com/abc", ["quandrix"], []),
    # names in other networks
    ("#quandrix:matrix.org", ["quandrix", "matrix.org"], []),
    ("@quandrix:zef.im hi", ["quandrix", "zef.im"], ["hi"]),
    ("@quandrix@akko.zone", ["quandrix", "akko.zone"], []),
    ("quandrix.eth", ["quandrix"], []),
    ("did:plc:ewvi7nxzyoun6zhxrhs64oiz", ["ewvi7nxz"], []),
    ("btc.eth and price.eth", [], ["btc.eth and price.eth"]),
    # what stands for a character
    ("&#0000064;mirelo hi", ["mirelo"], ["hi"]),
    ("mirelo83&amp;#64;gmail.com", ["mirelo83"], []),
    ("mirelo83%40gmail%2Ecom", ["mirelo83"], []),
    (
        "&lt;a href=&quot;https://mirelo83.com/abc&quot;&gt;x",
        ["mirelo83.com/abc"],
        ["&lt;a href=&quot;", "&quot;&gt;x"],
    ),
    ("@mirelo&nbsp;hi &amp", ["mirelo"], ["&nbsp;hi &amp"]),
    ("ɪɴsᴛᴀ: mirelovance", ["mirelovance"], ["ɪɴsᴛᴀ: "]),
    ("50%40 off &#39;ok&#39; don&#39t &nope;", [], ["50%40 off &#39;ok&#39; don&#39t &nope;"]),
    # mail and mentions
    ("contact..mirelo83@gmail.com", ["mirelo83"], ["contact.."]),
    ("mirelo83@@gmail.com", ["mirelo83"], []),
    ("by@mirelo.vance", ["mirelo.vance"], ["by"]),
    ("shoutout2@mirelo_v", ["mirelo_v"], ["shoutout2"]),
    ("p@ssword e@rth w@nker @w@", [], ["p@ssword e@rth w@nker @w@"]),
    ("you u/me and u/them", [], ["you u/me and u/them"]),
    # files and sentences without a space
    ("lib.rs script.pl main.cc", [], ["lib.rs script.pl main.cc"]),
    ("c'est bien.de rien, super.de luxe", [], ["c'est bien.de rien, super.de luxe"]),
    ("asp.net and the .com boom on co.uk", [], ["asp.net and the .com boom on co.uk"]),
]
"""Text, what must be gone, what must stay."""


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(ScrubPolicy())


@pytest.mark.parametrize(("text", "gone", "stay"), EXAMPLES, ids=[text[:40] for text, _, _ in EXAMPLES])
def test_a_kind(scrubber: Scrubber, text: str, gone: list[str], stay: list[str]) -> None:
    out = scrubber.scrub([text])[0].text
    assert not [part for part in gone if part in out], out
    assert not [part for part in stay if part not in out], out


def test_the_cases_that_people_met(scrubber: Scrubber, shared: Path) -> None:
    path = shared / "cases" / "scrub.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        test_a_kind(scrubber, case["text"], case.get("gone") or [], case.get("stay") or [])


def examples_by_kind() -> dict[str, list[tuple[str, list[str], list[str]]]]:
    """The rows of the table of numbers by section: text, what must be gone, what must stay."""
    sections: dict[str, list[tuple[str, list[str], list[str]]]] = {}
    for line in (DATA / "scrub_numbers.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and " || " not in line:
            rows = sections.setdefault(line[1:-1], [])
        elif line and not line.startswith("# "):
            text, gone, stay = [*line.split(" || "), ""][:3]
            rows.append((text, gone.split(";"), stay.split(";")))
    return sections


@pytest.mark.parametrize("section", examples_by_kind())
def test_numbers_and_places_of_every_kind_go(scrubber: Scrubber, section: str) -> None:
    rows = examples_by_kind()[section]
    assert rows
    for (text, gone, stay), out in zip(rows, scrubber.scrub([text for text, _, _ in rows]), strict=True):
        assert not [part for part in gone if part in out.text], (text, out.text)
        assert not [part for part in stay if part not in out.text], (text, out.text)


def test_what_only_looks_like_a_number_of_somebody_stays(scrubber: Scrubber) -> None:
    lines = [
        line for line in (DATA / "scrub_harmless.txt").read_text(encoding="utf-8").splitlines() if line[:2] != "# "
    ]
    assert len(lines) > 300
    assert not [(line, out.text) for line, out in zip(lines, scrubber.scrub(lines), strict=True) if out.spans]


FRAMES = (
    "dm or ring {} for bookings",
    "save my digits {} babe",
    "anota: {} vale",
    "o meu zap é {} chama",
    "mon num c'est le {} stp",
    "ruf mal die {} an",
    "Bestellungen unter {} möglich",
    "per info {} grazie",
    "app me op {} groetjes",
    "mój nr {} pisz",
    "sipariş için {} teşekkürler",
    "позвони мне {} вечером",
    "мій номер {} пиши",
    "كلمني {} الان",
    "मेरा नंबर {} है",
    "联系我{}哦",
    "ご予約は {} まで",
    "제 번호는 {} 입니다",
    "nomor wa ku {} ya",
    "nhắn tin {} nha",
    "โทร {} นะ",
    "ring mig på {} tack",
)
"""Sentences around a number in the main languages, each with another verb or noun."""


def share_gone(scrubber: Scrubber, frame: str, numbers: list[str]) -> float:
    """The share of the numbers of which no digit is left when each is put into a frame."""
    own = sum(char.isdecimal() for char in frame)
    scrubbed = scrubber.scrub([frame.format(number) for number in numbers])
    return sum(sum(map(str.isdecimal, out.text)) <= own for out in scrubbed) / len(numbers)


def test_numbers_of_every_region(scrubber: Scrubber) -> None:
    """The examples that libphonenumber has of each region: written for abroad, called, in sentences, and alone."""
    examples = [
        number
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
    ]
    assert len(examples) > 400
    abroad, home = (
        [phonenumbers.format_number(number, form) for number in examples]
        for form in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)
    )
    assert share_gone(scrubber, "my number is {} ok", abroad) >= 0.99
    assert share_gone(scrubber, "{}", abroad) >= 0.99
    for frame in ("call me {} ok", "you can reach us at {} any time", "phone: {}"):
        assert share_gone(scrubber, frame, home) >= 0.97, frame
    for place, frame in enumerate(FRAMES):
        assert share_gone(scrubber, frame, home[place % 3 :: 3]) >= 0.90, frame
    # Without any word that asks for a call, what its country writes so is a number still.
    assert share_gone(scrubber, "hello {} ok", home) >= 0.85
