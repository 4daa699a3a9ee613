"""The words that recognisers listen for, as data: platforms, calls to follow or ring, units. Finds nothing itself.

In these lists a space parts entries, and _ stands for a space that people may leave out. Latin entries are without
accents, since the text is folded before it is compared.
"""

import re
from collections.abc import Iterator
from itertools import product

from csmv.pipeline.scrub.expressions import Expression

SPACED = r"0-9A-Za-z_\u00c0-\u024f\u0370-\u06ff\u0900-\u0dff\u10a0-\u10ff\u1e00-\u1fff"
"""Letters and digits of scripts that part words by spaces, for use inside [...]. A Latin name may stand right beside
Chinese, Japanese, Korean or Thai letters, and is a word of its own there."""

WORD = re.compile(rf"[{SPACED}]+|[^\W{SPACED}]+")
"""A word, which ends where a script that parts words by spaces meets one that does not."""

CLEAR_PLATFORMS = """
instagram insta insta_gram instagam instgram inst instg instag snap_chat snap snapp tik_tok tktk twitter you_tube
telegram discord facebook face_book whats_app watsapp twitch only_fans linked_in we_chat weixin vsco pinterest reddit
cash_app venmo pay_pal psn gamer_tag xbox steam roblox sound_cloud spotify tumblr be_real lemon8 blue_sky github kakao
kakaotalk zalo viber skype patreon ko-fi threads messenger clapper triller likee kwai vkontakte pubg free_fire codm
genshin mlbb brawl_stars clash_royale clash_of_clans epic_games fortnite valorant depop etsy wattpad bandcamp substack
mastodon rumble yubo wizz hoop kick ao3 letterboxd strava duolingo xbl link_tree line_id lineid messenger_id fansly
locket bigo weverse btag battle_tag instagramim instagramım instam snapim discordum instagrami insta_m 1nsta !nsta
inst@ instaqram ινστα инстаграме тт_канал телеграмм_канал телеграме дискорде роблокс роблоксе пабг пабге ютубе твич
стим انستغرام انستجرام انستقرامي انستاي انستا_قرام سنابي سناب_شات تيك_توك تيكتوك تلجرام تيليجرام تليجرام تلغرام واتساب
فيسبوك يوتيوب ديسكورد ببجي روبلوكس فري_فاير टेलीग्राम व्हाट्सएप फेसबुक यूट्यूब स्नैपचैट डिस्कॉर्ड ट्विटर टिकटॉक पबजी
אינסטגרם אינסטה טלגרם דיסקורד טוויטר ツイ垢 ライン
インスタグラム ラインid lineのid ティックトック ディスコード テレグラム
カカオ 인스타그램 인별 카톡 카카오톡 디스코드 디코 텔레그램 틱톡 페이스북 페북 유튜브 스냅챗 로블록스 로블 배그 롤_닉
라인_아이디 오픈톡 快手 b站 哔哩哔哩 知乎 贴吧 加微 加薇 加v信 扣扣 ins账号 我的ins 推特 油管 脸书 ไลน์ ไอดีไลน์ เฟซ
ทวิต ติ๊กต่อก ดิสคอร์ด инстаграм инстаграмм инст инста инсте инсту телеграм телеграмм телега телеге тикток снап ютуб
твиттер дискорд インスタ ツイッター 인스타 트위터 انستا انستقرام سناب تويتر इंस्टा इंस्टाग्राम ไอจี เฟส 微信 薇信 威信
抖音 小红书 微博
"""
SHORT_PLATFORMS = """
ig igs sc tt yt tg fb dc disc tele kik wa wpp gt vk тг вк qq bsky signal snp epic riot bnet minecraft mc valo rblx fn
wechatid wx vx 加v 加vx ins ➕v ➕vx +v +vx v信 ff bgmi ml
"""
VAGUE_PLATFORMS = "x of line medium i.g i_g"
PLATFORM_SIGNS = "👻📸📷🐦🎮"
GAMES = """
포트나이트 마인크래프트 발로란트 マインクラフト ロブロックス エペ 스팀
pubg bgmi roblox rblx free_fire ff fortnite valorant valo lol league league_of_legends minecraft mc codm cod_mobile
cod call_of_duty warzone apex genshin mlbb mobile_legends ml brawl_stars clash_royale clash_of_clans coc among_us
efootball fc_mobile rocket_league overwatch osu growtopia stumble_guys fall_guys geometry_dash blox_fruits haxball
pokemon_go standoff csgo cs cs2 dota dota2 hsr rust terraria steam xbox psn playstation ps4 ps5 nintendo switch epic
riot tft activision game_center supercell пабг пабге роблокс
роблоксе бравл_старс бравл майнкрафт майнкрафте майне фри_фаер фортнайт фортнайте стандофф стиме доте дота кс
валоранте ببجي روبلوكس فري_فاير ماين_كرافت فورتنايت पबजी फ्री_फायर 배그 배틀그라운드 로블록스 로블 메이플
롤 발로 原神 王者荣耀 王者 和平精英 吃鸡 荒野行动 フォートナイト マイクラ 荒野 プレイヤー
"""
GAME_WORDS = "game the_game juego jogo jeu spiel gioco oyun oyunda игре اللعبة गेम 게임 游戏 ゲーム"
PLAYER_NAMES = """
name names nick nickname nik nicks user username user_name id ign tag acc account handle gamertag gamer_tag gt nombre
usuario nome pseudo nom ник никнейм никнэйм имя айди ид юзер юз аккаунт اسمي اسم ايدي يوزر يوزري حسابي isim ismim adim
adım nickim nickım ismi nazwa nama akun akunku नाम आईडी 닉네임 닉 아이디 名前 昵称 名字 用户名 uid 游戏名 游戏id
ゲームid id名 名 码 号
"""
PLAYER_HANDLES = """
ingame_name in_game_name oyundaki_adım oyundaki_adim nickim nickım
ign gamertag gamer_tag battletag battle_tag btag riot_id psn_id xbox_gt epic_id epic_name activision_id steam_id nick
nickname nik ник никнейм никнэйм 닉네임 닉 昵称 游戏名 游戏id ゲームid ゲーム名 プレイヤー名 게임_닉
"""
PLAYER_REGIONS = "euw eune euw1 eun1 na na1 kr kr1 lan las la1 la2 br br1 tr tr1 oce oc1 ru ru1 jp jp1 sea vn2"
PLAYER_NUMBERS = """
uid friend_code friend_id fc friendcode player_id user_id game_id char_id ايديي フレンドコード 好友码 游戏id ゲームid
친구_코드 codigo_de_amigo code_ami freundescode код_друга
"""

