"""Numbers and codes that are known by the word beside them: passports, accounts, plates, devices, passwords.

Such a number has no checksum and often few digits, so the word must be near. What stands between decides: after the
word and nothing but little words ("my passport no. is ...") much counts, anywhere near only what has the form.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from csmv.pipeline.scrub.expressions import Expression
from csmv.pipeline.scrub.policy import Kind
from csmv.pipeline.scrub.recognizer import Finding, Glance, TextRecognizer
from csmv.pipeline.scrub.vocabulary import GAP_WORDS, SPACED, UNITS, WORD, either, entries

_SIGNS = r"(?:\s?[^\w\s<>]{1,3}|\s){0,3}"
_GAP = Expression(
    rf"{_SIGNS}(?:(?:{either(GAP_WORDS)})(?![{SPACED}]){_SIGNS}){{0,5}}(?:[是为為はがの은는이가]\s?)?[：:]?\s?", re.I
)
"""What may stand between a word and its number: signs and little words."""
_TOLD = Expression(r"[:=：]|\b(?:is|es|est|ist|e|jest|ar|er|это)\b|[是は]", re.I)
"""What between a word and a number says that the one is the other."""
_NEARBY = 36
_BETWEEN = Expression(r"(?:[^.!?\n]|(?<=\b[Nn][ro])\.){0,32}")
_BEFORE = Expression(
    r"\s?[(,:=-]?\s?(?:(?:is|are|was|es|est|ist|e|это|هو|adalah|la)\s|[是は])?"
    r"(?:(?:my|mi|mon|mein|meine|meu|minha|mio|moj|benim|мой|ur|your|the|his|her|our|as|a)\s|我的|as your ){0,2}"
    r"(?:(?:google|whatsapp|facebook|instagram|telegram|tiktok|new)\s)?",
    re.I,
)
"""What may stand between a number and its word behind it."""
_UNIT = Expression(rf" ?(?:[%€$£¥₹°]|(?:{either(UNITS)})\b)", re.I)
_YEAR = Expression(r"(?:19|20)\d\d")
_ROUND = Expression(r"\d+000|(\d)\1+")
_TOKEN = r"(?=(?:[^\W\d_]{{0,9}}\d){{{0}}})[^\W_]{{{1},{2}}}"


def _token(digits: int, least: int, most: int) -> str:
    """A word of `least` to `most` letters and digits, with so many digits at least."""
    return _TOKEN.format(digits, least, most)


_GROUPS = r"\d(?:[ ./-]?\d){5,19}"


@dataclass(frozen=True)
class _Named:
    """A kind of number: the words that name it, what it looks like right behind them, and what it looks like nearby."""

    rule: str
    kind: Kind
    words: str
    behind: str
    nearby: str = ""
    before: bool = False
    """Whether it may also stand before its word: "AB1234567 is my passport"."""
    told: bool = False
    """Whether a sign or a verb must stand between the word and a number that could as well be a year or a count."""


_RULES = (
    _Named(
        "passport",
        Kind.NATIONAL_ID,
        "passport passports passport_number passport_no pasaporte pasaportes passaporte passeport reisepass "
        "pass_nr passnr "
        "passnummer reisepassnummer reisepassnr personalausweis personalausweisnummer ausweis ausweisnummer ausweisnr "
        "passaporto paspoort paspoortnummer identiteitskaart paszport paszportu dowod dowodu dowod_osobisty pasaport "
        "pasaportum passet pas паспорт паспорта паспорту паспортные загранпаспорт паспорти cestovni_pas "
        "carta_d'identita "
        "carte_d'identite carte_identite cni id_card identity_card carta_identita جواز جوازي الجواز جواز_سفر "
        "جواز_السفر "
        "पासपोर्ट 护照 護照 パスポート 旅券 여권 paspor ho_chieu หนังสือเดินทาง พาสปอร์ต",
        rf"{_token(4, 6, 11)}|[^\W\d_]{{1,3}} ?\d{{6,9}}|\d\d ?\d\d ?(?:№ ?)?\d{{6}}|\d{{2}}[A-Za-z]{{2}}\d{{5}}",
        r"[A-Za-z]{1,3}\d{6,9}[A-Za-z]?|\d{2}[A-Z]{2}\d{5}|\d{8,9}|[A-Z](?=(?:[A-Z]{0,5}\d){3})[A-Z0-9]{7,9}",
        before=True,
    ),
    _Named(
        "driving licence",
        Kind.NATIONAL_ID,
        "driving_licence driving_license driver_licence driver_license drivers_licence drivers_license "
        "driver's_licence "
        "driver's_license dl_number dl_no dl# licence_number license_number licencia_de_conducir licencia_de_manejo "
        "carnet_de_conducir permiso_de_conducir permis_de_conduire permis fuhrerschein fuhrerscheinnummer patente "
        "patente_di_guida cnh carteira_de_motorista carta_de_conducao rijbewijs rijbewijsnummer prawo_jazdy ehliyet "
        "ehliyet_no korkort водительское водительские права удостоверение в/у ajokortti giay_phep_lai_xe gplx ใบขับขี่ "
        "驾照 驾驶证 駕照 免許証 運転免許 면허번호 운전면허 رخصة رخصة_القيادة लाइसेंस sim_a sim_c",
        rf"{_token(5, 6, 18)}|{_GROUPS}|\d{{3,6}}/\d{{2}}/\d{{4}}",
        r"(?=(?:[A-Za-z]{0,9}\d){5})[A-Za-z]{1,9}[A-Za-z0-9]{6,17}",
        before=True,
    ),
    _Named(
        "national insurance",
        Kind.NATIONAL_ID,
        "ni_number ni_no national_insurance national_insurance_number nino",
        r"[A-Za-z]{2} ?(?:\d{2} ?){3}[A-Da-d]?",
        r"[A-Za-z]{2} ?(?:\d{2} ?){3}[A-Da-d]",
        before=True,
    ),
    _Named(
        "tax number",
        Kind.NATIONAL_ID,
        "pan pan_card pan_number pan_no permanent_account_number rfc curp codice_fiscale cf",
        r"[A-Za-z]{5} ?\d{4} ?[A-Za-z]|[A-Za-z]{3,4} ?\d{6} ?[A-Za-z0-9]{3}"
        r"|[A-Za-z]{6} ?\d\d[A-Za-z]\d\d ?[A-Za-z]\d{3}[A-Za-z]",
        r"[A-Za-z]{5}\d{4}[A-Za-z]",
        before=True,
    ),
    _Named(
        "identity number",
        Kind.NATIONAL_ID,
        "ssn social_security social_security_number sin_number itin tin dni nie nif nuip cif cedula "
        "cedula_de_ciudadania "
        "cedula_de_identidad carnet_de_identidad rut cuit cuil rfc cpf cnpj rg bilhete_de_identidade cartao_de_cidadao "
        "cnic ktp nik no_ktp bsn burgerservicenummer sofinummer rijksregisternummer insz steuer-id steuerid "
        "steuernummer "
        "steuer_id sozialversicherungsnummer svnr sv-nummer ahv ahv-nummer nir insee securite_sociale numero_de_secu "
        "num_de_secu secu tessera_sanitaria pesel nip tckn tc_kimlik kimlik kimlik_no tc_no инн снилс полис рнокпп іпн "
        "cccd cmnd can_cuoc บัตรประชาชน マイナンバー 個人番号 주민번호 "
        "주민등록번호 emirates_id iqama الهوية "
        "رقم_الهوية هويتي الرقم_القومي hkid voter_id voter_card student_id employee_id member_id membership_number "
        "membership_no policy_number insurance_number patient_id customer_id aadhaar aadhar adhar आधार personnummer "
        "samordningsnummer cpr cpr-nummer fodselsnummer henkilotunnus hetu nhs nhs_number medicare medicare_number tfn "
        "uscis alien_number a-number national_id national_id_number nin bvn id_number id_no id_nr identity_number "
        "ghana_card omang cnp oib jmbg rodne_cislo amka afm personalausweisnummer matriculation_number matrikelnummer",
        rf"[A-Za-z]{{0,3}}[- ]?{_GROUPS}(?:[ -]?[A-Za-z0-9])?(?:\(\d\))?|[A-Za-z]{{1,4}}\d{{5,10}}(?:\(\d\))?[A-Za-z]?"
        r"|\d{5,8}(?: ?[A-Za-z])?|[XYZ][ -]?\d{7}[ -]?[A-Za-z]",
        before=True,
    ),
    _Named(
        "bank account",
        Kind.IBAN,
        "account account_no account_number account_num account_nr account# acct acct# acct_no acc acc_no a/c a/c_no "
        "bank_account kto kto_nr konto kontonr kontonummer blz bankleitzahl cuenta cuenta_bancaria numero_de_cuenta "
        "no_de_cuenta cbu cvu clabe compte compte_bancaire rib conta conta_corrente conta_poupanca agencia ag conto "
        "conto_corrente c/c rekening rekeningnummer rekening_nummer rekeningnr no_rekening no_rek norek rek "
        "numer_konta "
        "nr_konta hesap hesap_no hesap_numarasi hesabim sort_code sortcode routing routing_number routing_no aba bsb "
        "transit_number bankgiro plusgiro clearingnummer счет счёт счета расчетный р/с рахунок stk tai_khoan "
        "so_tai_khoan so_tk เลขบัญชี บัญชี 银行卡 银行卡号 卡号 账户 帳戶 帳號 口座 口座番号 계좌 계좌번호 은행 "
        "حساب رقم_الحساب الحساب ايبان खाता खाता_नंबर till paybill till_number bca bri bni mandiri gtbank gtb opay "
        "palmpay kuda moniepoint zenith vietcombank techcombank mbbank bidv nubank bradesco itau santander "
        "bbva revolut",
        r"\d(?:[ ./-]?\d){5,27}(?:-[\dxX])?|\d{3,12}-[\dxX]",
    ),
    _Named(
        "bank account",
        Kind.IBAN,
        "gtbank gtb opay palmpay kuda moniepoint zenith vietcombank techcombank mbbank bca bri bni mandiri",
        r"\d{10,16}",
        before=True,
    ),
    _Named("bank code", Kind.IBAN, "ifsc ifsc_code ifsc_no", r"[A-Za-z]{4}0[A-Za-z0-9]{6}", before=True),
    _Named(
        "bank alias",
        Kind.IBAN,
        "alias_cbu alias_cvu alias_mp alias_mercado_pago alias_bancario",
        r"[\w-]{2,20}(?:\.[\w-]{2,20}){1,3}",
    ),
    _Named(
        "payment id",
        Kind.IBAN,
        "pay_id payid payment_id binance_id binance_uid binance_pay binance_pay_id upi_id paypal_id bybit_uid bybit_id "
        "okx_uid okx_id kucoin_uid cash_app_id cashapp_id wallet_id pix chave_pix pix_key gcash maya paymaya "
        "bkash nagad "
        "easypaisa jazzcash mpesa m-pesa momo trc20 payeer perfect_money webmoney qiwi киви юмани yoomoney алипэй",
        r"[A-Z]?\d(?:[ .-]?\d){5,14}(?:-\d\d)?|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    ),
    _Named(
        "number of a player",
        Kind.USERNAME,
        "uid uids my_uid game_id player_id ff_id ffid freefire_id free_fire_id pubg_id bgmi_id ml_id id_ml "
        "mlbb_id id_ff "
        "id_pubg ign_id friend_code fc switch_code id_game playerid user_id userid id_number_game айди ид "
        "玩家id 游戏id",
        r"\d{7,12}(?: ?\(\d{4,5}\))?|(?:SW-)?\d{4}[- ]\d{4}[- ]\d{4}",
    ),
    _Named(
        "device",
        Kind.NATIONAL_ID,
        "imei imei1 imei2 meid iccid udid esn eid serial serial_number serial_no serial_num s/n sn seriennummer "
        "seriennr numero_de_serie n_de_serie num_de_serie numero_serie numero_di_serie numer_seryjny seri_numarasi "
        "seri_no серийный_номер серийник 序列号 シリアル シリアル番号 시리얼 시리얼번호 no_seri nomor_seri so_seri "
        "vin vin_number vin_no chassis chassis_number chassis_no fahrgestellnummer fin bastidor numero_de_bastidor "
        "chasis telaio numero_di_telaio вин вин_код nomor_rangka",
        r"(?=(?:[A-Za-z]{0,9}\d){3})(?=[A-Z0-9]*\d)[A-Za-z0-9]{8,22}"
        r"|\d\d-\d{6}-\d{6}-\d|\d{2}(?: \d{4}){3} ?\d?|\d{15}",
        before=True,
    ),
    _Named(
        "booking",
        Kind.NATIONAL_ID,
        "pnr pnr_no pnr_number booking_reference booking_ref booking_code record_locator confirmation_code "
        "codigo_de_reserva localizador reservation_code buchungscode buchungsnummer kode_booking rezervasyon_kodu",
        r"(?=[A-Z]{0,5}\d)[A-Z0-9]{6}|\d{6,12}",
    ),
    _Named(
        "parcel",
        Kind.NATIONAL_ID,
        "tracking tracking_number tracking_no tracking_id tracking_code awb sendungsnummer numero_de_seguimiento "
        "codigo_de_rastreio rastreio numero_de_suivi no_resi resi kargo_takip takip_no трек трек-номер "
        "трек_номер 快递单号 单号",
        r"(?=(?:[A-Za-z]{0,4}\d){8})[A-Za-z0-9]{10,30}",
    ),
    _Named(
        "post box",
        Kind.STREET_ADDRESS,
        "po_box p.o._box p.o.box p_o_box pobox post_office_box postfach apartado apartado_postal apartado_de_correos "
        "casilla casilla_postal boite_postale caixa_postal casella_postale postbus skrytka skrytka_pocztowa "
        "posta_kutusu а/я абонентский_ящик صندوق_بريد ص.ب 邮政信箱 私書箱 사서함 postboks posta_restante",
        r"\d{1,6}(?:[ -]\d{2,4}){0,2}"
        r"(?:,? [A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|,? [A-Z][\w.'-]+(?: [A-Z][\w.'-]+)?,?"
        r"(?: [A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|(?: [A-Z]{2})? \d{5}| [A-Z]{2})?)?",
    ),
    _Named(
        "postal code",
        Kind.STREET_ADDRESS,
        "zip zip_code zipcode postcode post_code postal_code plz postleitzahl codigo_postal code_postal cap cep "
        "kod_pocztowy posta_kodu индекс почтовый_индекс 邮编 邮政编码 郵便番号 우편번호 kode_pos pincode "
        "pin_code eircode "
        "postnummer psc ma_buu_chinh รหัสไปรษณีย์",
        r"\d{5}(?:-\d{3,4})?|\d{2}-\d{3}|\d{6}|\d{3}[- ]\d{2,4}"
        r"|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"
        r"|\d{4} ?[A-Z]{2}",
    ),
    _Named(
        "code that lets in",
        Kind.USERNAME,
        "pin pin_number pin_no pin_code pincode pin-code pin_nummer atm_pin codigo_pin code_pin otp otp_code "
        "one_time_code "
        "one_time_password verification_code verify_code login_code security_code auth_code authentication_code "
        "confirmation_code 2fa 2fa_code backup_code sms_code whatsapp_code codigo_de_verificacion codigo_de_acceso "
        "codigo_de_confirmacion codigo_de_whatsapp codigo_de_verificacao codigo_de_acesso clave_dinamica "
        "code_de_verification code_de_confirmation code_secret bestatigungscode verifizierungscode "
        "sicherheitscode zugangscode codice_di_verifica codice_di_conferma codice_pin verificatiecode toegangscode "
        "kod_weryfikacyjny kod_pin dogrulama_kodu onay_kodu sifre_kodu код_подтверждения код_из_смс код_доступа "
        "пин пин-код пинкод пін-код код_підтвердження kode_otp kode_verifikasi ma_otp ma_xac_nhan ma_pin รหัส รหัสotp "
        "验证码 驗證碼 確認コード 認証コード 暗証番号 인증번호 인증코드 رمز_التحقق كود_التحقق الرمز_السري "
        "otp_है ओटीपी पिन passcode",
        r"[A-Z]-\d{4,8}|\d{4,8}|\d{3}[- ]\d{3}",
        before=True,
        told=True,
    ),
    _Named(
        "password",
        Kind.USERNAME,
        "password passwd passcode pwd pw contrasena la_clave senha passwort kennwort mot_de_passe mdp "
        "wachtwoord parola parolam "
        "sifre sifrem hasło losenord salasana jelszo heslo пароль пароля kata_sandi sandi password_nya mat_khau "
        "รหัสผ่าน 密码 密碼 パスワード 비밀번호 비번 كلمة_السر كلمة_المرور الباسورد باسورد पासवर्ड",
        r"(?=[^\s<>]{0,40}[^\W\d_])[^\W\d_][^\s<>,;()\"']{2,40}\d\d?[^\s<>,;()\"'\w]?(?<![.:!?…])",
    ),
    _Named(
        "password",
        Kind.USERNAME,
        "password passwd passcode pwd pw pass my_pass contrasena clave la_clave senha passwort kennwort "
        "mot_de_passe mdp "
        "wachtwoord parola parolam sifre sifrem hasło losenord salasana jelszo heslo пароль пас kata_sandi "
        "sandi pw_nya "
        "mat_khau mk รหัสผ่าน พาส 密码 密碼 パスワード パス 비밀번호 비번 كلمة_السر كلمة_المرور الباسورد "
        "باسورد पासवर्ड",
        r"(?=[^\s<>]{0,40}\d)(?=[^\s<>]{0,40}[^\W\d_])[^\s<>,;()\"']{5,40}(?<![.:!?…])",
        told=True,
    ),
)


class _Rule:
    """A kind of number made ready to be looked for."""

    def __init__(self, named: _Named) -> None:
        self.named = named
        self.heads = frozenset(
            WORD.findall(entry.replace("_", gap).lower())[0] for entry in entries(named.words) for gap in (" ", "")
        )
        listed = entries(named.words)
        unspaced = [word for word in listed if not _SPACED.match(word)]
        spaced = [word for word in listed if _SPACED.match(word)]
        self.unspaced = Expression(either(" ".join(unspaced))) if unspaced else None
        words = [rf"(?:{either(' '.join(unspaced))})(?:号码|號碼|号|號|番号|번호)?"] if unspaced else []
        words.append(rf"(?<![{SPACED}@#])(?:{either(' '.join(spaced))})(?:'?s)?(?![{SPACED}@])")
        self.words = Expression("|".join(words), re.I)
        self.behind = Expression(rf"(?:{named.behind})(?![{SPACED}%]|[.,]\d)")
        form = named.nearby or named.behind
        self.nearby = Expression(rf"(?<![\w.,/@#-])(?:{form})(?![{SPACED}%]|[.,]\d)")
        self.before = Expression(rf"(?<![\w.,/@#-])(?P<number>{form})(?:{_BEFORE.pattern})$", re.I)

    def may_hold(self, text: str, words: frozenset[str]) -> bool:
        """Whether a text has one of the words."""
        if not words.isdisjoint(self.heads):
            return True
        return self.unspaced is not None and self.unspaced.search(text) is not None

    def find(self, text: str) -> Iterator[Finding]:
        """The numbers that the words of a text name."""
        for word in self.words.finditer(text):
            span = (
                self._behind(text, *word.span()) or self._nearby(text, word.end()) or self._before(text, word.start())
            )
            if span is not None:
                yield *span, 0.85, self.named.rule

    def _behind(self, text: str, begin: int, at: int) -> tuple[int, int] | None:
        gap = _GAP.match(text, at)
        start = at if gap is None else gap.end()
        number = self.behind.match(text, start)
        if number is None or (start == at and text[at - 1].isascii() and text[at].isalpha()):
            return None
        is_announced = _TOLD.search(text, at, start) is not None
        if not is_announced and (self.named.told and self.named.rule == "password"):
            return None
        if not is_announced and self.named.told and len(number[0]) < 5 and at - begin < 5:
            return None  # "pin 1000" says no more than "pin this"
        return None if _is_a_count(text, number, is_announced or not self.named.told) else number.span()

    def _nearby(self, text: str, at: int) -> tuple[int, int] | None:
        if not self.named.nearby:
            return None
        between = _BETWEEN.match(text, at)
        number = self.nearby.search(text, at, at + _NEARBY + 20)
        if between is None or number is None or number.start() > between.end() or _is_a_count(text, number, True):
            return None
        return number.span()

    def _before(self, text: str, at: int) -> tuple[int, int] | None:
        if not self.named.before:
            return None
        floor = max(0, at - 60)
        number = self.before.search(text[floor:at])
        if number is None or _ROUND.fullmatch(number["number"]) or _YEAR.fullmatch(number["number"]):
            return None
        return floor + number.start("number"), floor + number.end("number")


_SPACED = Expression(f"[{SPACED}]")


def _is_a_count(text: str, number: re.Match[str], told: bool) -> bool:
    """Whether a number counts something, or is a year or round and nothing says that it is what the word names."""
    if _UNIT.match(text, number.end()):
        return True
    return not told and (_ROUND.fullmatch(number[0]) is not None or _YEAR.fullmatch(number[0]) is not None)


@cache
def _rules(kind: Kind) -> tuple[_Rule, ...]:
    return tuple(_Rule(named) for named in _RULES if named.kind is kind)


@cache
def _heads(kind: Kind) -> frozenset[str]:
    return frozenset[str]().union(*(rule.heads for rule in _rules(kind)))


@cache
def _unspaced(kind: Kind) -> Expression:
    return Expression("|".join(rule.unspaced.pattern for rule in _rules(kind) if rule.unspaced is not None) or "(?!)")


class _NamedNumbers(TextRecognizer):
    """Finds the numbers of one kind that a word beside them names."""

    def may_hold(self, glance: Glance) -> bool:
        """A number has a digit, and one of the words is there."""
        if not glance.digits:
            return False
        if not glance.words.isdisjoint(_heads(self.kind)):
            return True
        return not glance.text.isascii() and _unspaced(self.kind).search(glance.text) is not None

    def find(self, text: str) -> Iterator[Finding]:
        """The numbers of every rule whose words are there."""
        words = frozenset(WORD.findall(text.lower()))
        for rule in _rules(self.kind):
            if rule.may_hold(text, words):
                yield from rule.find(text)


class NamedIdRecognizer(_NamedNumbers):
    """Finds the numbers of documents, devices, bookings and parcels."""

    kind = Kind.NATIONAL_ID
    needs_digits = True

    def may_hold(self, glance: Glance) -> bool:
        """As the others, or a key of five times five characters or a plate's word is there."""
        return glance.digits >= 2 and (
            super().may_hold(glance)
            or "-" in glance.text
            or _VEHICLE.search(glance.text) is not None
            or _PLATE_RULE.may_hold(glance.text, glance.words)
        )

    def find(self, text: str) -> Iterator[Finding]:
        """As the others, and number plates, licence keys, and numbers of vehicles that their check digit proves."""
        yield from super().find(text)
        for match in _KEY.finditer(text):
            if sum(char.isdecimal() for char in match[0]) >= 3 and any(char.isalpha() for char in match[0]):
                yield match.start(), match.end(), 0.8, "licence key"
        for match in _VEHICLE.finditer(text):
            if _is_vehicle(match[0]):
                yield match.start(), match.end(), 0.8, "vehicle"
        if _PLATE_RULE.may_hold(text, frozenset(WORD.findall(text.lower()))):
            yield from _plates(text)


