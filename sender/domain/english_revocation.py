"""What English opt-outs are made of: the rules that `sender.domain.revocation` reads a sentence by.

Patterns are looked for in what `sender.domain.wording.english` leaves: lower case, contractions and
text-speak written out, no punctuation. Each asks for an intent (stop, do not, remove) together with
its object (texting, me, my number, your list), because the words alone stand in many harmless
texts: "I'll stop by", "cancel my order". Every repetition is bounded and none stands in another
unbounded one, so that a text is read in linear time (held by a test).
"""

import re


def words(*alternatives: str) -> re.Pattern[str]:
    """A pattern of whole words, any of the alternatives."""
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")


#: Up to so many words of any kind.
_GAP = r"(?:\w+ ){0,%d}?"
#: What may stand before an object without changing it.
_MODIFIERS = (
    r"(?:(?:it|with|all|the|these|this|those|that|your|my|me|us|any|of|out|more|other|another|such|"
    r"future|further|marketing|promotional|promo|automated|auto|daily|weekly|constant|unwanted|"
    r"unsolicited|annoying|stupid|dumb|random|spam|sms|text|group|phone|sending|a|anymore"
    r"|on) ){0,6}?"
)
TEXTS = (
    r"(?:texting|text|message|messaging|spam|spamming|junk|crap|shit|bullshit|garbage|nonsense|ads?"
    r"|advertising|advertisements?|marketing|promos?|promotions?|promotional|notifications?"
    r"|reminders?|alerts?|updates|offers|newsletters?|blasts?|broadcasts?"
    r"|communications?|correspondence|solicitations?)"
)
_SENDING = (
    r"(?:texting|messaging|contacting|spamming|bothering|harassing|bugging|sending"
    r"|blowing (?:\w+ ){0,2}?up"
    r"|hitting|annoying|pestering|hounding|badgering|nagging|stalking|bombarding|flooding|"
    r"reaching out|soliciting|trying to (?:sell|reach|contact|get)"
    r"|selling my|contact|text|message|spam|bother)"
)
_STOP = r"(?:stop|quit|cease|cease and desist|discontinue|halt|(?:refrain|desist) from)"
_NOT = r"(?:do not|never|not|no longer|never ever)"
_LIST = (
    r"(?:list|lists|database|system|records|distribution|directory|file|contacts|subscription"
    r"|chain|thread|blast|group|groups|here)"
)
_MINE = (
    r"(?:me|us|this|myself|it|(?:my|this|our) (?:\w+ ){0,2}?(?:number|name|phone|line|info|data))"
)
_CONSENT = r"(?:consent|permission|authorization|authorisation|opt in)"
_POLITE = r"(?: (?:now|please|today|thanks|thank|you|immediately|asap|already|ok|then|and))*"
_ACCOUNT = r"(?:subscription|membership|account|enrollment|service)"
_NOBODY = r"(?:nobody|no one|noone)"
_FAMILY = r"(?:he|she|they|mom|mother|dad|father|husband|wife|son|daughter|brother|sister|owner)"

#: The lists and the orders of a shop, not ours.
NOT_OURS = words(
    r"(?:waiting|wait|guest|order|shift|schedule|roster|appointment|reservation|insurance|plan|"
    r"class|team|item|stain|onions?|invite|invitation|booking|cart|carpool|waitlist|driving)"
)

#: The writer wants the contrary of an end.
NEGATED = words(
    rf"(?:do not|never|not|can not|did not (?:want|mean|ask) to) (?:want |wish |ask )?(?:to "
    rf"|ever )?"
    rf"(?:\w+ to )?(?:be )?(?:{_STOP}|stopped|remove|removed|unsubscribe|unsubscribed|opt out"
    rf"|delete"
    r"|take (?:me|us) off)",
    r"why (?:did|have|had) you (?:\w+ )?stop(?:ped)?|you stopped",
    r"(?:stay|remain|keep me|still) (?:subscribed|on the list)|want (?:to stay|back) on",
)
#: The writer cannot find the way out: a complaint, although it says "not".
NO_WAY_OUT = words(r"can not (?:unsubscribe|opt out|get off|make (?:it|this|these) stop)")
#: The writer wants some messages on.
KEEPS = words(
    r"but (?:please |do |i )?(?:keep|still (?:want|like|need|send)|not the)",
    r"(?<!need to )(?<!you )(?<!they )(?<!people )(?<!still )(?<!i )keep (?:the |them |those |your "
    r"|me )?(?:text|message|coupons?|coming|sending|texting|subscribed|others?)",
)
JOKES = words(r"just kidding|jk|lol jk|haha jk")
PLAYFUL = words(r"lol|haha\w*|lmao|omg|hilarious|cute|funny|blush\w*|love|aww\w*")

