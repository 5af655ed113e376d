"""Opt-outs in words of other languages: the phrases that carry most of them.

Patterns are looked for in plain text (`sender.domain.wording.plain`): lower case, Latin letters
without accents. In each language there are the same ways to say it: do not write to me, I do not
want your messages, take me off the list, delete my number, unsubscribe me, stop sending. Each
needs the intent with its object: "停止" alone is a keyword, but "停止線" is a line on the road.
What is said with a "do not" before it ("no dejen de mandarme las ofertas") is no opt-out, and a
question about it is for a person to read.
"""

import re
from collections.abc import Iterable

from sender.domain.clarity import Clarity

_OPT_OUTS = {
    "es": (
        (
            r"\b(?:no|ya no|nunca|ni) (?:me |nos |vuelvan a |vuelva a ){0,2}(?:\w+ ){0,2}?"
            r"(?:mand|envi|contact|text|molest)(?:e|en|es|ar|arme|eis)\b"
        ),
        (
            r"\bno (?:quiero|deseo) (?:seguir )?recib|\bdej\w+ (?:de molestar|en paz|tranquil)"
            r"|\bno (?:me |nos )?(?:escrib(?:a|an|as)"
            r"|(?:vuelvan?|vuelvas) a escribir)"
        ),
        (
            r"\bno (?:(?:quiero|deseo|necesito) (?:\w+ ){0,3}?|(?:manden )?mas )"
            r"(?:mensajes?|textos?|sms|promociones|publicidad)"
        ),
        (
            r"\b(?:dejen|deje|deja|dejar|dejad|paren|pare|parad"
            r"|para) de (?:mandar|enviar|escribir|molest|contact|text)"
        ),
        (
            r"\b(?:quit|saqu|borr|elimin|remuev|sacar|retir)\w* (?:\w+ ){0,4}?(?:lista"
            r"|numero|telefono|celular|datos|base)"
        ),
        (
            r"\b(?:dar|dame|denme|darme|deme|quiero darme) de baja"
            r"|\bcancelar (?:la |mi )?suscripcion"
        ),
    ),
    "fr": (
        r"\barret(?:e|ez|er) (?:de |les |vos |ces |d){0,2}(?:m|me )?(?:envoyer|ecrire|contacter)",
        r"\barret(?:e|ez|er) (?:les |vos |ces )?(?:sms|textos|messages|pubs?)",
        (
            r"\bm(?:e )?(?:ecrivez|envoyez|contactez|textez) (?:plus"
            r"|pas)|\bplus (?:de|aucun) (?:sms|messages|textos|pubs?)"
        ),
        r"\b(?:veux|souhaite|desire) (?:plus|pas) (?:\w+ ){0,3}?(?:sms|messages?|textos?|pubs?)",
        (
            r"\bplus (?:\w+ ){0,2}?(?:contacte|sollicite)|\barretez (?:ca|tout)\b"
            r"|\bne plus (?:m ?|me |nous )?(?:envoyer|ecrire|contacter|recevoir)"
            r"|\b(?:retir|enlev|supprim|ray|efface)(?:ez|er) moi|\bdesabonnez|\bdesinscri(?:vez"
            r"|re)|\b(?:me|moi) desabonner|\bdesabonner moi"
        ),
        (
            r"\b(?:retir|enlev|supprim|efface)\w* (?:\w+ ){0,4}?(?:liste"
            r"|base|fichier|contacts|numero)"
        ),
        r"\b(?:fout|fich|laiss)\w* (?:moi )?(?:la paix|tranquille)",
    ),
    "pt": (
        (
            r"\bchega de (?:\w+ )?(?:mensage\w+|sms|propaganda)|\b(?:parem?"
            r"|para) de (?:me )?(?:mandar|enviar|ligar|escrever|perturbar|encher)"
        ),
        r"\bnao (?:quero|desejo) (?:\w+ ){0,2}?(?:receb\w+|sms|mensage\w+)",
        r"\bnao (?:me )?(?:mande|envie|manda|escreva|perturbe)m?\b",
        (
            r"\b(?:quero |para )sair d(?:a|esta|essa) lista|\b(?:tir|remov|exclu|apag"
            r"|delet)\w* (?:\w+ ){0,3}?(?:lista|numero|contato|cadastro)"
        ),
        r"\bcancelar (?:\w+ )?(?:inscricao|recebimento|assinatura)|\bdescadastr",
    ),
    "de": (
        (
            r"\bkeine (?:weiteren |solchen |mehr )?(?:sms"
            r"|nachrichten|werbung|texte|werbenachrichten)"
        ),
        (
            r"\b(?:hor(?:en sie|t)?|auf) (?:bitte )?(?:auf"
            r"|mit)\b.{0,20}(?:schreib|sms|nachricht|send|schick)"
        ),
        (
            r"\bhoren? sie (?:bitte )?auf|\bschreiben? (?:sie )?mir nicht"
            r"|\blass(?:t|en sie)? mich (?:\w+ )?in ruhe"
        ),
        r"\b(?:nehm|nimm|streich|losch|entfern)\w* (?:\w+ ){0,2}?(?:mich|(?:handy)?nummer|daten)",
        (
            r"\bnicht mehr (?:schreiben|anschreiben|kontaktieren"
            r"|an)|\bwiderruf\w* (?:\w+ ){0,3}?einwilligung"
        ),
        (
            r"^(?:bitte )?(?:abmelden|abbestellen"
            r"|austragen)(?: bitte)?$|\b(?:mochte|will) mich abmelden"
        ),
    ),
    "it": (
        r"\bnon (?:mi )?(?:mandat|inviat|scriv|contattat|disturb)\w*(?: piu| altri| messaggi|$)",
        (
            r"\bnon voglio (?:piu )?(?:ricevere|messaggi)"
            r"|\bcancella(?:te|re|tevi|temi| )|\bsmett\w+ di"
        ),
        (
            r"\b(?:rimuov|togli)ete?mi\b|\bbasta (?:con )?(?:\w+ )?(?:messaggi|sms|pubblicita)"
            r"|\b(?:togl[ie]"
            r"|rimuov)\w* (?:\w+ ){0,3}?(?:lista|numero)"
        ),
    ),
    "pl": (
        (
            r"\bnie (?:wysyla\w*|pisz\w*|przysyla\w*|chce (?:\w+ ){0,2}?(?:sms|wiadomosc))"
            r"|\bwypisz|\brezygnuj|\busun\w* (?:\w+ ){0,2}?numer|\bprzestan\w* (?:do mnie )?pisac"
        ),
    ),
    "nl": (
        r"\bgeen (?:\w+ )?(?:sms|sms jes|berichten|reclame)(?: \w+)? meer|\buitschrijven",
        r"\bstop met (?:\w+ )?(?:sms|stur|bericht|app)|\b(?:verwijder|haal) (?:mij|me|mijn nummer)",
    ),
    "ru": (
        (
            r"\bне (?:пиши|присыла|шли|беспоко|надо мне (?:пис|сл))"
            r"|\bне надо (?:мне )?(?:писать|слать"
            r"|присылать)|\b(?:отмен|отключ|убер|прекрат|останов)\w+ рассылк|\bне (?:тревож"
            r"|отправля)|\bотпиш\w+ меня|\b(?:хочу )?отписаться"
        ),
        (
            r"\b(?:удалите|уберите) (?:\w+ ){0,2}?(?:номер|меня)|\b(?:больше|хватит|прекрат\w+"
            r"|перестан\w+) "
            r"(?:мне |нам )?(?:писать|слать|присылать|отправлять|спамить)"
            r"|\bне хочу (?:\w+ )?(?:получать|смс|сообщени)"
        ),
    ),
    "zh": (
        r"退订|退訂|取消订阅|取消訂閱|[别別]再(?:发|發|传|傳|寄|打)",
        (
            r"(?:不要|别|別|勿|請勿|请勿|停止)再?(?:[给給向我]){0,2}(?:发"
            r"|發|传|傳|寄|联系|聯繫|打扰|打擾|骚扰|騷擾)"
        ),
        (
            r"(?:删除|刪除|移除|删掉|去掉)我?的?(?:号码|號碼|手机"
            r"|電話)|(?:号码|號碼)\S{0,6}(?:删除|刪除|移除)"
            r"|不想(?:再)?收到|(?:从|從|自)\S{0,8}(?:名单|名單|列表)\S{0,4}(?:删|刪|移除|去掉|除名)"
        ),
    ),
    "ja": (
        (
            r"配信を?(?:停止|止め|やめ)|停止して|(?:送信|送るの|メール|メッセージ|連絡)(?:を"
            r"|は)?(?:やめ|止め)て|(?:送ら|送信し|連絡し"
            r"|メールし)ないで|(?:登録|配信)を?(?:解除|消|削除)"
        ),
        (
            r"送ってこないで|解除して|(?:番号|リスト)\S{0,6}(?:削除"
            r"|消|外)|(?:いらない|いりません)(?:です|$|の)"
        ),
    ),
    "ko": (
        (
            r"수신 ?거부|그만 ?보내|보내지 ?(?:마|말)|(?:문자"
            r"|연락|광고) ?(?:그만|하지 ?마|거부|보내지)"
        ),
        r"(?:번호|명단)\S{0,3} ?(?:삭제|지워|빼)|받고 ?싶지 ?않",
    ),
    "hi": (
        r"मत भेज|न भेज|(?:मैसेज|संदेश|एसएमएस) (?:\S+ ){0,2}?(?:बंद|रोक)|नहीं चाहिए",
        r"(?:नंबर|नम्बर) (?:\S+ ){0,3}?(?:हटा|निकाल|मिटा)",
    ),
    "hi in Latin letters": (
        r"\b(?:band|bandh) kar|\bmat (?:bhej|karo)|\bnahi chahiye|\bnumber (?:\w+ ){0,2}?hata",
    ),
    "bn": (r"(?:মেসেজ|এসএমএস) (?:\S+ )?(?:পাঠাবেন না|বন্ধ|দিবেন না)|নম্বর (?:\S+ )?(?:মুছে|সরি)",),
    "ur": (
        r"(?:پیغام|میسج|میسیج) (?:\S+ )?(?:نہ|مت|بند)|(?:نمبر) (?:\S+ ){0,3}?(?:نکال|ہٹا|حذف)",
        r"مت بھیج|نہ بھیج",
    ),
    "ar": (
        (
            r"لا (?:ترسل|تراسل|تبعت)|(?:عدم|بعدم|وقف|ايقاف) (?:ال)?(?:ارسال|مراسل|رسائل)"
            r"|(?:الغاء|الغي) (?:ال)?اشتراك|اوقفوا? |توقفوا? عن"
        ),
        (
            r"لا (?:اريد|ارغب|نريد) (?:\S+ ){0,2}?(?:رسائل|الرسائل"
            r"|استقبال)|(?:حذف|احذف|ازاله|احذفوا) (?:\S+ )?رقم"
        ),
    ),
    "vi": (
        r"\bdung (?:nhan|gui|goi|lien)|\b(?:ngung|thoi) (?:nhan|gui)|\bhuy (?:dang ky|nhan)",
        r"\bkhong (?:muon|can) (?:nhan|tin)|\bxoa so|\btu choi (?:nhan|tin)",
    ),
    "tr": (
        (
            r"\b(?:mesaj|sms) (?:\w+ )?(?:atma|gonderme"
            r"|yollama|istemi)|\blisteden (?:cik|sil|kaldir)"
        ),
        r"\bnumarami (?:sil|cikar|kaldir)|\b(?:aboneligi|uyeligi)\w* iptal",
    ),
    "id": (
        r"\b(?:jangan|stop|berhenti) (?:lagi )?(?:kirim|mengirim|sms|hubungi|ganggu|langganan)",
        r"\bhapus (?:nomor|no)|\btidak (?:mau|ingin) (?:\w+ )?(?:terima|menerima|sms)",
    ),
    "tl": (
        (
            r"\b(?:hu)?wag (?:na |niyo |nyo |mo |po |kayo "
            r"|kang ){1,4}(?:\w+ )?(?:mag ?|i ?)?(?:text|txt|padala|send)"
        ),
        (
            r"\b(?:tanggal|alis|burah)\w* (?:\w+ ){0,4}?(?:number|list|numero)"
            r"|\b(?:i)?tigil\w* (?:na |nyo |niyo |po )|\bayo?ko (?:na )"
        ),
    ),
    "sw": (r"\b(?:usitume|msitume|acha(?:ni)? kutuma)|\bondoa namba",),
}
_OTHER_SCRIPTS = frozenset({"ru", "zh", "ja", "ko", "hi", "bn", "ur", "ar"})


