"""TikTok's own JSON for the sandbox's videos and comments, field for field, personal data in every place it has there.

Numbers come as numbers here and as strings there, as they do on the site.
"""

from typing import Any

from csmv.pipeline.demo.sandbox.media import RENDITIONS, Rendition
from csmv.pipeline.demo.sandbox.world import Comment, Person, Video

Json = dict[str, Any]


def person(who: Person) -> Json:
    """A video's `author`."""
    picture = f"https://p16-sign.tiktokcdn.com/sandbox-avt/{who.uid}~100x100.jpeg?x-expires=4102444800"
    return {
        "id": who.uid,
        "uniqueId": who.handle,
        "nickname": who.nickname,
        "secUid": who.sec_uid,
        "signature": f"I am {who.nickname}",
        "verified": False,
        "privateAccount": False,
        "avatarThumb": picture,
        "avatarLarger": picture,
    }


def commenter(who: Person) -> Json:
    """A comment's `user`."""
    return {
        "uid": who.uid,
        "unique_id": who.handle,
        "nickname": who.nickname,
        "sec_uid": who.sec_uid,
        "avatar_thumb": {
            "uri": f"sandbox-avt/{who.uid}",
            "url_list": [f"https://p16-common-sign.tiktokcdn.com/{who.uid}.jpeg"],
        },
        "predicted_age_group": "3",
        "custom_verify": "",
    }


def media_address(video: Video, rendition: Rendition, host: str, expire: int, signature: str) -> str:
    """A signed address of one rendition."""
    return (
        f"https://{host}-webapp-prime.tiktok.com/video/tos/sandbox/tos-sandbox-ve-0068/"
        f"{rendition.url_key}-{video.id}/?a=1988&mime_type=video_mp4&expire={expire}"
        f"&signature={signature}&tk=tt_chain_token"
    )


def item(video: Video, seconds: float, expire: int, signature: str, *, in_list: bool) -> Json:
    """A video as `itemStruct` of its page, or as an element of `itemList`."""
    stats = {"playCount": 1000 + video.number, "diggCount": 50, "commentCount": len(video.comments), "shareCount": 3}
    play = media_address(video, RENDITIONS[2], "v16", expire, signature)
    return {
        "id": video.id,
        "desc": video.text,
        "createTime": video.created if in_list else str(video.created),
        "author": person(video.creator),
        "authorStats": {"followerCount": 120, "heartCount": 3000},
        "music": {
            "id": f"70000000000{video.number:08d}",
            "title": f"original sound - {video.creator.nickname}",
            "authorName": video.creator.nickname,
            "original": True,
            "duration": round(seconds),
        },
        "challenges": [{"id": challenge_id(tag), "title": tag, "desc": "", "isCommerce": False} for tag in video.tags],
        "textExtra": _mentions_in(video),
        "contents": [{"desc": video.text, "textExtra": _mentions_in(video)}],
        "stats": stats | {"collectCount": "7"},
        "statsV2": {name: str(number) for name, number in stats.items()},
        "video": {
            "id": video.id,
            "duration": round(seconds),
            "width": 576,
            "height": 1024,
            "ratio": "540p",
            "definition": "540p",
            "format": "mp4",
            "codecType": "h264",
            "playAddr": play,
            "downloadAddr": play,
            "cover": f"https://p16-sign.tiktokcdn.com/sandbox-cover/{video.id}.image?x-expires=4102444800",
            "bitrateInfo": [_bitrate(video, rendition, expire, signature) for rendition in reversed(RENDITIONS)],
        },
        "isAd": False,
        "privateItem": False,
        "secret": False,
        "forFriend": False,
        "itemCommentStatus": 0,
        "takeDown": 0,
        "indexEnabled": True,
        "textLanguage": "en",
        "IsAigc": False,
        "an_unknown_field": {"of": "next year"},
    }


def slideshow(item: Json) -> Json:
    """The same item as a post of pictures."""
    picture = {"imageURL": {"urlList": ["https://p16-sign.tiktokcdn.com/x.jpeg"]}, "imageWidth": 10, "imageHeight": 10}
    empty = {"id": item["id"], "duration": 0, "width": 0, "height": 0, "playAddr": "", "bitrateInfo": []}
    return item | {"imagePost": {"images": [picture], "title": ""}, "video": empty}


