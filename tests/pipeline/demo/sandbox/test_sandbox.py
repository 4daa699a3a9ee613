"""The sandbox itself: the same world from the same seed, guarded media, spent signatures, and no way out of it."""

import json
import re
import ssl
from collections.abc import Iterator

import httpx
import pytest

from csmv.pipeline.demo.sandbox import Fault, Place, Sandbox, SandboxSettings, World
from csmv.pipeline.demo.sandbox.media import RENDITIONS, video_bytes
from csmv.pipeline.demo.sandbox.shapes import challenge_id, comment, item


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    faults = {"short:ZM000001": Fault.SHORT_LOOP}
    with Sandbox(SandboxSettings(hashtags=2, videos=8, comments=12, faults=faults)) as running:
        yield running


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(sandbox.ca_file))
    with httpx.Client(proxy=sandbox.proxy, verify=trust) as client:
        yield client


def page_item(page: str) -> dict:
    found = re.search(r'REHYDRATION__" type="application/json">(.*?)</script>', page)
    assert found
    return json.loads(found[1])["__DEFAULT_SCOPE__"]["webapp.video-detail"]["itemInfo"]["itemStruct"]


def test_one_seed_gives_one_world() -> None:
    settings = SandboxSettings(hashtags=3, videos=30, comments=5, fault_rate=0.3)
    one, other = World(settings), World(settings)
    assert one.videos == other.videos
    assert one.truth() == other.truth()
    assert World(settings.model_copy(update={"seed": 2})).truth() != one.truth()
    assert video_bytes("7679401525248000001", RENDITIONS[0], 0.5) == video_bytes(
        "7679401525248000001", RENDITIONS[0], 0.5
    )


def test_some_videos_are_under_two_hashtags() -> None:
    world = World(SandboxSettings(hashtags=2, videos=10))
    assert [len(video.tags) for video in world.videos.values()].count(2) == 2


def test_a_rate_strikes_that_share_of_targets() -> None:
    world = World(SandboxSettings(hashtags=5, videos=200, fault_rate=0.2))
    struck = sum(world.fault(Place.VIDEO, video) is not None for video in world.videos)
    assert 150 < struck < 250


@pytest.mark.parametrize("url", ["https://example.com/", "https://tiktok.com.example.com/", "http://127.0.0.1:9/"])
def test_the_proxy_refuses_every_other_host(http: httpx.Client, sandbox: Sandbox, url: str) -> None:
    before = len(sandbox.refused)
    try:
        assert http.get(url).status_code == 403
    except httpx.ProxyError as error:
        assert "403" in str(error)
    assert len(sandbox.refused) == before + 1


def test_media_wants_the_cookies_of_its_page(http: httpx.Client, sandbox: Sandbox) -> None:
    video = sandbox.world.listing["sandboxtag01"][0]
    made = page_item(http.get(f"https://www.tiktok.com/@/video/{video}").text)
    address = made["video"]["playAddr"]

    whole = http.get(address)
    assert whole.status_code == 200 and whole.content[4:8] == b"ftyp"
    part = http.get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert http.get(address, headers={"Range": f"bytes={10**9}-"}).status_code == 416

    http.cookies.clear()
    assert http.get(address).status_code == 403
    http.get("https://www.tiktok.com/@/video/" + sandbox.world.listing["sandboxtag01"][1])
    assert http.get(address).status_code == 403, "another session's cookie"
    assert http.get(re.sub(r"expire=\d+", "expire=1", address)).status_code == 403


def test_a_signature_is_good_for_one_request(http: httpx.Client) -> None:
    asked = {"challengeID": challenge_id("sandboxtag01"), "cursor": "0", "count": "30", "X-Bogus": "abc"}
    first = http.get("https://www.tiktok.com/api/challenge/item_list/", params=asked)
    again = http.get("https://www.tiktok.com/api/challenge/item_list/", params=asked)
    assert len(first.json()["itemList"]) == 9
    assert (again.status_code, again.content) == (200, b"")


def test_short_links_oembed_and_unknown_pages(http: httpx.Client, sandbox: Sandbox) -> None:
    video = next(iter(sandbox.world.videos.values()))
    led = http.head(f"https://vm.tiktok.com/ZM{video.number:06d}/")
    assert led.status_code == 301 and f"/video/{video.id}" in led.headers["Location"]
    looped = http.head("https://www.tiktok.com/t/ZM000001/")
    assert looped.headers["Location"] == "https://www.tiktok.com/t/ZM000001/"
    told = http.get("https://www.tiktok.com/oembed", params={"url": f"https://www.tiktok.com/@x/video/{video.id}"})
    assert told.json()["embed_product_id"] == video.id
    assert http.get("https://www.tiktok.com/oembed", params={"url": "x"}).status_code == 400
    assert http.get("https://www.tiktok.com/@/video/123456789012345678").status_code == 404


def test_personal_data_is_planted_wherever_the_real_site_has_it(sandbox: Sandbox) -> None:
    video = next(iter(sandbox.world.videos.values()))
    reply = next(made for made in video.comments if made.reply_to)
    shape = comment(reply, video)
    assert {"uid", "unique_id", "nickname", "sec_uid"} <= set(shape["user"])
    assert reply.author.uid in shape["share_info"]["url"]
    assert shape["share_info"]["desc"].startswith(reply.author.nickname)
    assert {"reply_to_userid", "reply_to_username"} <= set(shape)
    mention = next(made for made in video.comments if made.mentions)
    assert comment(mention, video)["text_extra"][0]["sec_uid"] == mention.mentions.sec_uid
    assert f"@{mention.mentions.handle}" in mention.text
    made = item(video, 2, 1, "x", in_list=True)
    assert made["author"]["uniqueId"] == video.creator.handle
    assert video.creator.nickname in made["music"]["title"]
    texts = " ".join(made.text for other in sandbox.world.videos.values() for made in other.comments)
    assert "@mail.example" in texts and "+1 202 555" in texts


def test_the_examples_and_the_sandbox_speak_the_same_shapes(shared, sandbox: Sandbox) -> None:
    examples = shared / "tiktok" / "examples"
    video = next(iter(sandbox.world.videos.values()))
    theirs = json.loads((examples / "item_list_page1.json").read_text())["itemList"][0]
    ours = item(video, 2, 1, "x", in_list=True)
    assert set(ours) - {"an_unknown_field"} <= set(theirs)
    assert set(ours["video"]) <= set(theirs["video"])
    assert {name: type(ours[name]) for name in ours if name in theirs} == {
        name: type(theirs[name]) for name in ours if name in theirs
    }
    listed = json.loads((examples / "comment_list_page1.json").read_text())["comments"][0]
    assert set(comment(video.roots[0], video)) <= set(listed)