def _phrases(languages: Iterable[str]) -> str:
    return "|".join(phrase for language in languages for phrase in _OPT_OUTS[language])


def _words(phrases: str) -> re.Pattern[str]:
    r"""The phrases, each at the start of a word: ``\b`` said once spares most of the search."""
    return re.compile(rf"\b(?:{phrases.removeprefix(_START).replace('|' + _START, '|')})")


_START = r"\b"
_LATIN = _words(_phrases(language for language in _OPT_OUTS if language not in _OTHER_SCRIPTS))
_OTHERS = re.compile(_phrases(sorted(_OTHER_SCRIPTS)))

#: The contrary: do not stop.
_KEEP = re.compile(
    r"\bno (?:dejen|deje|deja|paren|me (?:quiten|borren|saquen|elimin\w+))"
    r"|\bnao (?:parem?|pare|me tir\w+)|\b(?:n|ne )?arretez pas|\bpas (?:arreter|me desabonner)"
    r"|\bnicht (?:aufhoren|abmelden|loschen)|\bnon smett|\bне (?:отпис|удал|прекращ|убира)"
    r"|不要(?:停|取消|退订|删除)|別(?:停|取消)|やめないで|止めないで|멈추지"
)
#: A question about it, where no question mark shows it.
_ASKS = re.compile(
    r"什么意思|甚麼意思|如何|怎么|怎麼|吗|嗎|\bque pasa si\b|\bwas passiert wenn\b|ですか|인가요"
)

