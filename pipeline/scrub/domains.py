"""Which endings a domain name may have, from the Public Suffix List that tldextract carries; never the network."""

from functools import cache

from csmv.pipeline.scrub.vocabulary import SPACED

_LETTER = SPACED.replace("_", "")
LABEL = rf"[{_LETTER}](?:[{SPACED}-]{{0,61}}[{_LETTER}])?"
"""A regular expression for one part of a domain name, in any script that parts words by spaces."""
ENDING = r"(?:xn--[a-z0-9-]{2,59}|[A-Za-z]{2,24}|[\u0370-\u06ff]{2,24})"
"""A regular expression for the last part of one; `is_ending` says whether there is such an ending."""

_MAIL_PROVIDERS = """
gmail googlemail hotmail outlook live msn yahoo ymail rocketmail icloud me mac aol proton protonmail pm gmx web mail
zoho yandex ya rambler inbox bk list tutanota tuta fastmail hey qq foxmail 163 126 sina naver daum hanmail kakao
rediffmail orange wanadoo free sfr laposte libero virgilio tiscali alice t-online freenet arcor uol bol terra ig
hotmai gmai gamil gmial yaho iclod wp o2 onet interia seznam centrum abv ukr bigpond comcast verizon att sbcglobal
cox btinternet sky virginmedia talktalk shaw rogers sympatico telus
"""
# Hardly ever the next word of a sentence whose writer left out the space after the full stop.
_CLEAR_ENDINGS = """
com net org edu gov mil int info biz io gg tv fm ly gl xyz app dev site online website shop store club vip uk ru ua
pl cz sk de fr nl dk fi br jp cn kr hk tw ph vn th lk mx cl uy ve gr hu ro bg rs hr lt lv ee tr il ae sa qa kw eg ng
ke za gh co ca au nz ch eu ws cc bz tk ml cf ga gq onl blog cloud tech icu cyou sbs cfd asia digital agency academy
network exchange finance fyi gifts social systems capital ventures holdings investments
"""
_COMMON_ENDINGS = """
com net org edu gov info biz io gg tv co me uk de fr it es pt nl be ch at pl cz ru ua br mx ar cl pe ca au nz in jp
cn kr hk tw sg my id ph th vn tr gr il ae sa za ng ke eg pk bd ro hu bg se no dk fi ie eu us ly app dev xyz site
online shop store link ai to cc ws club live fm gl
"""
# Shorteners, and hosts whose first path segment is a person.
SHORT_HOSTS = """
t.me t.co x.com g.co wa.me fb.me m.me bit.ly goo.gl is.gd ow.ly cutt.ly rb.gy shorturl.at youtu.be linktr.ee lnk.bio
discord.gg dsc.gg tinyurl.com vm.tiktok.com vt.tiktok.com snapchat.com telegram.me telegram.dog ig.me beacons.ai
solo.to linkin.bio allmylinks.com carrd.co kick.com twitch.tv bsky.app vk.cc vk.com amzn.to a.co spoti.fi apple.co
flow.page campsite.bio bio.link taplink.cc msha.ke many.link tr.ee s.id clck.ru
"""

# Hosts whose first path segment, or the one after a word such as user, is a person or what a person posted.
PROFILE_HOSTS = """
instagram.com facebook.com twitter.com tiktok.com youtube.com threads.net threads.com reddit.com pinterest.com
tumblr.com soundcloud.com spotify.com discord.com discordapp.com github.com patreon.com onlyfans.com linkedin.com
whatsapp.com line.me ko-fi.com paypal.me cash.app venmo.com etsy.com depop.com steamcommunity.com roblox.com vsco.co
"""
# Endings that are also a frequent word of a large language, or how files of programs end.
SPEECH_ENDINGS = "de nl fi ca pl rs cc cl sk co hu lt ml ai sh so us"
# What has a dot in it and belongs to everybody; the last are endings of their own.
FRAMEWORKS = "asp.net vb.net ado.net ml.net co.uk co.jp co.kr com.br com.au com.mx com.tr com.ar co.in co.za ac.uk"

MAIL_PROVIDERS = frozenset(_MAIL_PROVIDERS.split())
CLEAR_ENDINGS = frozenset(_CLEAR_ENDINGS.split())
COMMON_ENDINGS = frozenset(_COMMON_ENDINGS.split())


@cache
def endings() -> frozenset[str]:
    """Every top-level domain, lower case, as Unicode and as Punycode."""
    import tldextract

    bundled = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    names = {suffix.rsplit(".", 1)[-1].lower() for suffix in bundled.tlds}
    return frozenset(names | {name.encode("idna").decode("ascii") for name in names if not name.isascii()})


def is_ending(name: str) -> bool:
    """Whether `name` is a top-level domain."""
    return name.lower() in endings()
