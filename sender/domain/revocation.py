"""Opt-outs in a person's own words, by rules that can be read.

A text is looked at sentence by sentence. What says "do not text me" beyond a reasonable person's
doubt is *clear*; what only may is *doubtful*, and a person reads it; the rest is conversation. The
English rules are in `sender.domain.english_revocation`, those of other languages in
`sender.domain.foreign_revocation`.

Source of the standard: 47 CFR 64.1200(a)(10), "any reasonable means".
"""

import re
from collections.abc import Iterable

from sender.domain import english_revocation as rules
from sender.domain.clarity import Clarity
from sender.domain.foreign_revocation import foreign_clarity
from sender.domain.keyword_lists import OPT_OUTS, STOP
from sender.domain.wording import english, plain, slips

_SENTENCE = re.compile(
    r"[.!?…;\n\r。！？।]+(?:\s|$)|\s[-–—]\s|\n|(?<=[^\W\d_]{3})[.!?;]+(?=[^\W\d_]{3})"
)
_CLAUSE = re.compile(r"[,:，、]")
#: Our own instruction, quoted back: "Reply STOP to opt out".
_INSTRUCTION = re.compile(
    r"\b(?:(?:reply|text|send|respond)(?: with)? )?"
    r"(?:stop|stopp|end|quit|cancel|unsubscribe|optout|sair|baja|arret) "
    r"(?:to|2|para|pour|zum) (?:[a-z]+|\d{4,6})\b"
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
        *("your", "annoying", "bro", "dude", "man", "lady", "people", "thats", "enough"),
    }
)
_STRONG = frozenset({"stop", "unsubscribe", "optout", "stopall", "unsub"})
_SOLITARY = _STRONG | {"quit", "end", "cancel", "opt", "out", "revoke", "remove"} | _FILLERS
_STRONG_PAIRS = rules.words("opt out|no more")
_PHRASES = frozenset(OPT_OUTS["en"]) - {"remove", "td"}
#: A keyword of any language said politely, or impatiently, is the keyword.
_KEYWORDS = frozenset(STOP) | {word for words in OPT_OUTS.values() for word in words}
_COURTESIES = frozenset(
    {
        *("please", "now", "all", "thanks", "thank", "you", "immediately", "asap", "ok", "okay"),
        *("forever", "everything", "svp", "merci", "bitte", "danke", "gracias", "favor"),
        *("por", "grazie", "obrigado", "sofort", "ya", "ahora", "lutfen", "спасибо", "tolong"),
    }
)
#: In these the fillers make another sense.
_NOT_SOLITARY = rules.words(
    r"will stop|would stop|like to stop|want to stop|stop (?:and|for|today|it all|to)|no stop"
)
#: A stop word at the very end, which is no noun and nobody else's: "how often must I say stop".
_LAST_WORD = re.compile(
    r"(?<!the)(?<!my)(?<!next)(?<!bus)(?<!pit)(?<!non)(?<!full)(?<!which)(?<!a)(?<!last)(?<!this)"
    r"(?<!not)(?<!never)(?<!to)(?<!your)(?<!truck)(?<!first)(?<!will)(?<!one)(?<!it)(?<!that)"
    r"(?<!what)(?<!door)(?<!rest)(?<!every)(?<!train)(?<!quick)(?<!we)(?<!no)"
    r" stop(?: now| already| please| thanks| thank you| ok)*$"
)
_STARTS = re.compile(r"\b(?:stop|unsub|opt|quit|cancel|remove)")


def clarity(body: str) -> Clarity:
    """How sure it is that a text, which is no keyword and no reaction, is an opt-out."""
    foreign = foreign_clarity(plain(body), asks="?" in body or "？" in body)
    if foreign is Clarity.CLEAR:
        return foreign
    parts = [part for part in _SENTENCE.split(body) if part]
    sentences = [_INSTRUCTION.sub(" ", english(plain(part))).strip() for part in parts]
    whole = " ".join(" ".join(sentences).split())
    found = max((foreign, *map(_of_sentence, sentences)))
    if found is not Clarity.CLEAR:
        found = max(found, _of_clauses(parts, whole))
    if found is Clarity.NONE:
        found = min(Clarity.DOUBTFUL, max(map(_of_slips, sentences), default=Clarity.NONE))
    return _in_context(found, whole)


