"""Opt-outs in a person's own words, by rules that can be read.

A text is looked at sentence by sentence. What says "do not text me" beyond a reasonable person's
doubt is *clear*; what only may is *doubtful*, and a person reads it; the rest is conversation.
Rules look for an intent (stop, do not, remove) together with its object (texting, me, my number,
your list), because the words alone stand in many harmless texts: "I'll stop by", "cancel my
order". Every pattern is a run of words with bounded gaps, so a text is read in linear time.

Source of the standard: 47 CFR 64.1200(a)(10), "any reasonable means".
"""

import re
from collections.abc import Iterable

from sender.domain.clarity import Clarity
from sender.domain.foreign_revocation import foreign_clarity
from sender.domain.keyword_lists import OPT_OUTS
from sender.domain.wording import english, plain, slips

_SENTENCE = re.compile(
    r"[.!?…;\n\r。！？।]+(?:\s|$)|\s[-–—]\s|\n|(?<=[^\W\d_]{3})[.!?;]+(?=[^\W\d_]{3})"
)
#: Our own instruction, quoted back: "Reply STOP to opt out".
_INSTRUCTION = re.compile(
    r"\b(?:(?:reply|text|send|txt) \w+|stop|sair|stopp) (?:to|2|para|pour|zum) "
    r"(?:opt out|optout|end|cancel|quit|unsubscribe|stop|[a-z]+)\b"
)

_ANY = r"(?:\w+ ){0,%d}?"
_TEXTS = (
    r"(?:texting|text|message|messaging|spam|spamming|junk|crap|shit|bullshit|ads?|advertising"
    r"|marketing|promos?|promotions?|notifications?"
    r"|reminders?|alerts?|updates|offers|newsletters?"
    r"|communications?|correspondence|solicitations?)"
)
_SENDING = (
    r"(?:texting|messaging|contacting|spamming|bothering|harassing|bugging|sending|blowing up"
    r"|hitting|annoying|pestering|reaching out)"
)
_STOP = r"(?:stop|quit|cease|cease and desist|discontinue|halt)"
_NOT = r"(?:do not|never|not|no longer|never ever)"
_LIST = r"(?:list|database|system|records|distribution|directory|file|contacts|subscription)"
_NOT_OURS = (
    r"(?:waiting|wait|guest|order|shift|schedule|roster|appointment|reservation|insurance|plan|"
    r"class|team|item|stain|onions?)"
)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b")


#: A sentence that says the contrary, asks about stopping, or tells of somebody else's.
_KEEP = _words(
    rf"(?:do not|never|not|can not|did not|why did you|you) (?:want to |ask to |ever )?(?:be )?"
    rf"(?:{_STOP}|stopped|remove|removed|unsubscribe|opt out|delete|take me off)"
    r"|(?<!need to )keep (?:the |them |those |your )?(?:text"
    r"|message|coupons?|coming|sending|texting)"
    r"|just kidding|jk|lol jk"
)
_ASKING = _words(
    r"how (?:do|can|to|would|does)|what (?:happens|if)|does"
    r"|do i (?:lose|still|get|need)|is it|can i still|will i|should i"
    r"|did (?:you|i|we)|what does|have you"
)
#: Who asks what an opt-out would do has not opted out.
_CONSEQUENCES = _words(
    r"(?:what happens )?if i (?:ever )?(?:\w+ ){0,2}?(?:stop|unsubscribe|opt out|quit)"
)
_CALLS_ONLY = _words(r"text only|only text|just text|text instead|text me instead")