_KEY = Expression(r"(?<![\w-])[A-Z0-9]{5}(?:-[A-Z0-9]{5}){3,5}(?![\w-])")
_VEHICLE = Expression(r"(?<!\w)(?=[A-Z]{0,16}\d)(?=\d{0,16}[A-Z])[A-HJ-NPR-Z0-9]{17}(?!\w)")
_VEHICLE_VALUES = {str(digit): digit for digit in range(10)} | {
    letter: value
    for letters in ("ABCDEFGH", "JKLMN-P-R", "-STUVWXYZ")
    for value, letter in enumerate(letters, start=1)
    if letter != "-"
}
_VEHICLE_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def _is_vehicle(number: str) -> bool:
    """Whether the ninth sign is the check of the others. Source: 49 CFR 565.15, the vehicle identification number."""
    total = sum(_VEHICLE_VALUES[sign] * weight for sign, weight in zip(number, _VEHICLE_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == number[8]


_PLATE_RULE = _Rule(
    _Named(
        "plate",
        Kind.NATIONAL_ID,
        "license_plate licence_plate number_plate numberplate plate plates plate_number plate_no registration reg rego "
        "vehicle_number car_number kennzeichen nummernschild matricula placa placas patente chapa plaque "
        "plaque_d'immatriculation immatriculation targa targato kenteken rejestracja rejestracji tablica "
        "nr_rejestracyjny plaka plakasi plakali plakam госномер номер_машины номерной_знак номера гос_номер регзнак "
        "номерний_знак plat_nomor nopol plat no_polisi bien_so bien_so_xe registreringsnummer regnr rekisterinumero "
        "車牌 车牌 车牌号 ナンバー 차량번호 번호판 ทะเบียน ทะเบียนรถ لوحة رقم_اللوحة गाड़ी_नंबर gaadi_number gadi_no",
        r"(?!)",
    )
)
_PLATE = Expression(r"[^\W_]{1,8}(?:(?:[ .·-]|- )[^\W_]{1,6}){0,3}")
_PLATE_TOKEN = Expression(r"[A-ZА-ЯÀ-Þ]{1,4}|(?=[^\W\d_]{0,4}\d)[^\W_]{1,9}|[一-鿿ก-ฮ가-힣]{1,2}")


def _plates(text: str) -> Iterator[Finding]:
    """Number plates behind their word: capitals and digits, five to nine in all, in up to four groups."""
    for word in _PLATE_RULE.words.finditer(text):
        gap = _GAP.match(text, word.end())
        start = word.end() if gap is None else gap.end()
        match = _PLATE.match(text, start)
        if match is None:
            continue
        end = start
        for token in re.finditer(r"[^\W_]+", match[0]):
            if _PLATE_TOKEN.fullmatch(token[0]) is None:
                break
            end = start + token.end()
        plate = text[start:end]
        signs = sum(char.isalnum() for char in plate)
        digits = sum(char.isdecimal() for char in plate)
        if 5 <= signs <= 10 and 2 <= digits < signs and not _UNIT.match(text, end):
            yield start, end, 0.8, "plate"


class NamedAccountRecognizer(_NamedNumbers):
    """Finds numbers of bank accounts and of payment services, and payment addresses such as `name@okbank`."""

    kind = Kind.IBAN

    def may_hold(self, glance: Glance) -> bool:
        """As the others, or a payment address is there."""
        return "@" in glance.text or super().may_hold(glance) or "alias" in glance.words

    def find(self, text: str) -> Iterator[Finding]:
        """As the others, and payment addresses."""
        yield from super().find(text)
        if "@" in text:
            for match in _PAYMENT_ADDRESS.finditer(text):
                yield match.start(), match.end(), 0.95, "payment address"


_PAYMENT_ADDRESS = Expression(
    r"(?<![\w.@-])[A-Za-z0-9][\w.-]{1,48}@(?:ok(?:axis|sbi|hdfcbank"
    r"|icici|bizaxis)|[yi]bl|axl|apl|paytm|pt(?:yes|axis|hdfc|sbi)"
    r"|upi|yes(?:bank|pay|g)|axis(?:bank|b|gold)?|hdfcbank|icici"
    r"|sbi|kotak|idfc(?:bank|first)?|fbl|ikwik|freecharge|jupiteraxis"
    r"|waicici|wa(?:axis|hdfcbank|sbi)|yapl|rapl|abfspay|airtel"
    r"|postbank|indus|barodampay|cnrb|pnb|naviaxis|slice|timecosmos"
    r"|superyes|axisb|pingpay|amazonpay|mobikwik|jio|dbs|federal"
    r"|rbl|cub|kbl|unionbank|uboi|boi|centralbank)(?![\w.@-]*\w)",
    re.I,
)
"""A virtual payment address of India's UPI: a name and the handle of a bank or an app."""


class SecretRecognizer(_NamedNumbers):
    """Finds what lets one in: passwords, PINs, one-time codes and keys of services; and the numbers of players."""

    kind = Kind.USERNAME
    needs_digits = True

    def may_hold(self, glance: Glance) -> bool:
        """As the others, or a long word is there."""
        return glance.digits >= 1 and (
            any(rule.may_hold(glance.text, glance.words) for rule in _rules(self.kind))
            or max(map(len, glance.words), default=0) >= 16
            or "sw-" in glance.text.lower()
        )

    def find(self, text: str) -> Iterator[Finding]:
        """As the others, and keys of services by their form."""
        yield from super().find(text)
        for match in _SERVICE_KEY.finditer(text):
            yield match.start(), match.end(), 0.9, "key of a service"


_SERVICE_KEY = Expression(
    r"(?<![\w-])(?:gh[opsur]_[A-Za-z0-9]{30,255}|github_pat_\w{40,90}"
    r"|AKIA[A-Z0-9]{16}|sk-(?:[a-z]{2,8}-)?[A-Za-z0-9]{20,80}"
    r"|xox[abp]-[A-Za-z0-9-]{20,80}|AIza[\w-]{35}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,80}|hf_[A-Za-z0-9]{30,40}"
    r"|eyJ[\w-]{10,400}\.[\w-]{10,800}\.[\w-]{10,400}|SW-\d{4}-\d{4}-\d{4})(?![\w-])"
)
"""Keys by the beginning that their service gives them: GitHub, AWS, OpenAI, Slack, Google, Stripe, Hugging Face, JWT;
and a friend code of Nintendo."""


class PlaceNumberRecognizer(_NamedNumbers):
    """Finds post boxes and postal codes."""

    kind = Kind.STREET_ADDRESS
    needs_digits = True