ASKS = words(
    r"how (?:do|can|to|would|could|does)|what (?:happens|if)|does"
    r"|(?<!times )do i (?:lose|still|get|need)|is it|can i still|will i|should i"
    r"|did (?:you|i|we)|what does|have you"
)
#: Who asks what an opt-out would do has not opted out.
CONSEQUENCES = words(
    r"(?:what happens )?if i (?:ever )?(?:\w+ ){0,2}?(?:stop|unsubscribe|opt out|quit)"
)
CALLS_ONLY = words(r"text only|only text|just text|text instead|text me instead")
#: An end for a time, which is no end.
FOR_NOW = words(
    r"until|till|while i|during|at work|at night|on (?:weekends|weekdays|sundays?|saturdays?)"
    r"|(?:for|in) (?:a|the next|this|one|two|three|\d+) (?:while|bit|few|day|week|month)s?"
    r"|(?:after|before|past) \d+|so (?:early|late)",
    rf"{_NOT} (?:\w+ ){{0,6}}?(?:today|tonight|tomorrow|right now|yet)",
)

CLEAR = words(
    # Stop texting me, quit sending these, stop it with these messages, end these texts.
    rf"{_STOP} {_GAP % 3}{_SENDING}",
    rf"{_STOP} {_MODIFIERS}{TEXTS}",
    rf"(?:kill|cut|shut) (?:off |out |down )?(?:the |these |this |your |all )+{TEXTS}",
    rf"(?:end|cancel|discontinue|terminate) (?!of ){_MODIFIERS}{TEXTS}",
    rf"(?:cancel|end) {_GAP % 3}subscription {_GAP % 3}{TEXTS}",
    rf"(?:no more|enough (?:with|of)|done with|fed up with) {_MODIFIERS}{TEXTS}",
    rf"no need (?:for you )?to (?:keep |continue )?{_SENDING}",
    rf"turn {_MODIFIERS}off {_MODIFIERS}{TEXTS}|turn {_MODIFIERS}{TEXTS} off",
    r"(?:asked|told|telling|tell|begged|warned) you (?:\w+ ){0,4}?to stop|you (?:were"
    r"|have been) (?:told|asked) to stop",
    rf"{_NOT} (?:want |wish |care |need )?(?:to )?(?:ever )?hear(?:ing)? from (?:you|this"
    rf"|your)",
    r"(?:i|have|we) (?:already )?(?:said|say|asked) (?:to |you to )?stop|said no more",
    rf"you (?:guys |people |all )?(?:can|may|should|must|need to|have to) stop{_POLITE}$",
    r"stop (?:calling|contacting) (?:and texting )?(?:me|us|this number)(?: (?:and|or|please"
    r"|now)|$)",
    r"not send (?:me |us )?(?:this|it|these|that|anything) (?:again|anymore)",
    # Do not text me, never contact me again, you may no longer text me.
    rf"{_NOT} (?:ever |please |to |you |call |or |email |and |again ){{0,4}}"
    r"(?:text|texting|message|messaging|contact|contacting)"
    r"(?: (?:me|us|this (?:number|phone|line)|it|again|anymore|here)|$)",
    rf"{_NOT} (?:please )?send (?:me |us |this number )?"
    r"(?:any |anymore |these |this |more |of |your |another |further ){0,4}"
    rf"(?:{TEXTS}|them|these|stuff|anymore|anything)",
    rf"{_NOT} (?:want|wish|like|care|need|wanting) (?:to )?"
    r"(?:get |receive |have |see |be (?:on|in) )?"
    rf"{_GAP % 3}(?:{TEXTS}|list|contacted|texted|messaged)",
    rf"(?:rather not|prefer not to|would not like to) (?:get|receive|have) {_GAP % 2}{TEXTS}",
    rf"(?:mind|appreciate) (?:you )?not {_SENDING}|do not bother (?:texting|messaging|me)",
    rf"not have (?:my |our |any )?{_CONSENT} to (?:text|message|contact|send|use)",
    r"(?:sent|send|sending|texted|replied|replying|typed|typing|said|responded|wrote) (?:you )?stop"
    r"(?: (?!by|at|for|and|to|the)\w+){0,4}$",
    r"(?:may|can|must|should) (?:no longer|not) (?:text|message|contact) (?:me|this|us)",
    # Remove me, take my number off, lose my number, get me off this list.
    r"(?:remove|delete|erase|unsubscribe|unsub|withdraw|unenroll|deregister|exclude|omit)"
    r" (?:me|us|myself)|not include (?:me|us|my number)",
    r"removed me",
    r"(?:remove|delete|erase|lose|scratch|block|forget|get rid of|scrub|purge|wipe"
    r"|take off) (?:my |this |the |our "
    r"|his |her |that ){1,2}(?:\w+ )?(?:number|name|phone|data|info|contact|line)",
    rf"(?:take|get|put|keep|leave|pull|strike) {_MINE} (?:off|of|out)(?: of)?"
    r"(?: (?:of|the|this|that|your|ur|all|any|whatever|mailing|text|texting|call|contact|sms"
    rf"|marketing|distribution)){{0,4}}(?: {_LIST}| please|$)",
    rf"(?:remove|take|delete|get|block) {_GAP % 5}(?:from|off|out of) "
    rf"(?:the |this |that |your |all |any ){{0,2}}(?:\w+ )?{_LIST}",
    rf"(?:remove|off|from) (?:this |the |your |of ){{0,2}}(?:text |texting )?list{_POLITE}$",
    r"(?:on|to) (?:your |the )?(?:\w+ )?(?:do not (?:call|contact|text)|dnc|no contact)(?: list)?",
    r"(?:number|phone|line) is on the (?:\w+ ){0,2}do not call|no need to keep me",
    # Unsubscribe, opt out of these, revoke my consent.
    r"(?:please|(?:want|wish|like|need|prefer) (?:you )?to|^) (?:unsubscribe|opt out)(?: of all)?"
    rf"{_POLITE}$",
    rf"(?:want|wish|like|need|request|ask|asking|demand|prefer|appreciate) {_GAP % 2}(?:be"
    rf"|being|get"
    r"|getting) (?:unsubscribed|removed|taken off|deleted|opted out)",
    r"(?:may|can|could|please|(?:want|like|wish|need) to) (?:i |we )?be (?:unsubscribed"
    r"|removed|taken off|deleted|opted out)",
    r"unsubscribe (?:me|us|this|my|from|please|now|immediately)",
    r"opt (?:me|us|this number) out|^opt out (?:please|now|thanks)|opting out$",
    rf"opt out (?:of|from) {_MODIFIERS}(?:{TEXTS}|list|communications?)",
    rf"(?:revok|withdraw|rescind|cancel)\w* {_GAP % 3}{_CONSENT}",
    rf"{_CONSENT} (?:is |has been |hereby |to \w+ (?:me )?(?:is )?)?(?:withdrawn|revoked"
    rf"|rescinded)",
    rf"do not (?:consent|agree) to {_GAP % 3}(?:{TEXTS}|contact|contacted|this|these)",
    r"not to be contacted|do not bother me|leave me alone and",
    rf"^(?:please |just |now |and |will you |can you |would you )*leave (?:me|us) alone{_POLITE}$",
)
#: One of these says that the writer is not whom we meant.
STRANGER = words(
    r"wrong (?:number|person|guy|girl|phone|no)(?! of)",
    rf"{_NOBODY} (?:here )?(?:by that name|named|called|by the name)",
    r"this is not (?!fair|funny|good|ok|cool|right|working|mine|true)\w+(?:s phone|s number)?$",
    r"(?:his|her|their) old number|not (?:my|his|her) number|(?:for|to|of) (?:somebody"
    r"|someone) else",
    r"(?:previous|new) owner of this|(?:got|have|had) this number|new phone who(?: is| dis"
    r"| this|s)*$",
)
#: Where the writer will complain.
THREAT = words(
    r"(?:lawyer|attorney)s? (?:will|is going to|would|is gonna) (?!need|want)\w+",
    r"(?:call|calling|contact|contacting|hear from|talk to|notify|to) (?:my |the |an |a |our )?"
    r"(?:lawyer|attorney|fcc|ftc|attorney general)",
    r"(?:will|to|gonna|can) sue|suing|lawsuit|fcc|ftc|tcpa|gdpr|ccpa|legal action",
    r"do not call registry|harassment$|is harassment|harass(?:ing|ed) (?:me|us|people)",
    r"calling the (?:police|cops)|call the (?:police|cops)",
    r"report(?:ing|ed)? (?:you|as|(?:this |it )?to the (?:police|authorities|carrier|bbb)"
    r"|this number)",
    r"^(?:(?:reported|blocked) ?(?:and )?){1,2}$",
)
END_WORD = words(r"stop|remove|delete|quit|erase|revoke|unsubscribe|do not text")
#: Annoyance that makes a bare "stop" at the end of a sentence ours.
COMPLAINT = words(
    r"annoying|sick of|tired of|enough|spam|already|times?|again|asked|told|say|said|saying|please"
    r"|replied|unsubscribed"
)