#: The writer is not whom we meant, or will complain.
_DOUBTFUL_LATIN = _words(
    r"(?:numero|telefono) (?:equivocado|errado|incorrecto|sbagliato)|(?:faux|mauvais) numero"
    r"|falsche nummer|numara yanlis|yanlis numara|salah (?:nomor|sambung)|nham so|denunci|plainte"
    r"|harcel|anzeige|anwalt|reclama[rt]|quien (?:eres|es|habla)|qui etes vous"
    r"|wer (?:bist|sind|ist da)|no me (?:vuelv\w+ a )?llam\w+|no (?:mas )?gracias$|no soy \w+$"
    r"|ca suffit|pas interesse|kein interesse|no me interesa|nao tenho interesse"
    r"|non (?:mi interessa|sono interessat)|qui est ce$|c est qui$|quem (?:e|fala)(?: voce)?$"
    r"|chi (?:sei|e)$"
)
_DOUBTFUL_OTHERS = re.compile(
    r"打错|發錯|发错|不是我|番号が違|間違い|잘못 ?(?:보내|거)|ошиблись|не тот номер|رقم خاطئ"
    r"|الرقم خطا"
    r"|举报|舉報|投诉|投訴|迷惑|通報|신고|\bжалоб|\bполици|\bне звони|\bне интересует|\bзачем вы"
    r"|\bкто это|不需要|不感兴趣|関心(?:は)?ありません|من انتم|من انت|你是谁|誰ですか"
    r"|누구(?:세요|야)"
)


