"""Opt-outs in words of other languages: the phrases that carry most of them.

Patterns are looked for in plain text (`sender.domain.wording.plain`): lower case, Latin letters
without accents. Each needs an intent with its object, as in English: "停止" alone is a keyword, but
"停止線" is a line on the road. What these miss is conversation to us; Twilio's own keywords and the
lists of whole words come before.
"""

import re

#: By language; each is one way to say "do not write to me", "remove me" or "unsubscribe me".
_PHRASES = {
    "es": (
        r"\b(?:no|ya no|nunca) (?:me |nos ){0,2}(?:\w+ ){0,3}?(?:mand|envi|contact|text)e[ns]?\b",
        r"\b(?:no|ya no|nunca) (?:me |nos ){0,2}(?:\w+ ){0,3}?(?:escriba|molest[ae])[ns]?\b",
        r"\bno quiero (?:recibir |mas |sus |estos |tus ){1,3}(?:mensajes?|textos?|sms)",
        r"\bdej(?:en|e|a|ar) de (?:mandar|enviar|escribir|molestar|contactar|llamar)",
        r"\b(?:quit|saqu|borr|elimin)(?:en|e|a|ar)?(?:me)? (?:\w+ ){0,2}?(?:lista|numero)",
        r"\b(?:dar|dame|denme|darme|deme) de baja|\bcancelar (?:la |mi )?suscripcion",
    ),
    "fr": (
        r"\barret(?:e|ez|er) (?:de |les |vos |ces |d){0,2}(?:m|me )?(?:envoyer|ecrire|contacter)",
        r"\barret(?:e|ez|er) (?:les |vos |ces )?(?:sms|textos|messages)",
        r"\bm(?:e |)(?:ecrivez|envoyez|contactez|textez) (?:plus|pas)",
        r"\bveux plus (?:recevoir|de|vos)|\bdesabonnez|\bdesinscrivez",
        r"\b(?:me|moi) (?:desabonner|desinscrire)|\b(?:desabonner|desinscrire) moi",
        r"\b(?:retir|enlev|supprim)(?:er|ez) (?:\w+ ){0,4}?(?:liste|base|fichier|contacts)",
    ),
    "pt": (
        r"\bparem? de (?:me )?(?:mandar|enviar|ligar|escrever|perturbar)",
        r"\bnao (?:quero|desejo) (?:mais )?(?:receber|sms|mensage)",
        r"\bnao (?:me )?(?:mande|envie|manda|escreva)m? mais",
        r"\b(?:tira|tire|tirem|remova|remove|exclua|exclui) (?:\w+ ){0,3}?(?:lista|numero)",
        r"\bcancelar (?:a |minha )?inscricao|\bdescadastr",
    ),
    "de": (
        r"\bkeine (?:weiteren |solchen |mehr )?(?:sms|nachrichten|werbung|texte)",
        r"\bhor(?:en sie|t)? (?:bitte )?auf|\bschreiben sie mir nicht",
        r"\b(?:nehm|streich|losch)\w* (?:sie )?(?:bitte )?(?:mich|meine (?:handy)?nummer)",
        r"\bnicht mehr (?:schreiben|anschreiben|kontaktieren)",
        r"^(?:bitte )?(?:abmelden|abbestellen)(?: bitte)?$",
    ),
    "it": (
        r"\bnon (?:mi )?(?:mandate|inviate|scrivete|contattate)(?:mi)? (?:piu|altri)",
        r"\bnon voglio (?:piu )?(?:ricevere|messaggi)|\bcancella(?:temi|te)|\bsmett\w+ di",
    ),
    "pl": (r"\bnie (?:wysylaj|pisz|dzwon|przysylaj)|\bwypisz|\brezygnuj",),
    "nl": (r"\bgeen (?:sms|berichten) meer|\buitschrijven",),
    "ru": (
        r"\bне (?:пиши|присыла|шли|звони|беспоко|отправля)|\bотпиш\w+ меня|\bхочу отписаться",
        r"\bудалите (?:\w+ )?(?:номер|меня)|\b(?:больше|хватит) (?:писать|слать|присылать)",
    ),
    "zh": (
        r"退订|退訂|取消订阅|取消訂閱|别再发",
        r"(?:不要|别|勿|請勿|请勿|停止)再?(?:[给給向]我)?(?:发|發|联系|聯繫|打扰|骚扰)",
    ),
    "ja": (r"配信を?停止|停止して|(?:送ら|送信し|連絡し)ないで|登録を?解除",),
    "ko": (r"수신 ?거부|그만 ?보내|보내지 ?마|(?:문자|연락) ?(?:그만|하지 ?마|거부)",),
    "hi": (r"मत भेज|न भेज|(?:मैसेज|संदेश|एसएमएस) (?:\S+ ){0,2}?(?:बंद|रोक)",),
    "bn": (r"(?:মেসেজ|এসএমএস) (?:\S+ )?(?:পাঠাবেন না|বন্ধ)",),
    "ur": (r"(?:پیغام|میسج) (?:\S+ )?(?:نہ|مت|بند)",),
    "ar": (r"لا (?:ترسل|تراسل|تتصل)|الغاء الاشتراك|اوقفوا? |توقفوا? عن",),
    "vi": (r"\bdung (?:nhan|gui|goi|lien)|\b(?:ngung|thoi) (?:nhan|gui)|\bhuy dang ky",),
    "tr": (r"\b(?:mesaj|sms) (?:atma|gonderme|yollama|istemiyor)|\blisteden (?:cik|sil)",),
    "id": (r"\b(?:jangan|stop|berhenti) (?:kirim|mengirim|sms|hubungi|ganggu)|\bhapus nomor",),
    "tl": (
        r"\b(?:hu)?wag (?:na |niyo |nyo |mo |po |kayo |kang ){1,4}(?:mag ?)?(?:text|txt|padala)",
    ),
    "sw": (r"\b(?:usitume|msitume|acha kutuma)",),
}
_ANY = re.compile("|".join(phrase for phrases in _PHRASES.values() for phrase in phrases))


def is_foreign_opt_out(text: str) -> bool:
    """Whether plain text has one of the phrases."""
    return _ANY.search(text) is not None