DOUBTFUL = words(
    r"(?:who|whos) (?:is|are|dis|tf is)? ?(?:this|you|dis)$",
    r"why (?:are|r|do|did) (?:you|i)(?: keep)? "
    r"(?:text|texting|messaging|contacting|sending|get|getting)",
    r"why am i (?:\w+ )?(?:getting|receiving)|am i supposed to (?:be getting|get)",
    r"(?:how|where) did (?:you|your) (?:get|find) (?:my|this)",
    r"^is this (?:a |some )?(?:scam|spam)|scam$",
    r"how (?:do|can|to|would|could|does) (?:i |you |we |one )?"
    r"(?:stop|unsubscribe|opt out|cancel|get off|unenroll)"
    r"(?: (?:of|from|off|out|getting|receiving|these|this|the|your|all))*"
    rf"(?: {TEXTS}| list|$)",
    r"(?:get|make|have) (?:these|this|it|them|you|you people|the texts?) (?:to )?stop$",
    r"(?:got|get|found|have) my (?:info|information|number|name|contact|data)",
    r"time (?:for \w+ )?to stop$|wants? (?:them|this|it|these) to stop$",
    rf"(?:want|wish|like|need) (?:you |it |this |these |them |all this )?to stop{_POLITE}$",
    r"not interested(?! in (?!your|this|these|any))|no interest$|no longer interested"
    r"|leave me alone|go away|(?:f|fuck|piss"
    r"|eff|buzz|bug|screw) off|get lost|^(?:fuck|screw) (?:you|this)|shut up|stfu|want out$",
    r"not (?:my thing|for me)|(?:do not|not) need (?:this|these|any of this)(?: anymore)?$",
    r"^(?:nah|no|naw|nope)(?: thanks| thank you)? i am (?:good|ok|fine|all set)",
    r"(?:already|just) (?:bought|have|got) one(?: \w+)? thanks$",
    r"(?:this|it) is spam|spam(?:mer)?$|^(?:this is |you are |your |so |very )*annoying$",
    rf"{TEXTS} (?:are|is) (?:unwanted|not wanted|not welcome|unwelcome|unsolicited|annoying|spam)",
    r"^(?:please )?stop \w+ing (?:me|us|my (?:phone|wife|husband|mom|dad|kids?))$",
    r"^(?:i )?do not want$|do not want (?:this|these|it|any of (?:this|these))(?: one| anymore"
    r"| crap)?(?:$| but)",
    r"(?:never|did not|do not (?:remember|recall)) (?:sign(?:ed|ing)? up|subscrib\w+|opt(?:ed|ing)?"
    r" in)(?: (?:for|to))?(?: (?:this|these|that|any|your|it|you|such|text|message|spam)|$)",
    r"(?:never|did not) (?:ask|asked|agree|agreed|consent|consented) (?:for |to )"
    rf"(?:this|these|any|get|receive|be|your|{TEXTS})",
    rf"(?:never|did not|do not) (?:gave|give|have|had) (?:you )?(?:my |any )?{_CONSENT}",
    r"without my (?:consent|permission)|no permission",
    r"do not (?:live|shop|belong) (?:here|there|at|with)",
    r"(?:only|just) want (?:the )?(?:text|message)|less often|(?:too many|fewer|less) (?:text"
    r"|message)",
    r"(?:text|message|texting|send) (?:me )?(?:too (?:much|often|many)|less|fewer)",
    r"only (?:text|message|contact) (?:me |us )?(?:on|if|when|for|about|with|between|during|after)",
    rf"(?:pause|stop|hold) (?:these |this |the |it |{TEXTS} ){{0,3}}(?:for a|until|till)",
    r"moved away|passed away|deceased|no longer (?:live|own|work|works|lives|a \w+|with|here|at)",
    r"not a (?:customer|member|client|patient|student) any ?more",
    rf"{_FAMILY} (?:has |have )?(?:died|passed)(?: away)?(?: (?:in|last|on)|$)",
    r"(?:text|message|contact) (?:me|us|this number) (?:again|one more time) (?:and )?"
    r"(?:i|we|my|you|will)",
    r"if you (?:ever )?(?:text|message|contact) (?:me|us|this number)|one more (?:text|message)",
    r"next (?:text|message) (?:gets|i|and|will|means)",
    r"^(?:please )?do not call(?: me)?$|stop calling|unsubscribe$|remove(?: this| it)?$",
    rf"cancel(?:led|ed|ling)? (?:my |the |our )?{_ACCOUNT}$",
    r"(?:end|stop|terminate) (?:my |the |this )?subscription|^(?:please )?(?:quit|end this)"
    rf"{_POLITE}$|i withdraw$",
    rf"^(?:please )?no (?:\w+ )?{TEXTS}(?: please| thanks| anymore)?$",
)

