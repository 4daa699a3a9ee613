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
    # glued mention
    ("RT@mirelo83 wow", ["mirelo83"], ["RT", "wow"]),
    ("great!@mirelo", ["mirelo"], ["great!"]),
    ("@mirelo,@quandrix,@zefrano", ["mirelo", "quandrix", "zefrano"], []),
    ("@mirelo-@quandrix", ["mirelo", "quandrix"], []),
    ("with@mirelo83", ["mirelo83"], ["with"]),
    ("thanks@mirelovance!!", ["mirelovance"], ["thanks"]),
    ("谢谢@小明同学", ["小明同学"], ["谢谢"]),
    ("धन्यवाद@mirelo83", ["mirelo83"], ["धन्यवाद"]),
    ("danke@mirelo83", ["mirelo83"], ["danke"]),
    ('"@mirelo"', ["mirelo"], []),
    ("..@mirelo", ["mirelo"], []),
    ("{@mirelo}", ["mirelo"], []),
    ("-@mirelo", ["mirelo"], []),
    ("→@mirelo", ["mirelo"], []),
    ("📸@mirelo", ["mirelo"], []),
    ("1@mirelo83", ["mirelo83"], []),
    ("@mirelo:hello", ["mirelo"], ["hello"]),
    ("@.mirelo", ["mirelo"], []),
    ("@mi\u200brelo", ["mi\u200brelo"], []),
    ("@мирело_83", ["мирело_83"], []),
    ("wow-@mirelo", ["mirelo"], ["wow"]),
    ("dc:@mirelo.vance", ["mirelo.vance"], []),
    # platform and handle, other shapes
    ("ig👉🏻mirelovance", ["mirelovance"], []),
    ("ig → mirelovance", ["mirelovance"], []),
    ("snap 👻: mirelovance", ["mirelovance"], []),
    ("👻mirelovance", ["mirelovance"], []),
    ("📷: mirelo.vance", ["mirelo.vance"], []),
    ("ig [mirelovance]", ["mirelovance"], []),
    ("ig 【mirelovance】", ["mirelovance"], []),
    ("ig “mirelovance”", ["mirelovance"], []),
    ("ig {mirelovance}", ["mirelovance"], []),
    ("ig `mirelovance`", ["mirelovance"], []),
    ("(ig) mirelo.vance", ["mirelo.vance"], []),
    ("ig | mirelovance", ["mirelovance"], []),
    ("ig · mirelo.vance", ["mirelo.vance"], []),
    ("ig ~ mirelovance", ["mirelovance"], []),
    ("ig – mirelovance", ["mirelovance"], []),
    ("ig // mirelovance", ["mirelovance"], []),
    ("ig = mirelovance", ["mirelovance"], []),
    ("ig :: mirelovance", ["mirelovance"], []),
    ("ig ; mirelovance", ["mirelovance"], []),
    ("ig.mirelo_vance", ["mirelo_vance"], []),
    ("IG✨mirelo.vance✨", ["mirelo.vance"], []),
    ("insta 🌸 mirelo.vance", ["mirelo.vance"], []),
    ("insta: ✨ mirelo.vance", ["mirelo.vance"], []),
    ("tg ✈️ mirelo_83", ["mirelo_83"], []),
    ("discord 🎮 mirelo.vance", ["mirelo.vance"], []),
    ("mastodon: @mirelo@mastodon.social", ["mirelo", "mastodon.social"], []),
    ("follow me at @mirelo@fosstodon.org!", ["mirelo", "fosstodon.org"], []),
    ("@mirelo@xn--baw-joa.social", ["mirelo"], []),
    ("bluesky: mirelo.bsky.social", ["mirelo"], []),
    ("mirelo.bsky.social", ["mirelo"], []),
    ("мой инст: mirelovance", ["mirelovance"], []),
    ("телега — mirelo83", ["mirelo83"], []),
    ("инста👉mirelo.vance", ["mirelo.vance"], []),
    ("тг канал mirelo_83", ["mirelo_83"], []),
    ("вк mirelo_83", ["mirelo_83"], []),
    ("انستقرامي mirelo.vance", ["mirelo.vance"], []),
    ("سناب👻 mirelo83", ["mirelo83"], []),
    ("تيك توك: mirelo.83", ["mirelo.83"], []),
    ("इंस्टा: mirelo.vance", ["mirelo.vance"], []),
    ("टेलीग्राम: mirelo83", ["mirelo83"], []),
    ("微信号mirelo83", ["mirelo83"], []),
    ("vx:mirelo83", ["mirelo83"], []),
    ("加微mirelo83", ["mirelo83"], []),
    ("威信➕mirelo83", ["mirelo83"], []),
    ("QQ：2837465910", ["2837465910"], []),
    ("抖音搜mirelo83", ["mirelo83"], []),
    ("インスタ→mirelo.vance", ["mirelo.vance"], []),
    ("インスタは mirelo.vance です", ["mirelo.vance"], []),
    ("ツイ垢 mirelo_83", ["mirelo_83"], []),
    ("LINE ID: mirelo83", ["mirelo83"], []),
    ("인스타👉mirelo.vance", ["mirelo.vance"], []),
    ("카톡 mirelo83", ["mirelo83"], []),
    ("카카오톡 mirelo83 추가", ["mirelo83"], []),
    ("디스코드: mirelo83", ["mirelo83"], []),
    ("mi ig mirelo.vance", ["mirelo.vance"], []),
    ("mi snap es mirelo83", ["mirelo83"], []),
    ("mi tiktok: mirelovance", ["mirelovance"], []),
    ("meu insta 👉 mirelovance", ["mirelovance"], []),
    ("segue lá: mirelo_83", ["mirelo_83"], []),
    ("mon snap: mirelo83", ["mirelo83"], []),
    ("il mio ig è mirelovance", ["mirelovance"], []),
    ("instam: mirelovance", ["mirelovance"], []),
    ("ig ku: mirelovance", ["mirelovance"], []),
    ("fb: Mirelo Vance", ["Mirelo"], []),
    ("ไลน์ mirelo83", ["mirelo83"], []),
    ("insta của mình: mirelo.vance", ["mirelo.vance"], []),
    ("ινστα: mirelo.vance", ["mirelo.vance"], []),
    ("ig & snap: mirelovance", ["mirelovance"], []),
    ("ig and snap: mirelovance", ["mirelovance"], []),
    ("mirelo_83 (ig)", ["mirelo_83"], []),
    ("add me on snap its mirelovance", ["mirelovance"], []),
    ("hmu on insta @mirelovance", ["mirelovance"], []),
    ("my insta-mirelovance", ["mirelovance"], []),
    ("text me on whatsapp/telegram @mirelo83", ["mirelo83"], []),
    ("contact him on telegram: mirelotrades", ["mirelotrades"], []),
    ("i.g: mirelovance", ["mirelovance"], []),
    ("1nsta: mirelovance", ["mirelovance"], []),
    ("inst@: mirelovance", ["mirelovance"], []),
    # game names
    ("my name on pubg (QuandrixPro14)", ["QuandrixPro14"], []),
    ("my name in pubg [Quandrix_99]", ["Quandrix_99"], []),
    ("my pubg name: Quandrix99", ["Quandrix99"], []),
    ("pubg id: 5172839465", ["5172839465"], []),
    ("my ff id 1928374655", ["1928374655"], []),
    ("ign: Quandrix", ["Quandrix"], []),
    ("ign is quandrix99", ["quandrix99"], []),
    ("gamertag: Quandrix", ["Quandrix"], []),
    ("my gamertag is quandrix77", ["quandrix77"], []),
    ("gt quandrix99", ["quandrix99"], []),
    ("add me on roblox QuandrixYT", ["QuandrixYT"], []),
    ("add me in roblox, my user is quandrix", ["quandrix"], []),
    ("my roblox username is quandrix", ["quandrix"], []),
    ("my user on roblox: quandrix", ["quandrix"], []),
    ("riot id Quandrix#EUW", ["Quandrix"], []),
    ("my riot is quandrix#na1", ["quandrix"], []),
    ("valorant Quandrix#TTV", ["Quandrix"], []),
    ("val id quandrix#0000", ["quandrix"], []),
    ("btag: Quandrix#21345", ["Quandrix"], []),
    ("my epic is quandrixyt", ["quandrixyt"], []),
    ("fortnite name: quandrix", ["quandrix"], []),
    ("my psn is Quandrix", ["Quandrix"], []),
    ("PSN Quandrix_99 add me", ["Quandrix_99"], ["add me"]),
    ("my xbox is quandrix99", ["quandrix99"], []),
    ("steam: quandrix", ["quandrix"], []),
    ("friend code: 182736455", ["182736455"], []),
    ("nintendo friend code SW 1234 5678 9012", ["1234 5678 9012"], []),
    ("my minecraft name is quandrix", ["quandrix"], []),
    ("brawl stars tag #8QJV2PP0Y", ["8QJV2PP0Y"], []),
    ("codm: quandrix", ["quandrix"], []),
    ("mlbb id 123456789 (2345)", ["123456789"], []),
    ("genshin uid 700123456", ["700123456"], []),
    ("mi id de free fire es QuandrixFF", ["QuandrixFF"], []),
    ("mi nick en roblox: quandrix", ["quandrix"], []),
    ("mi usuario de roblox es quandrix", ["quandrix"], []),
    ("agregame en roblox quandrix", ["quandrix"], []),
    ("meu nick é quandrix", ["quandrix"], []),
    ("meu id do ff 1928374655", ["1928374655"], []),
    ("me adiciona no roblox quandrix", ["quandrix"], []),
    ("mon pseudo est quandrix", ["quandrix"], []),
    ("mein name in roblox ist quandrix", ["quandrix"], []),
    ("il mio nick è quandrix", ["quandrix"], []),
    ("mój nick to quandrix", ["quandrix"], []),
    ("roblox adım quandrix", ["quandrix"], []),
    ("ник в пабг quandrix", ["quandrix"], []),
    ("мой ник: quandrix", ["quandrix"], []),
    ("ник в игре Quandrix_99", ["Quandrix_99"], []),
    ("мой ид в фри фаер 1928374655", ["1928374655"], []),
    ("اسمي في روبلوكس quandrix", ["quandrix"], []),
    ("ايديي 5172839465", ["5172839465"], []),
    ("mera ff id 1928374655", ["1928374655"], []),
    ("id ff ku 1928374655", ["1928374655"], []),
    ("username roblox: quandrix", ["quandrix"], []),
    ("我的游戏名 quandrix99", ["quandrix99"], []),
    ("フレンドコード 182736455", ["182736455"], []),
    ("로블 닉네임: quandrix99", ["quandrix99"], []),
    ("name: quandrix_zef", ["quandrix_zef"], []),
    ("acc: quandrix_zef", ["quandrix_zef"], []),
    ("main: quandrix_zef", ["quandrix_zef"], []),
    ("user:quandrix_zef", ["quandrix_zef"], []),
    ("my @: quandrix_zef", ["quandrix_zef"], []),
    ("add: quandrix_zef", ["quandrix_zef"], []),
    ("tiktok acc: quandrix_zef", ["quandrix_zef"], []),
    ("his user is quandrix.zef", ["quandrix.zef"], []),
    ("my user: quandrix.zef", ["quandrix.zef"], []),
    ("channel: quandrix_zef", ["quandrix_zef"], []),
    ("имя: quandrix_zef", ["quandrix_zef"], []),
    ("usuario: quandrix_zef", ["quandrix_zef"], []),
    ("昵称：quandrix_zef", ["quandrix_zef"], []),
    # mention and speech that stays
    ("don't @ me", [], ["don't @ me"]),
    ("meet me @ the park", [], ["meet me @ the park"]),
    ("@ home", [], ["@ home"]),
    ("was @ school. It was fun", [], ["was @ school. It was fun"]),
    ("@ 8pm", [], ["@ 8pm"]),
    ("look @ this. It is good", [], ["look @ this. It is good"]),
    ("@ me", [], ["@ me"]),
    ("see you @home", [], ["see you @home"]),
    ("@everyone", [], ["@everyone"]),
    ("f@ck you", [], ["f@ck you"]),
    ("h@te", [], ["h@te"]),
    ("@", [], ["@"]),
    ("@#$%", [], ["@#$%"]),
    ("x @ y", [], ["x @ y"]),
    ("at this point. me too", [], ["at this point. me too"]),
    ("@60fps 1080p", [], ["@60fps 1080p"]),
    # tags and numbers that stays
    ("#2023", [], ["#2023"]),
    ("#1 fan", [], ["#1 fan"]),
    ("#4you", [], ["#4you"]),
    ("it&#39;s", [], ["it&#39;s"]),
    ("a &amp; b", [], ["a &amp; b"]),
    ("&lt;3", [], ["&lt;3"]),
    ("tiktok &gt; instagram", [], ["tiktok &gt; instagram"]),
    ("pc &gt; console", [], ["pc &gt; console"]),
    ("hello&nbsp;world", [], ["hello&nbsp;world"]),
    ("&euro;100", [], ["&euro;100"]),
    ("lol &#128514; so funny", [], ["lol &#128514; so funny"]),
    ("caf&eacute;", [], ["caf&eacute;"]),
    ("&bull; one &bull; two", [], ["&bull; one &bull; two"]),
    ("&#10084;&#65039;", [], ["&#10084;&#65039;"]),
    ("B&Q", [], ["B&Q"]),
    ("&#xZZ;", [], ["&#xZZ;"]),
    ("lot #2045", [], ["lot #2045"]),
    ("apt #1204", [], ["apt #1204"]),
    ("player #0456", [], ["player #0456"]),
    ("agent #0007", [], ["agent #0007"]),
    # word and colon that stays
    ("user: hello", [], ["user: hello"]),
    ("name: word", [], ["name: word"]),
    ("snap: that was good", [], ["snap: that was good"]),
    ("y: 7", [], ["y: 7"]),
    ("sc: crying", [], ["sc: crying"]),
    ("mom: no", [], ["mom: no"]),
    ("signal: none", [], ["signal: none"]),
    ("tiktok: haha", [], ["tiktok: haha"]),
    ("roblox: fun", [], ["roblox: fun"]),
    ("edit: thanks", [], ["edit: thanks"]),
    ("answer: because", [], ["answer: because"]),
    ("tag: funny", [], ["tag: funny"]),
    ("via: phone", [], ["via: phone"]),
    ("fortnite: sucks", [], ["fortnite: sucks"]),
    ("steam sale", [], ["steam sale"]),
    ("signal lost", [], ["signal lost"]),
    ("discord between us", [], ["discord between us"]),
    ("x = 5", [], ["x = 5"]),
    ("steam (hot)", [], ["steam (hot)"]),
    ("threads (by meta)", [], ["threads (by meta)"]),
    ("discord (app)", [], ["discord (app)"]),
    ("pseudo science", [], ["pseudo science"]),
    ("логин: пароль", [], ["логин: пароль"]),
    ("my name is john", [], ["my name is john"]),
    ("my roblox is broken", [], ["my roblox is broken"]),
    ("my insta is down", [], ["my insta is down"]),
    ("my tiktok is weird", [], ["my tiktok is weird"]),
    ("add me on xbox bro", [], ["add me on xbox bro"]),
    ("pubg (mobile)", [], ["pubg (mobile)"]),
    ("my ign is bad", [], ["my ign is bad"]),
    # file names and joined sentences that stays
    ("main.py", [], ["main.py"]),
    ("e.g.this", [], ["e.g.this"]),
    ("wow.this is it", [], ["wow.this is it"]),
    ("omg.my god", [], ["omg.my god"]),
    ("p.m.", [], ["p.m."]),
    ("std::cout", [], ["std::cout"]),
    ("obj.id", [], ["obj.id"]),
    ("song.mp3", [], ["song.mp3"]),
    ("ok.:)", [], ["ok.:)"]),
    ("t.t", [], ["t.t"]),
    ("c.c", [], ["c.c"]),
    ("well..ok", [], ["well..ok"]),
    ("3.14", [], ["3.14"]),
    ("vol.3", [], ["vol.3"]),
    ("love.hate", [], ["love.hate"]),
    ("yes.God is good", [], ["yes.God is good"]),
    ("sim.me too", [], ["sim.me too"]),
    ("das ist gut.in der tat", [], ["das ist gut.in der tat"]),
    ("co.uk is", [], ["co.uk is"]),
    ("booking com", [], ["booking com"]),
    # about platforms that stays
    ("on discord now", [], ["on discord now"]),
    ("ig live", [], ["ig live"]),
    ("twitter drama", [], ["twitter drama"]),
    ("reddit thread", [], ["reddit thread"]),
    ("spotify wrapped", [], ["spotify wrapped"]),
    ("xbox gamepass", [], ["xbox gamepass"]),
    ("minecraft steve", [], ["minecraft steve"]),
    ("telegram bot", [], ["telegram bot"]),
    ("venmo me", [], ["venmo me"]),
    ("mastodon is nice", [], ["mastodon is nice"]),
    ("bereal time", [], ["bereal time"]),
    ("etsy shop", [], ["etsy shop"]),
    ("saw this on twitter lol", [], ["saw this on twitter lol"]),
    ("live on twitch now", [], ["live on twitch now"]),
    ("snapchat in 2015", [], ["snapchat in 2015"]),
    ("my snap streak", [], ["my snap streak"]),
    ("subscribe to pewdiepie", [], ["subscribe to pewdiepie"]),
    ("check my page", [], ["check my page"]),
    ("ig thats fair", [], ["ig thats fair"]),
    ("yt premium", [], ["yt premium"]),
    ("fn guy", [], ["fn guy"]),
    ("wx report", [], ["wx report"]),
    ("youtube - 100k", [], ["youtube - 100k"]),
    ("instagram ➡️ tiktok", [], ["instagram ➡️ tiktok"]),
    ("discord💀mods", [], ["discord💀mods"]),
    # mastodon
    ("find me @quandrix@mas.to", ["quandrix", "mas.to"], []),
    ("fedi:@quandrix@akko.zone", ["quandrix", "akko"], []),
    ("acct:quandrix@mastodon.world", ["quandrix"], []),
    # discord invites
    (".gg/quandrix", ["quandrix"], []),
    ("discord(.)gg/quandrix", ["quandrix"], []),
    ("discordapp.com/invite/quandrix", ["quandrix"], []),
    ("discord。gg/quandrix", ["quandrix"], []),
    # deep links and schemes
    ("tg://resolve?domain=quandrix", ["quandrix"], []),
    ("twitter://user?screen_name=quandrix", ["quandrix"], []),
    ("tel:+14155552671", ["4155552671"], []),
    ("matrix:u/quandrix:matrix.org", ["quandrix"], []),
    ("ipns://quandrix.eth", ["quandrix"], []),
    ("ssh://git@github.com/quandrix", ["quandrix"], []),
    # ids of other networks
    ("@quandrix:matrix.org", ["quandrix", "matrix.org"], []),
    ("@quandrix.bsky.social", ["quandrix"], []),
    ("npub1sn0wdenkukak0d9dfczzeacvhkrgz92ak56egt7vdgzn8pv2wfqqhrjdv9", ["npub1sn0"], []),
    ("on.soundcloud.com/aBcD1", ["aBcD1"], []),
    ("quandrix.github.io", ["quandrix"], []),
    ("kick.com/quandrix", ["quandrix"], []),
    ("reddit u/quandrix", ["quandrix"], []),
    ("tiktok.com/@quandrix", ["quandrix"], []),
    ("cash.app/$quandrix", ["quandrix"], []),
    ("threads.net/@quandrix", ["quandrix"], []),
    # what was taken for an account or a link in public texts, in other words
    ("RT USER: Keanehan itu", [], ["RT USER: Keanehan itu"]),
    ("USER: Kemarin aku", [], ["USER: Kemarin aku"]),
    ("a handle-squatter", [], ["a handle-squatter"]),
    ("follow-redirects", [], ["follow-redirects"]),
    ("forgive my ignorance", [], ["forgive my ignorance"]),
    ("Nick Hollenbeck said so", [], ["Nick Hollenbeck said so"]),
    ("Sunset @ Pickfordshire", [], ["Sunset @ Pickfordshire"]),
    ("Утро @ Малаховка", [], ["Утро @ Малаховка"]),
    ("lunch @ Topanga Canyon", [], ["lunch @ Topanga Canyon"]),
    ("heard from @ubertus . It was fun", ["ubertus"], ["heard from", ". It was fun"]),
    ("of @ubertus . My prayers", ["ubertus"], ["of", ". My prayers"]),
    ("on the @ubertus .NO more", ["ubertus"], ["on the", ".NO more"]),
    ("na escola . Com ela", [], ["na escola . Com ela"]),
    ("Pura balela. Com novo", [], ["Pura balela. Com novo"]),
    ("ở đó ạ . có", [], ["ở đó ạ . có"]),
    ("бл@дь на@уй", [], ["бл@дь на@уй"]),
    ("xbox > ps5 > pc", [], ["xbox > ps5 > pc"]),
    ("Genshin < BOTW", [], ["Genshin < BOTW"]),
    ("My Xbox is glitching", [], ["My Xbox is glitching"]),
    ("twitter: lalalala lalalala", [], ["twitter: lalalala lalalala"]),
    ("fortnite: whazaaap daddy", [], ["fortnite: whazaaap daddy"]),
    ("wattpad and ao3 account", [], ["wattpad and ao3 account"]),
    ("YouTube or “utube”", [], ["YouTube or “utube”"]),
    ("namë game plsss", [], ["namë game plsss"]),
    ("GAME NAME: RIDE4", [], ["GAME NAME: RIDE4"]),
    ("LastName_Essay1.doc", [], ["LastName_Essay1.doc"]),
    ("meet at home.See you", [], ["meet at home.See you"]),
    ("follow a facebook akwai shegu", [], ["follow a facebook akwai shegu"]),
    ("subscribe to my YouTube 😔 tryna hit 10k", [], ["subscribe to my YouTube 😔 tryna hit 10k"]),
    # more shapes of the same kinds
    ("zorbeka арроба gmail точка com", ["zorbeka"], []),
    ("h/t@zorbeka", ["zorbeka"], ["h/t"]),
    ("ig ▸ zorbeka", ["zorbeka"], ["ig ▸ "]),
    ("ライン→zorbeka9", ["zorbeka9"], ["ライン→"]),
    ("इंस्टा आईडी zorbeka_9", ["zorbeka_9"], ["इंस्टा आईडी "]),
    ("mein ingame name ist zorbeka", ["zorbeka"], ["mein ingame name ist"]),
    ("oyundaki adım zorbeka", ["zorbeka"], ["oyundaki adım"]),
    ("マイクラの名前 zorbeka9", ["zorbeka9"], ["マイクラの名前"]),
    ("facebook.com / zorbeka.x", ["zorbeka.x"], []),
    ("Pikachu > Raichu, insta<3, std::map<int>, @ practice. So tired", [], ["insta<3", "@ practice. So tired"]),
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


PLATFORMS = """
ig Insta snap sc tg discord twitter yt twitch steam psn xbl roblox line kakao wechat whatsapp bluesky threads x fb TT
kik vk linktree インスタ 카톡 инста سناب इंस्टा
"""


@pytest.mark.parametrize("platform", PLATFORMS.split())
def test_a_handle_behind_a_platform(scrubber: Scrubber, platform: str) -> None:
    frames = ("{}: mirelo.vance", "{} 👉 mirelo_83", "my {} (mirelo_83)", "{} ➡️ mirelo83 add me", "{}💕mirelo_83")
    for frame in frames:
        text = frame.format(platform)
        out = scrubber.scrub([text])[0].text
        assert "mirelo" not in out and out.startswith(frame.format(platform).split("mirelo")[0]), (text, out)


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
