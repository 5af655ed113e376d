"""Words that mean "stop" as a whole message, by language, and where they come from.

English: Twilio's default keywords (twilio.com/docs/messaging/tutorials/advanced-opt-out) and the
FCC's list, 47 CFR 64.1200(a)(10), in force since 2025-04-11, which adds the two-word "opt out"
that Twilio does not know.

Twilio has no keywords of its own in other languages: a service has them where its owner put them
in, and then ``OptOutType`` says so. Words of other languages are therefore opt-outs in the person's
own words. Some are carriers' or regulators' (`SOURCES`); the rest are plain imperatives of "stop",
"unsubscribe", "remove", which need no source to be understood. A word that is a name, a "yes", a
"hello" or a size in another language, or that cancels an appointment as well, is for a person to
read (`DOUBTFUL`).

Words are written as `sender.domain.wording.plain` leaves them: lower case, Latin letters without
accents, single spaces; those of `ACCENTED` as they are typed.
"""

#: Twilio's eight, and the FCC's.
STOP = ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "opt out")
START = ("start", "unstop")
HELP = ("help", "info")
YES = ("yes",)

#: Pages that name a language's words, by ISO 639-1 code; languages without one have imperatives.
SOURCES = {
    # ARRET, REMOVE, TD and OPT-OUT, which carriers of the US and Canada require.
    "en": "docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html",
    "fr": "docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html",
    # DETENER, PARAR, DESUSCRIBIR, BAJA, CANCELAR.
    "es": "helpaivoes.aivohelp.com/search/gestion-de-opt-out-para-sms-y-whatsapp-en-engage",
    # PARAR, CANCELAR, REMOVER, DESCADASTRAR; SAIR by order of the regulator, Anatel.
    "pt": "helpaivopt.aivohelp.com/article/gestao-de-opt-out-para-sms-e-whatsapp-no-engage/806214",
    # 拒收 and 退订, which promotional texts have to offer.
    "zh": "support.huaweicloud.com/usermanual-iotcom/iotcom_03_1002.html",
    # 수신거부, which the Network Act asks of every advertisement, article 50 (4).
    "ko": "smscore.co.kr/webuser/page/contents_advertise02.html",
    # RET, the national register's word (doubtful without a brand), and IPTAL.
    "tr": "user.netmera.com/netmera-developer-guide/integrations/via-integration",
}

#: Whole messages that are clear opt-outs, by ISO 639-1 code.
OPT_OUTS: dict[str, tuple[str, ...]] = {
    "en": (
        *("remove", "remove me", "unsub", "delete me", "opt me out", "opting out", "stop all"),
        *("no more", "td", "take me off", "get me off", "do not contact", "do not text"),
        *("un subscribe", "dnc", "discontinue", "quit it", "cut it out", "knock it off"),
    ),
    "es": (
        *("parar", "baja", "dar de baja", "darme de baja", "deme de baja", "detener", "cancelar"),
        *("desuscribir", "desuscribirme", "salir", "no mas", "eliminar", "no molestar", "borrar"),
        *("desactivar",),
    ),
    "fr": (
        *("arret", "arrete", "arretez", "arreter", "desabonner", "desabonnement", "desabonnez moi"),
        *("desinscription", "desinscrire", "supprimer"),
    ),
    "pt": ("sair", "parar", "cancelar", "remover", "descadastrar", "nao quero mais"),
    "de": ("stopp", "abmelden", "abbestellen", "austragen", "abmeldung", "loschen"),
    "it": ("basta", "cancellami", "disiscrivi", "disiscrivimi", "cancellazione"),
    "zh": ("退订", "退訂", "停止", "取消订阅", "取消訂閱", "拒收"),
    "hi": ("रोकें", "रोको", "बंद करो", "बंद करें"),
    "ar": ("ايقاف", "توقف", "الغاء", "الغاء الاشتراك", "اوقف"),
    "bn": ("বন্ধ করুন", "বন্ধ করো", "থামুন"),
    "ru": ("стоп", "отписаться", "отписка", "отпишите", "отпишите меня"),
    "ur": ("بند کرو", "بند کریں", "روکو"),
    "id": ("berhenti", "berhenti langganan", "stop langganan", "unreg"),
    "ja": ("停止", "配信停止", "解除", "配信解除", "退会"),
    "mr": ("थांबवा", "बंद करा"),
    "te": ("ఆపండి", "ఆపు"),
    "ta": ("நிறுத்து", "நிறுத்துங்கள்"),
    "ko": ("수신거부", "거부", "중지", "해지", "수신 거부"),
    "vi": ("huy dang ky", "ngung nhan tin"),
    "tr": ("iptal", "durdur"),
    "tl": ("itigil", "tigil", "ihinto"),
    "pl": ("rezygnuje", "wypisz", "wypisz mnie"),
    "nl": ("stoppen", "afmelden", "uitschrijven"),
    "sw": ("sitisha", "ondoa"),
}

#: Vietnamese words that are opt-outs with their accents and "correct" or a name without.
ACCENTED = ("dừng", "hủy", "huỷ", "từ chối", "ngừng")

#: Whole messages that may be opt-outs: they mean other things as well.
DOUBTFUL = (
    *("no thanks", "no thank you", "not interested", "enough", "spam", "halt", "go away"),
    *("block", "blocked", "fin", "ende", "para", "unsubscribed"),
    *("no gracias", "不要", "いらない", "fuck off", "wrong number", "removed", "pause"),
    # "High", "ok" in Hindi, "friend" in Tagalog, "hard" in French, "Miss" in Malay, "farm" in
    # Polish, "take care", "shut".
    *("alto", "acha", "pare", "dur", "cik", "ferma", "tc", "ret", "simama", "बंद", "বন্ধ", "قف"),
    # "Cancel", of an appointment as well.
    *("annuler", "cancella", "取消", "отмена", "отказ", "anuluj", "koniec", "batal", "中止"),
)
#: The same, as long as no accent makes another word of them.
DOUBTFUL_UNACCENTED = ("dung", "huy", "tu choi", "ngung")