FOLLOW_VERBS = """
follow following followed folow add adding dm text message msg find search searching look hit hmu write contact check
subscribe sub reach tag join ping inbox friend chat talk slide pm stalk watch catch see sigueme seguime seguidme
sigannos seguinos siganme sigue sigan agregame buscame busquenme segue sigam siga suis suivez ajoute ajoutez folg
folge folgt adde schreib schreibt seguimi seguitemi cercami aggiungimi volg obserwuj dodaj takip ekle folj follaa
подпишись пиши добавь подписывайтесь adiciona adicione add_me agrega anademe ajouter adde_mich ищи найди добавляй
ikuti cek seguici rejoins abonne tafuta
"""
POSSESSIVES = """
my our mine mi meu minha mon mein meine mio mia mijn moj moje benim min mitt мой моя мое nosso notre unser il_mio mera
mere meri his her their moi мои моего моей у_меня मेरा मेरी 내 제 나의 我的 私の 俺の 僕の bizim nas muj mans mano
minu
"""
NAME_FILLERS = """
user_name user_names username usernames user handle handles account accounts acc acct name id page profile tag nick
nickname nik usuario konto cuenta conta compte profil perfil akun hesabim hesabi profilo аккаунт ник main alt gaming
art spam private priv new other business personal back_up backup too also aku gua gue saya ku pls plz please called
named just me ini nya addy link username_is канал акк айди ид юз юзер adim adım ismim nickim id_si kullanici_adim
cua_minh cua_toi minh アカウント 아이디 닉네임 닉 계정 아이디는 닉은 आईडी नाम हैंडल ايدي يوزر حسابي اسمي ไอดี
"""
UNSPACED_FILLERS = """
账号 帐号 帳號 号码 号 號 アカウント アカ 垢 名 搜索 搜一下 搜 昵称 名字 叫 id是 id ID アイディ 아이디 닉네임 닉 계정
는 은 是 は の ไอดี
"""
LINK_WORDS = """
is iz it's its as under es e est c'est cest ist to adalah itu jest er ar heter heisst heißt это at by with via called
la ni は です hai है هو هي
"""
NAMED = """
user_name usrname username handle gamer_tag gtag screen_name nickname my_@ the_@ user_id account_name acc_name her_@
his_@ their_@ usuario benutzername pseudo nome_utente nazwa kullanici_adi ник юзернейм логин my_user ign friend_code
user
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
recommend met under helped_by contacted with to me_llamo me_chamo je_m'appelle mi_chiamo ich_heisse ich_heiße
меня_зовут nazywam_sie bana
"""
PASSWORDS = """
password passwords passwd passcode pass_word pwd contrasena senha passwort kennwort mot_de_passe wachtwoord parola sifre
haslo losenord пароль 密码 密碼 パスワード 비밀번호
"""
NO_PASSWORDS = """
required require requires incorrect wrong invalid forgotten forgot needed none expired protected reset changed accepted
error optional unknown missing hidden weak strong same secret here there inside below above soon please pls
requerida requerido incorrecta incorrecto obligatoria olvidada necessaria errada invalida obrigatoria obligatoire
incorrect oublie perdu requis falsch vergessen erforderlich notig richiesta sbagliata dimenticata vereist verkeerd
wymagane bledne gerekli yanlis неверный неверно нужен забыл нет обязателен salah diperlukan lupa
"""
"""What is said of a password behind its colon: "password: required"."""
NOT_PEOPLE = "me us u you home work school everyone here all channel the a this that least night last"

