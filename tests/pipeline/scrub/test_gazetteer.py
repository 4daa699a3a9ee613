"""Which of a dataset's names are found, in which form, and which are spared as ordinary words."""

import pytest

from csmv.pipeline.scrub.folding import fold
from csmv.pipeline.scrub.forms import Form, Writing, form_of
from csmv.pipeline.scrub.gazetteer import Gazetteer
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Glance


def found(names: str | list[str], text: str) -> list[str]:
    """What stands at the findings of a gazetteer of these names, in a text that is folded first."""
    folded = fold(text).text
    gazetteer = Gazetteer([names] if isinstance(names, str) else names)
    pieces = [folded[start:end] for start, end, _, _ in gazetteer.find(folded)]
    # The quick look must let through what the search finds, and `count` goes by both.
    assert not pieces or gazetteer.may_hold(Glance(folded))
    assert gazetteer.count(text) == len(pieces)
    return pieces


# ---------------------------------------------------------------------- one word


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("lunarpost77", "is LunarPost77 here? lunarpost77!", ["LunarPost77", "lunarpost77"]),
        ("LUNARPOST77", "lunarpost77", ["lunarpost77"]),
        ("@lunarpost77", "lunarpost77", ["lunarpost77"]),
        ("✨lunarpost77✨", "lunarpost77", ["lunarpost77"]),
        ("Zoëqx", "zoeqx ZOËQX Zoe\u0308qx", ["zoeqx", "ZOEQX", "Zoeqx"]),
        ("lunarpost77", "xlunarpost77 lunarpost77x lunarpost7", []),
        ("lunarpost77", "lunarpost77's", ["lunarpost77"]),
        ("lunarpost77", "看lunarpost77的", ["lunarpost77"]),
        # three letters are the fewest
        ("zzq", "zzq", ["zzq"]),
        ("zq", "zq", []),
        ("q", "q", []),
        # ordinary words, slang, and digits
        ("love", "i love this", []),
        ("lol", "lol", []),
        ("123456", "123456", []),
        ("7", "7", []),
        ("Grace", "grace", []),
        # ornaments alone and nothing at all
        ("✨", "✨", []),
        ("", "x", []),
        ("   ", "   ", []),
    ],
)
def test_names_of_one_word(name: str, text: str, pieces: list[str]) -> None:
    assert found(name, text) == pieces


# ---------------------------------------------------------------------- several words


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        # of ordinary words without a given name: only as it is written
        ("Sunny Day", "Sunny Day, sunny day, SUNNY DAY", ["Sunny Day"]),
        ("Sunny  Day", "Sunny   Day", ["Sunny   Day"]),
        ("the best", "the best The Best", ["the best"]),
        # with a given name, or a word that is not ordinary: in any casing and with any space
        ("John Smith", "JOHN  smith", ["JOHN  smith"]),
        ("Zoë Fantôme", "zoe\u00a0fantome, zoefantome", ["zoe fantome"]),
        ("Zoë Fantôme", "Fantôme Zoë", []),
        # a given name among the most used words is speech if every other word is, too
        ("John Day", "john day John Day", ["John Day"]),
        ("John Smith Day", "john smith day", ["john smith day"]),
        # a number among more than two words is no speech; with one word it is
        ("example viewer 01", "Example Viewer 01", ["Example Viewer 01"]),
        ("viewer 01", "Viewer 01, viewer 01", ["viewer 01"]),
        ("example dance viewer", "Example dance viewer", []),
        # what is written with dots, dashes and other ornaments is a handle
        ("kai.the.great", "KAI.the.great kai the great", ["KAI.the.great"]),
        ("the-best", "The-Best, the best", ["The-Best"]),
        ("don't stop", "Don't Stop, don't stop", ["don't stop"]),
        ("Sunny Day", "Sunny.Day", []),
    ],
)
def test_names_of_several_words(name: str, text: str, pieces: list[str]) -> None:
    assert found(name, text) == pieces


def test_the_longest_name_at_each_place() -> None:
    names = ["zoeqx", "zoeqx fantome", "zoeqx fantome the third", "fantome"]
    assert found(names, "zoeqx") == ["zoeqx"]
    assert found(names, "zoeqx fantome here") == ["zoeqx fantome", "fantome"]
    assert found(names, "zoeqx fantome the third") == ["zoeqx fantome the third", "fantome"]
    # "the" leads on towards a longer name that is not there.
    assert found(names, "zoeqx fantome the second") == ["zoeqx fantome", "fantome"]
    assert found(["zoeqx fantome the third"], "zoeqx fantome") == []


def test_one_name_written_in_two_ways() -> None:
    assert found(["Sunny Day", "SUNNY DAY"], "Sunny Day SUNNY DAY sunny day") == ["Sunny Day", "SUNNY DAY"]
    assert found(["Sunny Day", "sunny.day"], "Sunny Day SUNNY.DAY sunny day") == ["Sunny Day", "SUNNY.DAY"]