def _of_sentence(sentence: str) -> Clarity:
    if not sentence:
        return Clarity.NONE
    if _is_solitary(sentence):
        return Clarity.CLEAR
    wants_to_stay = (rules.NEGATED, rules.CONSEQUENCES, rules.BY_MISTAKE)
    if _any(wants_to_stay, sentence):
        is_stuck = rules.NO_WAY_OUT.search(sentence)
        return Clarity.DOUBTFUL if is_stuck else Clarity.NONE
    return _of_statement(sentence, asks=rules.ASKS.search(sentence) is not None)


def _of_statement(sentence: str, *, asks: bool) -> Clarity:
    """A sentence that does not say the contrary: by the surest rule that it meets."""
    if not asks and not rules.CALLS_ONLY.search(sentence) and rules.CLEAR.search(sentence):
        return Clarity.DOUBTFUL if _is_partial(sentence) else Clarity.CLEAR
    if not asks and _LAST_WORD.search(sentence):
        return Clarity.CLEAR if rules.COMPLAINT.search(sentence) else Clarity.DOUBTFUL
    if rules.DOUBTFUL.search(sentence):
        return Clarity.DOUBTFUL
    is_mixed = _has_signs(sentence, asks=asks) and not rules.KEEPS.search(sentence)
    return Clarity.DOUBTFUL if is_mixed else Clarity.NONE


def _is_partial(sentence: str) -> bool:
    """Whether the end is asked of something else as well, for a time, or of some messages only."""
    limits = (rules.NOT_OURS, rules.FOR_NOW, rules.KEEPS)
    return _any(limits, sentence)


def _has_signs(sentence: str, *, asks: bool) -> bool:
    """The words of an opt-out in no order that a rule knows, and of nothing else."""
    if rules.OTHER_OBJECT.search(sentence):
        return False
    if rules.ENDS.search(sentence) and rules.OBJECT.search(sentence):
        return True
    bare = (rules.UNSUBSCRIBING, rules.STOPPING)
    return not asks and not rules.PLAYFUL.search(sentence) and _any(bare, sentence)


def _of_slips(sentence: str) -> Clarity:
    """The sentence with its typing slips put right, if there are any."""
    righted = slips(sentence)
    return Clarity.NONE if righted == sentence else _of_sentence(righted)


def _of_clauses(parts: Iterable[str], whole: str) -> Clarity:
    """A stop word alone between commas: clear beside a complaint, else for a person to read."""
    for part in parts:
        clauses = [english(plain(one)) for one in _CLAUSE.split(part)]
        if len(clauses) > 1 and any(map(_is_demand, clauses)):
            if rules.COMPLAINT.search(whole):
                return Clarity.CLEAR
            return Clarity.NONE if rules.PLAYFUL.search(whole) else Clarity.DOUBTFUL
    return Clarity.NONE


def _is_demand(clause: str) -> bool:
    return clause in _PHRASES or bool(_STARTS.search(clause) and _is_solitary(clause))


def _in_context(found: Clarity, whole: str) -> Clarity:
    """What the sentences together say: a stranger who asks for an end, a threat, a joke."""
    if found is Clarity.CLEAR:
        return Clarity.DOUBTFUL if rules.JOKES.search(whole) else found
    if not (rules.STRANGER.search(whole) or rules.THREAT.search(whole)):
        return found
    is_told_to_end = rules.END_WORD.search(whole) and not (
        rules.NEGATED.search(whole) or rules.KEEPS.search(whole)
    )
    return Clarity.CLEAR if is_told_to_end else Clarity.DOUBTFUL


def _is_solitary(sentence: str) -> bool:
    """A stop word with nothing beside it that would give it another sense."""
    if sentence in _PHRASES:
        return True
    found = set(sentence.split())
    if " ".join(one for one in sentence.split() if one not in _COURTESIES) in _KEYWORDS:
        return not _NOT_SOLITARY.search(sentence)
    if not found & _STRONG and not _STRONG_PAIRS.search(sentence):
        return False
    return found <= _SOLITARY and not _NOT_SOLITARY.search(sentence)


def _any(patterns: Iterable[re.Pattern[str]], sentence: str) -> bool:
    return any(pattern.search(sentence) for pattern in patterns)