_CLEAR = tuple(
    _words(pattern)
    for pattern in (
        # Stop texting me, quit sending these, stop it with these messages, end these texts.
        rf"{_STOP} {_ANY % 3}{_SENDING}",
        rf"{_STOP} (?:it |with |all |the |these |this |those |your |sending |me ){{0,4}}{_TEXTS}",
        rf"(?:end|cancel|discontinue) (?:all |the |these |this |those |your |my ){{0,3}}{_TEXTS}",
        rf"(?:cancel|end) {_ANY % 3}subscription {_ANY % 3}{_TEXTS}",
        (
            rf"(?:no more|enough (?:with|of)|done with"
            rf"|fed up with) (?:of )?(?:the |these |your )*{_TEXTS}"
        ),
        rf"no need (?:for you )?to (?:keep |continue )?(?:{_SENDING}|text|message|contact|send)",
        r"(?:asked|told|telling|tell|begged|warned) you (?:\w+ ){0,4}?to stop",
        r"(?:i|have|we) (?:said|say) (?:to )?stop|said no more",
        r"stop (?:calling|contacting) (?:and texting )?(?:me|us|this number)",
        # Do not text me, never contact me again, you may no longer text me.
        (
            rf"{_NOT} (?:ever |please |to |you |call |or "
            rf"|email |and |again ){{0,4}}(?:text|texting"
            r"|message|messaging|contact|contacting)(?: (?:me|us|this|my|it|again|anymore|here|"
            r"with|any|at|on|the|number)|$)"
        ),
        (
            rf"{_NOT} (?:please )?send (?:me |us "
            rf"|this number )?(?:any |anymore |these |this |more "
            rf"|of |your |another |further ){{0,4}}(?:{_TEXTS}|them|these|stuff|anymore|anything)"
        ),
        (
            rf"{_NOT} (?:want|wish|like|care|need"
            rf"|wanting) (?:to )?(?:get |receive |have |see |be "
            rf"(?:on|in) )?(?:\w+ ){{0,3}}?(?:{_TEXTS}|list|contacted|texted)"
        ),
        (
            rf"(?:rather not|prefer not to|would not like to) (?:get"
            rf"|receive|have) {_ANY % 2}{_TEXTS}"
        ),
        rf"(?:mind|appreciate) (?:you )?not {_SENDING}",
        r"(?:may|can|must|should) (?:no longer|not) (?:text|message|contact) (?:me|this|us)",
        # Remove me, take my number off, lose my number, get me off this list.
        r"(?:remove|delete|erase|unsubscribe|withdraw) (?:me|us|myself)",
        r"remove(?:d)? me",
        (
            r"(?:remove|delete|erase|lose|drop|scratch|clear|block|forget) (?:my |this |the |our "
            r"|his |her |that ){1,2}(?:\w+ )?(?:number|name|phone|data|info|contact|line)"
        ),
        (
            r"(?:take|get|put|keep|leave) (?:me|my \w*number|my \w+ number|this number|us|it) "
            r"(?:off|of|out)"
            rf"(?: of)?(?: (?:of|the|this|that|your|ur|all|any|whatever|mailing|text|texting|call"
            rf"|contact|sms|marketing|distribution)){{0,4}}(?: {_LIST}| please|$)"
        ),
        (
            rf"(?:remove|take|delete|get|block) {_ANY % 5}(?:from|off|out of) "
            rf"(?:the |this |that |your |all |any ){{0,2}}(?:\w+ )?{_LIST}"
        ),
        (
            r"(?:on|to) (?:your |the )?(?:\w+ )?(?:do not (?:call"
            r"|contact|text)|dnc|no contact)(?: list)?"
        ),
        r"(?:number|phone|line) is on the (?:\w+ ){0,2}do not call",
        r"no need to keep me",
        # Unsubscribe, opt out of these, revoke my consent.
        (
            r"(?:please|(?:want|wish|like|need|prefer) (?:you )?to"
            r"|^) (?:unsubscribe|opt out)(?: of all)?"
            r"(?: (?:now|please|today|thanks|immediately|asap))*$"
        ),
        (
            r"(?:may|can|could|please|(?:want|like|wish|need) to) (?:i |we )?be (?:unsubscribed"
            r"|removed|taken off|deleted|opted out)"
        ),
        r"unsubscribe (?:me|us|this|my|from|please|now|immediately)",
        (
            r"opt (?:me|us|this number) out|opt out (?:of|from) "
            rf"(?:the |these |your |all |this |any )*(?:{_TEXTS}|list|communications?|marketing)"
        ),
        r"^opt out (?:please|now|thanks)|opting out$",
        r"revoke (?:my |any |all |the |our ){0,2}(?:consent|permission|authorization)",
        r"(?:withdraw|cancel) (?:my |any |all |the |our ){1,2}(?:consent|permission)",
        r"leave me alone and|do not bother me|not to be contacted",
    )
)
#: One of these says that the writer is not whom we meant, or where they will complain.
_STRANGER = _words(
    r"wrong (?:number|person|guy|girl|phone|no)(?! of)"
    r"|(?:nobody|no one|noone) (?:here )?by that name"
    r"|this is not (?!fair|funny|good|ok|cool|right|working|mine|true)\w+(?:s phone|s number)?$"
    r"|(?:his|her|their) old number|not (?:my|his|her) number|(?:somebody|someone) else"
    r"|previous owner|new owner of this|(?:got|have) this number"
)
_THREAT = _words(
    r"lawyer|attorney|sue|suing|lawsuit|fcc|ftc|tcpa|gdpr|ccpa|report(?:ing|ed)? (?:you|it|this)"
    r"|harassment|harassing|do not call registry|legal action"
)
_END_WORD = _words(r"stop|remove|delete|quit|erase|revoke|unsubscribe|do not text")