CALLED_BEFORE = """
call* ring rings ringing dial* phone phones phoned fone ph tel tele telephone telno cell cellphone cellno mobile mob
number numbers num nums nbr nmbr nmber numba numbr digits txt* text texts texted texting sms* mms msg msgs message*
imessage facetime viber zelle whatsapp* whats_app watsapp* watsap* whatsap* whattsapp wsap wassap wasap wassup wa wsp
wpp wp wap contact* reach hit_me hit_my_line hit_my_cell hmu holla* hotline hit_up get_in_touch bell buzz shout_me
shout_at ping inbox line cashapp my_no mob_no mobile_no contact_no phone_no cell_no ph_no call_no no_is write_to
drop_me drop_us reply_to fax whatsappme
llam* llamanos marca* marcale marcame marcanos escrib* manda* mandame telefon* tlf tlfn tlfno tfno tfn numero numeros
nro cel celu celular celulares movil moviles fono fonos guasap* wasap* wsap contactanos contactenos contactame
contactar comunic* timbr* telf telef avisame hablame habla hablar chateame wasapea agendame
liga* ligue* ligar telefone* telemovel telemoveis zap zapzap chama* chame* chamar fala_comigo fale falar contato
contatos contacto contactos envie mande me_manda recado numero_de fone celular
appel* rappel* joindre joignable joignables portable portables numero gsm ecri* envoie envoyez telephon*
texto texte contactez contacter bigo bipe* bip
ruf* anruf* angerufen rufnummer* handy handynr handynummer* telefonnummer* telefonnr nummer* nr tel_nr telnr mobil
schreib* erreichbar erreich* meld* klingel* bimmel* durchklingeln wahl* funk* whatsappen simsen sms_an
chiam* richiam* telefon* cellulare cell scriv* contatta* contattateci messaggi* numero squill* recapito recapiti
bel bellen belt telefoonnummer* telefoon mobiel app app_me appje berichtje bereikbaar bereiken whatsappen contacteer
zadzwo* dzwo* telefon* numer* nr komorka komorke kom pisz* napisz* zapisz* kontakt* tel_kom esemes*
ringa* hor_av_dig nas_pa mobilnr telefonnr telnr mobilnummer mobilen kontakta skriv* nummeret ringe
puhelin* soita* soit numeroon numeroni laita_viesti viesti tekstaa
ara* arayin* ara_beni numara* telefon* tlf* cep cepten ulas* yaz* mesaj* iletisim whatsap* wp_hat hatti hattimiz
hp no_hp nohp telp telpon* nelpon* nomor* nomer* nope hubungi* kontak* chat* wa_me japri sms_ke call_ke pesan
goi goi_cho lien_he lien_lac dien_thoai đien_thoai đt sđt sdt so_minh so_đt nhan_tin nhan hotline zalo alo
suna* telefonul numarul apel* contact* scrie* mesaj* trimite sunati
volej* zavolej* cislo cisla napis* telefon* mobil volat zavolat brnkni prozvon*
hiv* hivj* szam* telefonszam* telefon* irj* cseng* mobilom
suna simu namba nambari piga* nipigie lambar lamba kira* tuma* mpesa gcash bkash paytm upi gpay
itext text* tawag* tawagan* numero_ko cp tumawag magtext pm_sa
zvoni* broj* nazovi* javi* pozovi* pisi* fon numeris skambin* zvan* helista* numbrile
karo_call call_karo mera_no apna_no mera_num mera_nmbr phone_karo msg_karo whatsapp_karo no_hai
"""
"""Words of calling, writing and numbers. An entry that ends in * stands for every word that begins so."""
CALLED_BEFORE_STEMS = """
my_# тел звон номер телефон пиши напиш позвон набер запиши смс ватсап вацап вотсап вайбер связ мобил обращ дзвон зателеф
наберіть набери звяз пишіть номера сотов ☎ 📞 📱 ☏ 📲 🤙 τηλ κινητο παρε_με καλεσ αριθμ στειλε
电话 電話 手机 手機 号码 號碼 微信 联系 聯絡 聯繫 致电 致電 打给 打給 拨打 撥打 短信 簡訊 热线 熱線
携帯 番号 連絡 でんわ ケータイ 問い合わせ 予約 전화 번호 연락 문의 문자 폰 핸드폰 휴대폰 카톡
फोन नंबर नम्बर कॉल संपर्क सम्पर्क मोबाइल व्हाट्सएप व्हाट्सऐप मैसेज কল নাম্বার নম্বর ফোন যোগাযোগ மொபைல் தொலைபேசி
رقم هاتف اتصل اتصال جوال واتس موبايل تلفون تليفون تواصل للتواصل راسل كلم خاص للحجز للطلب للاستفسار ابعث ارسل رسل دق_علي
تماس شماره زنگ پیام تلگرام موبایل نمبر فون کال رابطہ
โทร เบอร์ ติดต่อ ไลน์ ทัก สั่ง มือถือ טלפון נייד תתקשר להתקשר התקשר תתקשרו מספר וואטסאפ תסמס הודעה ליצירת
"""
CALLED_AFTER = """
call* text txt phone* number* cell mobile whats_app whatsapp* wa sms hmu hit_me numero telefono telefon nummer celular
message_me add_me ring_me ring dm_me zap telegram viber llama* escrib* chama* liga* appelle* ruf* anruf* schreib*
chiama* scrivi* bel pisz* dzwo* yaz* ara* звон* пиши* набер* позвон* дзвон* chat* hubungi* zadzwo* hai bookings booking
"""
OFFERED_BEFORE = """
book* booking bookings orders to_order reserv* appointment* appt* enquir* inquir* info infos more_info details delivery
tickets rent* save save_my save_this note note_it take_note write_down jot anota* apunta* guarda* agenda* pedidos
encargos pregunta* consulta* envios citas reservas turnos presupuesto* mas_info encomend* marcac* reserva* orcamento*
anota_ai salva* commande* note_mon reserver renseignement* rdv rendez-vous devis notez enregistre* bestell* buchung*
notier* merk* termine speicher* anfrage* ordini ordinare prenot* segna* segnati annota* salvati bestel* reserver*
noteer* opslaan zamow* rezerw* zanotuj zapytania siparis* rezervasyon* randevu* kaydet* not_al bilgi_icin bestall*
boka* bokning* spara tilaa* varau* pesan pemesanan order_ke simpan catat dat_hang mua_hang luu_so đat_hang đat_ban
comenzi comand* rezervar* objednav* objednat rendel* foglal* заказ* запис* бронь брониров* замов* запиш* доставк*
ask_for
"""
"""Words beside which a number is a telephone's if a country numbers its telephones so."""
COUNTED_BEFORE = """
case reason order ticket tracking invoice reference ref serial model part item episode level room flight lot chapter
verse bib article art zip postal postcode pedido factura guia caso modelo serie articulo bestellung rechnung artikel
fall aktenzeichen commande facture dossier colis ordine fattura pratica lattina zamowienie faktura siparis fatura
заказа заказ трек накладной дело id uid zone area score account acct konto cuenta conta compte iban inmate docket bill
wake_up version ver build release
"""
"""Words that say what else is numbered: "case number 12345678"."""
SMALL_WORDS = """
me us him her them at on in to now the a my number num no nr is its it's it s or and pls plz please asap anytime today
this line cell phone back up via by for with directly only here new our mom dad wa whatsapp
al el la los mi me nos es un este esta ese lo a por favor ya este numero de en o y cel movil whatsapp
meu minha e eh o no na ao pelo para pra ai aqui numero do nosso esse este
au le mon ma ton c'est cest c est sur moi nous numero num ce et ou la stp svp
mich uns an unter auf die der das mein meine ist lautet unsere bitte mal mir nummer handy zu zum oder
al il mio e' questo mi lo numero ci allo qui il_mio
me op naar via het mijn m'n mn is nummer even ff ons
na pod moj moj numer to mi do nr
bana beni su numara numaram numaradan no hattan
мне на по мой номер это нам меня вот номеру мій номер мені телефон телефону
على هو رقمي لي الرقم عل
pe par mera number hai is ko mujhe
ke di saya aku ku no nomor ini ya aja
cho minh so toi em anh la
mig oss pa mitt nummer ar
"""
"""Words that may stand between a word of calling and its number."""
NUMBER_NOUNS = "number numbers num no nr nro numero nummer numer numara nomor id номер"
NUMBERED = """
song rank ranked season bus room page track day contestant player seat gate lane row table team jersey train route year
class grade group volume vol edition question comment draft pick top world world's episode chapter verse rule reason
video part match round lap car bib lottery ticket candidate entry entries cancion puesto temporada autobus sala pagina
dia jugador asiento fila mesa equipo tren pregunta musica faixa temporada onibus quarto jogador chanson saison salle
chambre joueur lied platz staffel zimmer seite spieler canzone stagione stanza giocatore песня место сезон автобус
комната страница трек игрок глава журнал lagu musim kamar halaman pemain sarki sezon otobus oda sayfa oyuncu
"""
"""Things that people number: "song number 12345". Alone before a number they say nothing: "book a table 020 ..."."""
JOINING_WORDS = """
and or n y o u e ou et und oder ed oppure of en i lub albo ve veya ya_da и или та або чи و أو او atau dan hoac va och
eller sau si nebo vagy es और या 或 或者 和 跟 と か 또는
"""
GAP_WORDS = """
is are was its it's my ur your his her the a no nr num number numbers nos id code codes for to of and here like
es el la mi mis tu su numero de del n nro num
est le ma mon mes c'est cest du un
ist lautet mein meine meiner die der das nummer
il mio e' e o um meu minha numero do da com
van mijn nummer het
to jest moj numer moja nr
benim numaram numarasi numara no
это мой моя мои номер номера серия и равен код
мій моя номер серія
هو رقم رقمي هي
है नंबर मेरा hai mera ka number
adalah saya aku nomor ini nya
la so cua minh toi em
ar mitt nummer min mit
card carta karte bank banco banque banca google whatsapp bca bri bni
"""
"""Words that may stand between a word such as "passport" and its number."""
UNITS = """
usd eur gbp dollar dollars bucks k m mil million billion trillion view views like likes follower followers subs
subscribers year years yr yrs minute minutes min mins hour hours hr hrs day days week weeks month months second
seconds sec secs time times people persons percent euro euros pounds miles km kg lb lbs fps hp iq point points pts
btc eth doge coin coins token tokens holders shares robux vbucks gold xp steps pesos yen won rupees rs inr cad aud
gram grams mg ml ft feet inch inches cm mm degrees st nd rd th goal goals options screenshots comments tabs reais
dolares lira tl rub руб рублей р см км м кб мб ms ppm grand place x am pm
"""
MONEY_BEFORE = """
usd eur rs order id no worth iq price cost costs win won paid pay x version level episode season score seed
"""

