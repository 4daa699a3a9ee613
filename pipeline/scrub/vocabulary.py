"""The words that recognisers listen for, as data: platforms, calls to follow or ring, units. Finds nothing itself.

In these lists a space parts entries, and _ stands for a space that people may leave out. Latin entries are without
accents, since the text is folded before it is compared.
"""

import re

SPACED = r"0-9A-Za-z_\u00c0-\u024f\u0370-\u06ff\u0900-\u0dff\u10a0-\u10ff\u1e00-\u1fff"
"""Letters and digits of scripts that part words by spaces, for use inside [...]. A Latin name may stand right beside
Chinese, Japanese, Korean or Thai letters, and is a word of its own there."""

CLEAR_PLATFORMS = """
instagram insta insta_gram instagam instgram inst instg instag snap_chat snap snapp tik_tok tktk twitter you_tube
telegram discord facebook face_book whats_app watsapp twitch only_fans linked_in we_chat weixin vsco pinterest
reddit cash_app venmo pay_pal psn gamer_tag xbox steam roblox sound_cloud spotify tumblr be_real lemon8 blue_sky
github kakao kakaotalk zalo viber skype patreon ko-fi threads messenger clapper triller likee kwai vkontakte
pubg free_fire codm genshin mlbb brawl_stars clash_royale clash_of_clans
epic_games fortnite valorant depop etsy wattpad bandcamp substack mastodon rumble yubo wizz hoop kick ao3
letterboxd strava duolingo инстаграм инстаграмм инст инста инсте инсту телеграм телеграмм телега телеге тикток снап
ютуб твиттер дискорд インスタ ツイッター 인스타 트위터 انستا انستقرام سناب تويتر इंस्टा इंस्टाग्राम ไอจี เฟส 微信
薇信 威信 抖音 小红书 微博
"""
SHORT_PLATFORMS = """
ig igs sc tt yt tg fb dc disc tele kik wa wpp gt vk тг вк qq bsky signal snp epic riot bnet minecraft mc
valo rblx fn wechatid wx vx 加v 加vx
"""
VAGUE_PLATFORMS = "x of line medium"
PLATFORM_SIGNS = "👻📸📷"

FOLLOW_VERBS = """
follow following followed folow add adding dm text message msg find search searching look hit hmu write contact
check subscribe sub reach tag join ping inbox friend chat talk slide hmu pm stalk watch catch see sigueme seguime
seguidme sigannos seguinos siganme sigue sigan agregame buscame busquenme segue sigam siga suis suivez ajoute
ajoutez folg folge folgt adde schreib schreibt seguimi seguitemi cercami aggiungimi volg obserwuj dodaj takip ekle
folj follaa подпишись пиши добавь подписывайтесь ikuti cek seguici rejoins abonne tafuta
"""
POSSESSIVES = """
my our mine mi meu minha mon mein meine mio mia mijn moj moje benim min mitt мой моя мое nosso notre unser il_mio
"""
NAME_FILLERS = """
user_name user_names username usernames user handle handles account accounts acc acct name id page profile tag nick
nickname nik usuario konto cuenta conta compte profil perfil akun hesabim hesabi profilo аккаунт ник main alt gaming
art spam private priv new other business personal back_up backup and or too also aku gua gue saya ku pls plz please
called named just me ini nya addy link username_is
"""
LINK_WORDS = """
is iz it's its as under es e est c'est cest ist to adalah itu jest er ar heter heisst heißt это at by with via
"""
NAMED = """
user_name usrname username handle gamer_tag gtag screen_name nickname my_@ the_@ user_id account_name
acc_name usuario benutzername pseudo nome_utente nazwa kullanici_adi ник юзернейм логин my_user ign friend_code user
"""
CREDITS = """
cr credit credits ib inspo dance_by edit_by edited_by via shout_out shout_out_to shoutout_to s/o s/o_to so_to
collab_with collab original_by og_by video_by art_by pic_by repost_from duet_with stitch_with follow sub_to
subscribe_to add go_follow check_out dm thanks_to tag
"""
REVERSED_CALLS = """
follow add dm text message msg find search search_up look_up write write_to contact check check_out subscribe_to
sub_to hit_up hmu thanks_to thank_you pm i'm i_am im call_me as its it's it_is named called go_to reach am by at
sigan_a sigue_a segue suivez folgt folge seguite volg ikuti soy sou je_suis ich_bin sono watch stalk see it's_me
recommend met under helped_by contacted with to
"""
PASSWORDS = """
password passwords passwd passcode pass_word pwd contrasena senha passwort kennwort mot_de_passe wachtwoord parola sifre
haslo losenord пароль 密码 密碼 パスワード 비밀번호
"""
NOT_PEOPLE = "me us u you home work school everyone here all channel the a this that least night last"