_DOUBTFUL = tuple(
    _words(pattern)
    for pattern in (
        r"(?:who|whos) (?:is|are|dis|tf is)? ?(?:this|you|dis)$",
        (
            r"why (?:are|r|do|did) (?:you|i)(?: keep)? "
            r"(?:text|texting|messaging|contacting|sending|get|getting)"
        ),
        r"(?:how|where) did (?:you|your) (?:get|find) (?:my|this)",
        (
            r"how (?:do|can|to|would) (?:i |you |we )?(?:stop|unsubscribe|opt out|cancel|get off)"
            r"(?: (?:of|from|off|out|getting|receiving|these|this|the|your|all))*"
            rf"(?: {_TEXTS}| list|$)"
        ),
        r"not interested|leave me alone|go away|fuck off|piss off|get lost",
        r"(?:this|it) is spam|spam(?:mer)?$",
        r"do not (?:live|shop|belong) (?:here|there|at|with)",
        r"(?:only|just) want (?:the )?(?:text|message)|less often|too many (?:text|message)",
        r"moved away|no longer (?:live|own|work|a customer|with)|passed away|is deceased",
        r"do not call(?: me)?$|stop calling",
        r"unsubscribe$|remove(?: this| it)?$",
        r"cancel (?:my )?subscription$",
    )
)

#: What an opt-out does, and to what; and what else these words are about.
_ENDS = _words(
    r"stop|unsubscribe|unsubscribed|unenroll|opt out|opted out|opt me|quit|remove|delete|erase"
    r"|cease|discontinue|revoke|withdraw|off|no permission|not have permission|without my consent"
    r"|no"
)
_OBJECT = _words(
    rf"{_TEXTS}|{_LIST}|(?:my|this) (?:number|name|phone|info|data)|unenroll me|me off this"
)
_OTHER_OBJECT = _words(
    rf"{_NOT_OURS}|sale|price|% off|percent off|dollars? off|refund|code|coupon|address|picture|"
    r"photo|file|calendar|meeting|lesson|delivery|pickup"
    r"|time off|day off|number (?:for|of)|get (?:a|the|"
    r"your|my) (?:text|message)|text me|send (?:me|the"
    r"|a)|received?|got|did not get|no problem|no worries"
)