#: An end for a time, or to something that was ordered.
_LIMITED = re.compile(
    r"\b(?:hoy|manana|demain|aujourd|heute|morgen|domani|hoje|amanha|hasta|jusqu|solange|сейчас"
    r"|сегодня|завтра|pedido|cita|paquete|factura|colis|commande|rendez|termin|rechnung|paket"
    r"|bestellung|encomenda|pacote|fatura|pacco|ordine|fattura)\b"
    r"|\b(?:заказ|посылк|доставк|запис)|今天|明天|快递|订单|今日|明日|荷物|注文|오늘|내일|주문|택배"
)


def foreign_clarity(text: str, *, asks: bool) -> Clarity:
    """How sure it is that plain text has one of the phrases, meant as an opt-out.

    Args:
        text: Plain text.
        asks: Whether there was a question mark in it.
    """
    is_latin = text.isascii()
    if _KEEP.search(text):
        return Clarity.NONE
    if _LATIN.search(text) or (not is_latin and _OTHERS.search(text)):
        is_sure = not (asks or _ASKS.search(text) or _LIMITED.search(text))
        return Clarity.CLEAR if is_sure else Clarity.DOUBTFUL
    found = _DOUBTFUL_LATIN.search(text) or (not is_latin and _DOUBTFUL_OTHERS.search(text))
    return Clarity.DOUBTFUL if found else Clarity.NONE