CALLED_BEFORE = """
call calls calling txt text texting phone fone ph tel tele telephone cell cellphone mobile mob number numbers num
whats_app watsapp wassap wa wsp wpp zap sms contact dial ring viber imessage facetime zelle cashapp hmu hit_me
hit_my_line escribeme escribime escribanme reach msg message line llama llamame telefono tlf tfno numero celular cel
movil telefone telefoon telefoonnummer liga ligue appelle appelez joindre portable telefon telefonnummer handy
handynummer nummer anrufen ruf rufnummer chiama chiamami cellulare scrivimi bel bellen mobiel zadzwon dzwon numer
komorka ringa puhelin ara cep numara numaram numarasi tlf hp nomor nope hubungi telp goi sdt bell hotline fax nr
llamanos llamenos llamen llamar llame marca marcanos escribenos contactanos contactenos comunicate appelez-nous rappelez
rappelle contactez contacter ruft erreichbar erreichen meldet chiamateci chiamare chiamaci contattaci contattateci
liguem ligar ligue-nos contate arayin arayiniz hubungi_kami dzwoncie zadzwoncie
numarul suna simu namba lambar kontak kontakt mpesa gcash bkash paytm upi gpay fon zvoni numeris zang text_me
reach_me whatsappme
"""
CALLED_BEFORE_STEMS = """
my_# тел звон номер телефон пиши дзвон 电话 電話 手机 手機 号码 號碼 微信 携帯 番号 전화 번호 연락 फोन नंबर नम्बर
رقم هاتف اتصل جوال واتس موبايل تلفون โทร เบอร์ טלפון נייד τηλ ☎ 📞 📱 ☏ 📲 🤙
"""
CALLED_AFTER = """
call text txt phone number cell mobile whats_app wa sms hmu hit_me numero telefono nummer celular message_me add_me
ring_me dm_me zap telegram viber
"""
UNITS = """
usd eur gbp dollar dollars bucks k m mil million billion trillion view views like likes follower followers subs
subscribers year years yr yrs minute minutes min mins hour hours hr hrs day days week weeks month months second
seconds sec secs time times people persons percent euro euros pounds miles km kg lb lbs fps hp iq point points pts
btc eth doge coin coins token tokens holders shares robux vbucks gold xp steps pesos yen won rupees rs inr cad aud
gram grams mg ml ft feet inch inches cm mm degrees st nd rd th goal goals options screenshots comments tabs reais
dolares lira tl rub руб рублей grand place x am pm
"""
MONEY_BEFORE = """
usd eur rs order id no worth iq price cost costs win won paid pay x version level episode season score
"""

SLANG = """
tiktok tiktoks tiktoker tiktokers tiktoking fyp fypp fypage foryou foryoupage foryourpage xyzbca capcut duets
livestream livestreams unboxing vlogger vlogs grwm ootd ootn asmr pfp oomf oomfs moots mutuals finsta bestie besties
bff bffs bussin sheesh rizz skibidi amogus amongus gyatt gyat delulu bffr istg ngl iykyk unalive corecore plss lmaoo
lmaooo lolol lmfaooo ily ilysm ikr gng frfr nocap brooo bruhh sksksk yeet simp simps pog poggers periodt baddie
baddies smth tysm imy wyd hbu hmu tbt ggs ratioed ghosted cringey bruv hodl hodler altcoin altcoins shitcoin memecoin
nft nfts
"""
"""What people write in comments that lists of word frequencies know too little of."""