#: Words that change nothing beside a stop word that stands alone: "please stop now, thank you".
_FILLERS = frozenset(
    {
        *("please", "now", "thanks", "thank", "you", "ok", "okay", "all", "text", "me", "it"),
        *("immediately", "i", "said", "just", "omg", "already", "with", "asap", "again", "and"),
        *("the", "for", "last", "time", "um", "uh", "hey", "hi", "hello", "sir", "madam", "guys"),
        *("everything", "this", "these", "that", "right", "away", "today", "must", "so", "yes"),
        *("no", "want", "to", "would", "like", "will", "reply", "send", "type", "of", "more"),
        *("fucking", "fuckin", "fkn", "damn", "goddamn", "freaking", "bloody", "bitch", "asshole"),
        *("svp", "merci", "bitte", "danke", "gracias", "favor", "por", "grazie", "obrigado"),
        *("your", "annoying", "bro", "dude", "man", "lady", "people", "gracias", "thats", "enough"),
    }
)
_STRONG = frozenset({"stop", "unsubscribe", "optout", "stopall", "unsub"})
_SOLITARY = frozenset(
    {
        "stop",
        "unsubscribe",
        "optout",
        "stopall",
        "unsub",
        "quit",
        "end",
        "cancel",
        "opt",
        "out",
        "revoke",
        "remove",
    }
)
_STRONG_PAIRS = _words(r"opt out|no more")
_PHRASES = frozenset(OPT_OUTS["en"]) - {"remove", "td"}
#: In these the fillers make another sense.
_NOT_SOLITARY = _words(
    r"will stop|would stop|like to stop|stop (?:and|for|today|it all|to)|no stop"
)
#: A stop word at the very end, which is no noun and nobody else's: "how often must I say stop".
_LAST_WORD = re.compile(
    r"(?<!the)(?<!my)(?<!next)(?<!bus)(?<!pit)(?<!non)(?<!full)(?<!which)(?<!a)(?<!last)(?<!this)"
    r"(?<!not)(?<!never)(?<!to)(?<!your)(?<!truck)(?<!first)(?<!will)(?<!one)(?<!it)(?<!that)"
    r"(?<!what) stop$"
)


def clarity(body: str) -> Clarity:
    """How sure it is that a text, which is no keyword and no reaction, is an opt-out."""
    foreign = foreign_clarity(plain(body), asks="?" in body or "？" in body)
    if foreign is Clarity.CLEAR:
        return foreign
    sentences = [english(plain(part)) for part in _SENTENCE.split(body)]
    sentences = [_INSTRUCTION.sub(" ", one).strip() for one in sentences]
    found = max((foreign, *map(_of_sentence, sentences)))
    if found is Clarity.NONE:
        found = min(Clarity.DOUBTFUL, max(map(_of_sentence, map(slips, sentences))))
    return _in_context(found, " ".join(" ".join(sentences).split()))


def _of_sentence(sentence: str) -> Clarity:
    if not sentence:
        return Clarity.NONE
    if _is_solitary(sentence):
        return Clarity.CLEAR
    asks, keeps = _ASKING.search(sentence), _KEEP.search(sentence)
    if not (asks or keeps or _CALLS_ONLY.search(sentence)) and _any(_CLEAR, sentence):
        return Clarity.DOUBTFUL if _words(_NOT_OURS).search(sentence) else Clarity.CLEAR
    if keeps or _CONSEQUENCES.search(sentence):
        return Clarity.NONE
    if not asks and _LAST_WORD.search(sentence):
        return Clarity.CLEAR
    is_doubtful = _any(_DOUBTFUL, sentence) or _has_signs(sentence)
    return Clarity.DOUBTFUL if is_doubtful else Clarity.NONE


def _has_signs(sentence: str) -> bool:
    """The words of an opt-out in no order that a rule knows, and of nothing else."""
    ends, object_ = _ENDS.search(sentence), _OBJECT.search(sentence)
    return bool(ends and object_) and not _OTHER_OBJECT.search(sentence)


def _in_context(found: Clarity, whole: str) -> Clarity:
    """What the sentences together say: a stranger who asks for an end, a threat, a joke."""
    if found is Clarity.CLEAR:
        return Clarity.DOUBTFUL if _words(r"just kidding|jk").search(whole) else found
    stranger, threat = _STRANGER.search(whole), _THREAT.search(whole)
    if (stranger or threat) and _END_WORD.search(whole) and not _KEEP.search(whole):
        return Clarity.CLEAR
    return Clarity.DOUBTFUL if stranger or threat else found


def _is_solitary(sentence: str) -> bool:
    """A stop word with nothing beside it that would give it another sense."""
    if sentence in _PHRASES:
        return True
    words = set(sentence.split())
    if not words & _STRONG and not _STRONG_PAIRS.search(sentence):
        return False
    return words <= _SOLITARY | _FILLERS and not _NOT_SOLITARY.search(sentence)


def _any(patterns: Iterable[re.Pattern[str]], sentence: str) -> bool:
    return any(pattern.search(sentence) for pattern in patterns)