def comment(invented: Comment, video: Video) -> Json:
    """An element of `comments`, in lists and reply lists alike."""
    mentioned = [] if invented.mentions is None else [_mention(invented.mentions, invented.text)]
    shape: Json = {
        "cid": invented.cid,
        "aweme_id": video.id,
        "text": invented.text,
        "create_time": invented.created,
        "digg_count": invented.likes,
        "comment_language": "en",
        "reply_comment": None,
        "reply_id": invented.reply_to or "0",
        "reply_to_reply_id": "0",
        "user": commenter(invented.author),
        "is_author_digged": False,
        "author_pin": False,
        "status": 1,
        "label_list": [{"text": "Creator", "type": 1}] if invented.author == video.creator else None,
        "image_list": None,
        "text_extra": mentioned,
        "share_info": {
            "desc": f"{invented.author.nickname}'s comment: {invented.text}",
            "title": video.text,
            "url": f"https://m.tiktok.com/v/{video.id}.html?comment_author_id={invented.author.uid}"
            f"&share_comment_id={invented.cid}",
        },
    }
    if invented.reply_to is None:
        shape["reply_comment_total"] = len(video.replies_to(invented.cid))
    else:
        answered = next(other for other in video.comments if other.cid == invented.reply_to)
        shape |= {"reply_to_userid": answered.author.uid, "reply_to_username": answered.author.nickname}
    return shape


def hydration(detail: Json, video_id: str) -> Json:
    """The page's data with `detail` as its `webapp.video-detail`."""
    canonical = f"https://www.tiktok.com/@_/video/{video_id}"
    return {
        "__DEFAULT_SCOPE__": {
            "webapp.app-context": {"language": "en", "region": "US", "user": None},
            "seo.abtest": {"canonical": canonical, "pageType": "detail"},
            "webapp.video-detail": detail,
        }
    }


def challenge_id(tag: str) -> str:
    """The id of a hashtag: fixed by its name."""
    return "17" + "".join(str(ord(letter) % 10) for letter in tag.rjust(14, "0"))[-14:]


def challenge(tag: str) -> Json:
    """`challengeInfo` of a hashtag."""
    return {
        "challenge": {"id": challenge_id(tag), "title": tag, "desc": "", "isCommerce": False},
        "stats": {"videoCount": 0, "viewCount": 266378},
        "statsV2": {"videoCount": "0", "viewCount": "266378"},
    }


VERIFY = {"code": "10000", "from": "", "type": "verify", "version": "", "region": "va", "subtype": "slide"}
"""What a list answers when it wants a captcha solved."""


def _bitrate(video: Video, rendition: Rendition, expire: int, signature: str) -> Json:
    size = 1000 * rendition.height
    return {
        "Bitrate": size,
        "CodecType": "h264" if rendition.codec == "h264" else "h265_hvc1",
        "GearName": f"normal_{rendition.name}",
        "QualityType": 20,
        "PlayAddr": {
            "DataSize": str(size),
            "Width": rendition.width,
            "Height": rendition.height,
            "UrlKey": f"v1504sandbox_{rendition.url_key}_{size}",
            "UrlList": [
                media_address(video, rendition, "v16", expire, signature),
                media_address(video, rendition, "v19", expire, signature),
                f"https://www.tiktok.com/aweme/v1/play/?item_id={video.id}",
            ],
        },
    }


def _mentions_in(video: Video) -> list[Json]:
    friend = video.text.partition("@")[2].partition(" ")[0]
    start = video.text.find("@")
    tag = {"type": 1, "hashtagName": video.tags[0], "hashtagId": challenge_id(video.tags[0]), "userId": ""}
    return [
        tag,
        {
            "type": 0,
            "start": start,
            "end": start + 1 + len(friend),
            "userUniqueId": friend,
            "userId": "6800000000000000007",
        },
    ]


def _mention(who: Person, text: str) -> Json:
    start = text.find(f"@{who.handle}")
    return {"type": 0, "start": start, "end": start + len(who.handle) + 1, "user_id": who.uid, "sec_uid": who.sec_uid}