def test_a_name_has_at_most_twelve_words() -> None:
    twelve = " ".join(f"zq{number:02d}x" for number in range(12))
    assert found(twelve, f"so {twelve} ok") == [twelve]
    assert found(f"{twelve} zq12x", f"{twelve} zq12x") == []


# ---------------------------------------------------------------------- scripts without spaces


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("小明同学", "我喜欢小明同学的视频", ["小明同学"]),
        ("小明同", "小明同", ["小明同"]),  # three characters are the fewest
        ("小明", "小明", []),
        ("小", "小", []),
        ("さくらちゃん", "今日さくらちゃんは", ["さくらちゃん"]),
        ("สมชายดี", "ฉันชอบสมชายดีมาก", ["สมชายดี"]),  # Thai
        ("ສົມຊາຍ", "ຂ້ອຍສົມຊາຍ", ["ສົມຊາຍ"]),  # Lao
        ("မောင်မောင်", "ကမောင်မောင်", ["မောင်မောင်"]),  # Burmese
        ("សុខាដា", "ខ្ញុំសុខាដា", ["សុខាដា"]),  # Khmer
        ("𠀀𠀁𠀂", "x𠀀𠀁𠀂x", ["𠀀𠀁𠀂"]),  # Chinese beyond the first plane
        ("小明同学77", "看小明同学77", ["小明同学77"]),
        # with a letter of another script it is looked for as words are
        ("小明x同学", "小明x同学", ["小明x同学"]),
        # Korean puts spaces between words
        ("김철수님", "김철수님이 김철수님", ["김철수님"]),
        ("Иванпост", "иванпост иванпостx", ["иванпост"]),
    ],
)
def test_names_in_many_scripts(name: str, text: str, pieces: list[str]) -> None:
    assert found(name, text) == pieces


def test_the_longest_of_names_with_one_beginning() -> None:
    names = ["小明同", "小明同学会", "小明同学", "小明同乡会"]
    assert found(names, "小明同学会") == ["小明同学会"]
    assert found(names, "小明同学们") == ["小明同学"]
    assert found(names, "小明同乡会") == ["小明同乡会"]
    assert found(names, "小明同") == ["小明同"]
    assert found(names, "大小明同事") == ["小明同"]


@pytest.mark.parametrize("code", [0x0E01, 0x10FF, 0x1780, 0x17DC, 0x3041, 0x9FFF, 0x20000, 0x31FFE])
def test_edges_of_the_scripts_without_spaces(code: int) -> None:
    char = chr(code)
    if char.isalpha():
        assert found(f"小明{char}", f"看小明{char}的") == [f"小明{char}"]


# ---------------------------------------------------------------------- what a finding says


def test_a_finding_has_a_place_a_score_and_a_rule() -> None:
    gazetteer = Gazetteer(["lunarpost77", "小明同学"])
    assert gazetteer.kind is Kind.USERNAME
    assert sorted(gazetteer.find("ask lunarpost77 or 小明同学")) == [
        (4, 15, 1.0, "known name"),
        (19, 23, 0.9, "known name without spaces"),
    ]
    [result] = gazetteer.analyze("ask lunarpost77", ["USERNAME"])
    assert (result.entity_type, result.start, result.end, result.score) == ("USERNAME", 4, 15, 1.0)


def test_the_quick_look_goes_by_first_words_and_by_script() -> None:
    worded, unspaced = Gazetteer(["zoeqx fantome"]), Gazetteer(["小明同学"])
    assert worded.may_hold(Glance("so Zoeqx"))
    assert not worded.may_hold(Glance("so fantome"))
    assert not worded.may_hold(Glance("小明同学"))
    assert unspaced.may_hold(Glance("小红"))
    assert not unspaced.may_hold(Glance("plain words"))
    assert not Gazetteer([]).may_hold(Glance("小明 zoeqx"))
    assert Gazetteer([]).count("小明 zoeqx") == 0
    assert worded.count("zoeqx fantome, ZOËQX FANTÔME and zoeqx") == 2


# ---------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("@LunarPost77", Form("lunarpost77", Writing("loose"), ("lunarpost77",))),
        ("Sunny  Day", Form("Sunny Day", Writing("exact"), ("sunny", "day"))),
        ("小明同", Form("小明同", Writing("unspaced"))),
        ("小明", None),
        ("小明7", Form("小明7", Writing("unspaced"))),
        ("สมชายดี๊!", Form("สมชายดี๊", Writing("unspaced"))),  # two marks on the last letter
        ("ᄀᆨᄂ", Form("ᄀᆨᄂ", Writing("loose"), ("ᄀᆨᄂ",))),  # letters of Korean begin at U+1100
        ("love", None),
        ("✨", None),
    ],
)
def test_the_form_of_a_name(name: str, form: Form | None) -> None:
    assert form_of(name) == form