GIVEN_NAMES = """
aaliyah aaron abby abdul abigail adam agnieszka agus ahmed aisha alan albert alejandro alex alexander alexei alexis
alfie ali alice amanda amber amelia amina amit amy ana anastasia anders andrea andrei andrew angela anh anjali ann
anna anthony antoine antonio archie arjun arthur ashley astrid austin ava ayse barbara beatriz becca ben benjamin
beth betty beverly bill billy bjorn bob bobby bradley brandon brenda brian brittany bruce bryan budi camila camille
carl carlos carmen carol carolyn catherine charles charlie charlotte cheryl chiara chidi chloe chris christian
christina christine christopher cynthia dan daniel daniela danielle dave david deborah debra deepak denise dennis
dewi diana diane diego dmitri donald donna dorothy douglas dylan edward elijah elizabeth ella emeka emily emma emre
eric erik ethan eugene evelyn fatima fatma fatou felix fernando finn frances francesca francisco frank freddie freya
gabriel gabriela gary george gerald giovanni giulia giuseppe gloria greg gregory hannah hans harold harry haruto
hassan heather helen henry hiroshi hugo hussein ibrahim igor ines ingrid isabella isla ivan jack jacob jacqueline
jade james janet janice jason javier jean jeff jeffrey jen jennifer jeremy jerry jess jesse jessica ji jim jing joan
joao joe john jonas jonathan jordan jorge jose joseph josh joshua joyce juan judith judy jules julia julie julien
jun jurgen justin karen katarzyna kate katherine kathleen kathryn katie katya kayla keith kelly kenji kenneth kevin
khadija kimberly klaus kwame kyle larry lars laura lauren lawrence layla lea lena leo leon liam lily linda linh lisa
liz logan lori louis luca lucas lucia lucy luis lukas maddie madison manon manuel marc marcin marco margaret maria
mariana marie marilyn mark martha mary maryam mason matt matteo matthew max maya meg megan mehmet melissa mia
michael michelle miguel mike min ming minh mohammed muhammad mustafa nancy natalie natasha nathan neha ngozi nguyen
nicholas nick nicole noah olga oliver olivia omar oscar pablo pamela patricia patrick paul pedro peter philip pierre
piotr pooja priya putri rachel rafael rahul raj ralph randy raymond rebecca richard rob robert roger ronald roy
russell ruth ryan sakura sam samantha samuel sandra sanjay sara sarah scott sean sergei sergio sharon shirley siti
sofia soo sophia sophie stefan stephanie stephen steve steven susan sven svetlana teresa terry theo theresa thomas
tiago tim timothy tom tomasz tony tran tunde tyler valentina victoria vincent virginia vladimir walter wayne wei
william willie wolfgang yuki yusuf zach zachary zainab zeynep zoe
"""
"""So common that they count as ordinary words by their use, and yet make a name of the words beside them."""


def entries(words: str) -> list[str]:
    """The entries of a list, the longest first, so that none hides behind its own beginning."""
    return sorted(set(words.split()), key=len, reverse=True)


def either(words: str) -> str:
    """A regular expression for any entry of a list."""
    return "|".join(re.escape(entry).replace("_", r"\s?") for entry in entries(words))


def heads(*lists: str) -> frozenset[str]:
    """Every word that an entry of the lists can begin with: a text without one of them holds no entry."""
    first_words: set[str] = set()
    for entry in (entry for words in lists for entry in words.split()):
        first_words.update(re.findall(r"\w+", entry.replace("_", " "))[:1])
        first_words.update(re.findall(r"\w+", entry.replace("_", ""))[:1])
    return frozenset(first_words)