#: Words that are said of little else than messages, in any order.
UNSUBSCRIBING = words(r"unsubscrib\w*|unsub|opt(?:ing|ed|ed me)? out|opt me out|stopall")
#: "Stop" to somebody, not of something: no noun, no errand, no habit.
STOPPING = re.compile(
    r"(?:^|\b(?:please|now|just|again|me|you|ok|so|it|or|times?|and|interested|number|person"
    r"|here|district|anymore|enough|spam|this|that|seriously) )stop"
    r"(?:$| (?:it|this|that|now|already|please|or|i|means|doing|with (?:this|these|the)"
    r"|immediately|"
    r"twice|all|everything|bothering|before)\b)"
)
#: Who stopped by mistake wants to stay.
BY_MISTAKE = words(
    r"(?:by|on) (?:mistake|accident)|accident\w*|mistakenly|re ?subscribe(?:d)?|(?:add|sign"
    r"|put|opt)"
    r" me (?:back|up)|back on|did not mean to|(?:did|have) i (?:get )?unsubscribed?"
)

#: What an opt-out does, and to what; and what else these words are about.
ENDS = words(
    r"stop|unsubscribe|unsubscribed|unenroll|opt out|opted out|opt me|quit|remove|delete|erase"
    r"|cease|discontinue|revoke|withdraw|off (?:of )?(?:this|these|your|the|all)|no permission"
    r"|not have permission|without my consent"
)
OBJECT = words(
    rf"{TEXTS}|{_LIST}|(?:my|this) (?:number|name|phone|info|data)|unenroll me|me off this"
)
OTHER_OBJECT = words(
    r"(?:waiting|wait|guest|order|shift|schedule|roster|appointment|reservation|insurance|plan|"
    r"class|team|item|stain|onions?|sale|price|% off|percent off|dollars? off|refund|code|coupon|"
    r"address|picture|photo|file|calendar|meeting|lesson|typo|last text|delivery|pickup"
    r"|time off|day off"
    r"|number (?:for|of)|get (?:a|the|your|my) (?:text|message)|text me|send (?:me|the|a)|received?"
    r"|got|did not get|no problem|no worries)"
)