SLANG = """
tiktok tiktoks tiktoker tiktokers tiktoking fyp fypp fypage foryou foryoupage foryourpage xyzbca capcut duets
livestream livestreams unboxing vlogger vlogs grwm ootd ootn asmr pfp oomf oomfs moots mutuals finsta bestie besties
bff bffs bussin sheesh rizz skibidi amogus amongus gyatt gyat delulu bffr istg ngl iykyk unalive corecore plss lmaoo
lmaooo lolol lmfaooo ily ilysm ikr gng frfr nocap brooo bruhh sksksk yeet simp simps pog poggers periodt baddie
baddies smth tysm imy wyd hbu hmu tbt ggs ratioed ghosted cringey bruv hodl hodler altcoin altcoins shitcoin memecoin
nft nfts bof bah pff pfff beh boh mah uff ugh ughh meh eww yay mdr mdrr ptdr lol lmao kkk kkkk kkkkk rsrs jaja jajaja
jajaj haha hahaha hihi hehe wkwk wkwkwk xd xdd xoxo osef tkt jpp jsp wsh axaxa ahaha
shoutout shoutouts tryna brudah bruddah pls plss plsss plz plzz twerking
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
    """A regular expression for any entry of a list; * at its end stands for up to twelve letters more."""
    return "|".join(
        re.escape(entry.removesuffix("*")).replace("_", r"\s?") + (r"\w{0,12}" if entry[-1] == "*" else "")
        for entry in entries(words)
    )


class Listed:
    """A list of words to look one up in, its entries of several words apart."""

    def __init__(self, words: str) -> None:
        listed = entries(words)
        single = [entry for entry in listed if "_" not in entry]
        self._words = frozenset(entry for entry in single if entry[-1] != "*")
        self._beginnings = tuple(entry[:-1] for entry in single if entry[-1] == "*")
        phrases = either(" ".join(entry for entry in listed if "_" in entry))
        self._phrase = Expression(rf"(?<![{SPACED}])(?:{phrases or '(?!)'})(?![{SPACED}])", re.I)

    def __contains__(self, word: str) -> bool:
        return word in self._words or word.startswith(self._beginnings)

    def phrase(self, text: str) -> bool:
        """Whether a text holds an entry of several words."""
        return self._phrase.search(text) is not None

    def phrase_before(self, text: str, small: frozenset[str]) -> bool:
        """Whether nothing but small words stands between such an entry and the end of a text."""
        ends = [match.end() for match in self._phrase.finditer(text)]
        return bool(ends) and small.issuperset(re.findall(r"\w+", text[ends[-1] :].lower()))


class Tokens:
    """The words that a text has where it holds an entry of some lists as words of their own: a look without searching.

    What is in a script that puts no spaces between words is found by searching, and only where such letters are.
    """

    def __init__(self, *lists: str) -> None:
        one: set[str] = set()
        several: set[frozenset[str]] = set()
        unspaced: list[str] = []
        for entry in (entry for words in lists for entry in words.split()):
            for written in _ways_to_join(entry.lower().split("_")):
                tokens = [token for token in WORD.findall(written) if _IN_SPACED.match(token)]
                if not tokens:
                    unspaced.append(entry)
                elif len(tokens) == 1:
                    one.add(tokens[0])
                else:
                    several.add(frozenset(tokens))
        self.one = frozenset(one)
        """Each of which is an entry by itself, or with signs and letters of other scripts."""
        self._several = tuple(tokens for tokens in several if one.isdisjoint(tokens))
        # The longest of them, since few texts have it.
        self._telling = frozenset(max(tokens, key=lambda token: (len(token), token)) for tokens in self._several)
        self._unspaced = Expression(either(" ".join(unspaced))) if unspaced else None

    def are_in(self, text: str, words: frozenset[str]) -> bool:
        """Whether an entry may stand in a text that has these words in small letters."""
        if not words.isdisjoint(self.one):
            return True
        if not words.isdisjoint(self._telling) and any(tokens <= words for tokens in self._several):
            return True
        return self._unspaced is not None and not text.isascii() and self._unspaced.search(text) is not None


def _ways_to_join(parts: list[str]) -> Iterator[str]:
    """An entry with every choice of spaces left out: "a b c", "ab c", "a bc", "abc"."""
    for gaps in product((" ", ""), repeat=len(parts) - 1):
        yield "".join(part + gap for part, gap in zip(parts, (*gaps, ""), strict=True))


_IN_SPACED = re.compile(f"[{SPACED}]")


def heads(*lists: str) -> frozenset[str]:
    """Every word that an entry of the lists can begin with: a text without one of them holds no entry."""
    first_words: set[str] = set()
    for entry in (entry for words in lists for entry in words.split()):
        first_words.update(WORD.findall(entry.replace("_", " "))[:1])
        first_words.update(WORD.findall(entry.replace("_", ""))[:1])
    return frozenset(first_words)
