"""Words that mean "stop" as a whole message, by language.

English: Twilio's default keywords and the FCC's list, 47 CFR 64.1200(a)(10), in force since
2025-04-11, which adds the two-word "opt out" that Twilio does not know
(twilio.com/docs/messaging/tutorials/advanced-opt-out).

ARRET and TD are carriers' keywords in the US and Canada
(docs.aws.amazon.com/sms-voice/latest/userguide/opt-out-list-keywords.html); STOP and its German
spelling STOPP are used across Europe. The others are the words that campaigns of these languages
ask for and people use: the imperative of "stop", "unsubscribe", "remove me". They are opt-outs in
the person's own words, because Twilio blocks nobody for them unless a service was so configured,
and then it says so in ``OptOutType``.

Words are written as `sender.domain.wording.plain` leaves them: lower case, Latin letters without
accents, single spaces.
"""

#: Twilio's eight, and the FCC's.
STOP = ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "opt out")
START = ("start", "unstop")
HELP = ("help", "info")
YES = ("yes",)

#: Whole messages that are clear opt-outs, by ISO 639-1 code.
OPT_OUTS: dict[str, tuple[str, ...]] = {
    "en": (
        *("remove", "remove me", "unsub", "delete me", "opt me out", "opting out", "stop all"),
        *("no more", "td", "take me off", "get me off", "do not contact", "do not text"),
        *("un subscribe", "dnc", "discontinue", "quit it", "cut it out", "knock it off"),
    ),
    "es": (
        *("parar", "alto", "baja", "dar de baja", "darme de baja", "detener", "cancelar"),
        *("desuscribir", "salir", "no mas", "eliminar", "no molestar", "borrar"),
    ),
    "fr": (
        *("arret", "arrete", "arretez", "arreter", "desabonner", "desabonnement"),
        *("desinscription", "desinscrire", "supprimer", "annuler"),
    ),
    "pt": ("sair", "parar", "pare", "cancelar", "remover", "descadastrar", "nao quero mais"),
    "de": ("stopp", "abmelden", "abbestellen", "austragen", "abmeldung", "loschen"),
    "it": ("ferma", "basta", "cancella", "cancellami", "disiscrivi", "cancellazione"),
    "zh": ("退订", "退訂", "停止", "取消订阅", "取消訂閱", "取消", "拒收"),
    "hi": ("रोकें", "रोको", "बंद करो", "बंद करें", "बंद"),
    "ar": ("ايقاف", "توقف", "الغاء", "الغاء الاشتراك", "اوقف", "قف"),
    "bn": ("বন্ধ", "বন্ধ করুন", "বন্ধ করো", "থামুন"),
    "ru": ("стоп", "отписаться", "отписка", "отмена", "отпишите", "отказ"),
    "ur": ("بند کرو", "بند کریں", "روکو"),
    "id": ("berhenti", "stop langganan", "batal", "unreg"),
    "ja": ("停止", "配信停止", "解除", "中止", "退会"),
    "ko": ("수신거부", "거부", "중지", "해지", "수신 거부"),
    "vi": ("dung", "huy", "tu choi", "huy dang ky", "tc"),
    "tr": ("dur", "iptal", "durdur", "cik", "ret"),
    "tl": ("itigil", "tigil", "ihinto"),
    "pl": ("rezygnuje", "wypisz", "koniec", "anuluj"),
    "nl": ("stoppen", "afmelden", "uitschrijven"),
    "sw": ("acha", "simama", "sitisha", "ondoa"),
}

#: Whole messages that may be opt-outs: they mean other things as well.
DOUBTFUL = (
    *("no thanks", "no thank you", "not interested", "enough", "spam", "halt", "go away"),
    *("leave me alone", "block", "blocked", "fin", "ende", "fine", "para", "unsubscribed"),
    *("no gracias", "不要", "いらない", "fuck off", "wrong number", "removed"),
)
