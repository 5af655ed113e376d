"""A person's words made comparable: one spelling for what differs in typing only."""

import re
import unicodedata
from itertools import zip_longest

# Written out before anything else looks at them; apostrophes are gone by then.
_EXPANDED = {
    **dict.fromkeys(("dont", "dnt", "donot", "dnot", "dun"), "do not"),
    **dict.fromkeys(("nomore",), "no more"),
    **dict.fromkeys(("nvr", "nevr", "neva"), "never"),
    **dict.fromkeys(("these", "dese", "theses", "thes"), "these"),
    **dict.fromkeys(("da", "the", "teh", "tha"), "the"),
    **dict.fromkeys(("tel", "cell", "cellphone", "mobile", "digits", "no.", "nr"), "number"),
    **dict.fromkeys(("num", "nbr", "numba", "numbr"), "number"),
    **dict.fromkeys(("canel", "cancle", "cancell", "cansel"), "cancel"),
    **dict.fromkeys(("delet", "delte", "deleet"), "delete"),
    **dict.fromkeys(("rmv", "rmve", "rem"), "remove"),
    **dict.fromkeys(("otu", "ouy"), "out"),
    **dict.fromkeys(("didnt", "doesnt", "didn"), "did not"),
    **dict.fromkeys(("cant", "cannot", "wont", "couldnt", "wouldnt"), "can not"),
    **dict.fromkeys(("isnt", "arent"), "is not"),
    **dict.fromkeys(("wanna", "wants"), "want"),
    **dict.fromkeys(("im",), "i am"),
    **dict.fromkeys(("ive",), "i have"),
    **dict.fromkeys(("id",), "i would"),
    **dict.fromkeys(("u", "ya", "yall"), "you"),
    **dict.fromkeys(("ur", "youre", "yer"), "your"),
    **dict.fromkeys(("pls", "plz", "plse", "pleas", "plss", "kindly", "pleez"), "please"),
    **dict.fromkeys(("txt", "texts", "txts", "sms", "smses", "textmsg"), "text"),
    **dict.fromkeys(("txting", "txtin", "txtn", "textin", "textn", "texing"), "texting"),
    **dict.fromkeys(("texted", "txted"), "texting"),
    **dict.fromkeys(("msg", "msgs", "messages", "mesage", "mesages", "mssg", "mssgs"), "message"),
    **dict.fromkeys(("msging", "msgin", "msgn", "messagin", "messagn"), "messaging"),
    **dict.fromkeys(("spammin", "sendin", "botherin", "buggin"), "texting"),
    **dict.fromkeys(("harrassing", "harrasing", "harasing", "harassin"), "harassing"),
    **dict.fromkeys(("anymor",), "anymore"),
    **dict.fromkeys(("w", "wit", "wth"), "with"),
    **dict.fromkeys(("thx", "ty", "thnx"), "thanks"),
}
#: Words that only add force.
_EXPLETIVES = re.compile(
    r"\b(?:the (?:hell|heck|fuck)|fucking|fuckin|fkn|fking|damn|dang|goddamn|freaking|friggin"
    r"|frigging|effing|bloody|literally|seriously) (?=\w)"
)

#: Words whose misspellings are recognised, and how far off they may be.
_MISSPELT = {"unsubscribe": 3, "remove": 1}
_OTHER_WORDS = frozenset({"removed", "removes", "remover", "unsubscribed", "subscribe"})
_STOP_SLIPS = frozenset({"stpo", "sotp", "tsop", "stopp", "sstop", "sttop", "stahp", "stap"})
#: What "stop" and all its slips are read as when one of these follows.
_NAGGING = frozenset(
    {"texting", "messaging", "contacting", "spamming", "harassing", "bothering", "bugging"}
)
_REPEATED = re.compile(r"([^\W\d])\1{2,}")


#: What becomes of ASCII: apostrophes go, whatever is no letter or digit becomes a space.
_PUNCTUATION = {
    code: None if chr(code) in "'`" else " " for code in range(128) if not chr(code).isalnum()
}


def accented(body: str) -> str:
    """Like `plain`, with the accents that were typed: in Vietnamese they make another word."""
    folded = unicodedata.normalize("NFKC", body).casefold()
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded)
    return " ".join("".join(kept).split())


def plain(body: str) -> str:
    """Letters and digits, folded, with single spaces where anything else stood.

    Accents go from Latin letters, which people leave out as they please, and from no others: in
    Devanagari, say, the marks are vowels.
    """
    if body.isascii():
        return " ".join(body.casefold().replace("#", " number ").translate(_PUNCTUATION).split())
    folded = unicodedata.normalize("NFKC", body).casefold()[: 2 * len(body) + 20]
    folded = folded.replace("đ", "d").replace("ı", "i").replace("ł", "l")
    folded = folded.replace("#", " number ")
    kept: list[str] = []
    latin = False
    for character in unicodedata.normalize("NFD", folded):
        category = unicodedata.category(character)
        if category.startswith("M"):
            if not latin:
                kept.append(character)
        elif character.isalnum():
            latin = character < "\u0250"
            kept.append(character)
        elif category != "Cf" and character not in "'\N{RIGHT SINGLE QUOTATION MARK}`":
            # Invisible characters (joiners, soft hyphens, direction marks) stand inside words, and
            # so do apostrophes.
            latin = False
            kept.append(" ")
    return (
        unicodedata.normalize("NFC", " ".join("".join(kept).split()))
        .replace("أ", "ا")
        .replace("إ", "ا")
    )


def english(text: str) -> str:
    """Plain text with contractions, text-speak and slips of the words that matter written out."""
    written = _nagging(" ".join(_word(word) for word in _REPEATED.sub(r"\1", text).split()).split())
    words = _EXPLETIVES.sub("", " ".join(written))
    words = words.replace("un subscribe", "unsubscribe").replace("any more", "anymore")
    return words.replace("quite texting", "quit texting")


def _nagging(words: list[str]) -> list[str]:
    """The words with a slip of "stop" put right where only "stop" can stand: "shop texting me"."""
    return [
        "stop" if after in _NAGGING and (_one_slip(word, "stop") or word[1:] == "top") else word
        for word, after in zip_longest(words, words[1:])
    ]


def _word(word: str) -> str:
    if word in _EXPANDED:
        return _EXPANDED[word]
    if "0" in word and not word.isdigit():
        word = word.replace("0", "o")
    if word in _STOP_SLIPS:
        return "stop"
    if word[0] not in "ur" or word in _OTHER_WORDS:
        return word
    return next((right for right, off in _MISSPELT.items() if _is_near(word, right, off)), word)


#: Letters of a whole message that may be a misspelt "stop".
_LONGEST_SLIP = 6
#: Shorter words tell nothing.
_SHORTEST = 3
#: The words that rules look for, which a slip of the finger may hide.
_WANTED = (
    *("stop", "not", "text", "texting", "message", "remove", "delete", "take", "list", "number"),
    *("contact", "more", "unsubscribe", "cancel", "sending", "opt", "out", "messages", "texts"),
)
#: Words one slip away from them that are words themselves.
_THEMSELVES = frozenset(
    {
        *("note", "next", "test", "tent", "talk", "taken", "make", "last", "lost", "least", "let"),
        *("move", "mare", "store", "shop", "step", "top", "stoop", "slop", "strop", "stops"),
        *("numbers", "contacts", "lists", "nor", "now", "hot", "got", "lot", "dot", "net", "our"),
        *("oat", "but", "cut", "put", "apt", "tax", "taxing", "testing", "morel", "moore", "mode"),
        *("core", "fore", "pore", "sore", "tore", "wore", "bore", "lore", "cake", "lake", "wake"),
        *("bake", "fake", "sake", "rake", "tale", "tape", "tame", "mist", "gist", "lint", "lift"),
        *("fist", "wist", "live", "line", "like", "removed", "sanding", "ending", "pending"),
        *("vending", "bending", "lending", "mending", "spending", "tending", "knot", "snot"),
        *("nut", "nit", "nope", "noted", "non", "nov", "nod", "morn", "most", "listen", "lisa"),
        *("lis", "stay", "star", "start", "spot", "soap", "soup", "shot", "slot", "own", "off"),
        *("act", "ought", "tests", "taste", "teat", "mere", "mire", "tie", "nat", "nice", "note"),
    }
)


_BY_LETTER = {
    letter: tuple(word for word in _WANTED if word[0] == letter)
    for letter in {word[0] for word in _WANTED}
}


def slips(text: str) -> str:
    """The text with what may be typing slips of the wanted words put right."""
    joined = text.replace(" ", "")
    if len(joined) <= _LONGEST_SLIP and _wanted(joined) == "stop":
        return "stop"
    return " ".join(_wanted(word) for word in text.split())


def _wanted(word: str) -> str:
    if len(word) < _SHORTEST or word in _THEMSELVES or word in _WANTED:
        return word
    for right in _BY_LETTER.get(word[0], ()):
        if -1 <= len(word) - len(right) <= 1 and _one_slip(word, right):
            return right
    return word


def _one_slip(word: str, right: str) -> bool:
    """Whether, after the first, one letter is wrong, missing, extra or swapped with the next."""
    if word[0] != right[0]:
        return False
    start = next(
        (i for i, (a, b) in enumerate(zip(word, right, strict=False)) if a != b),
        min(len(word), len(right)),
    )
    left, wanted = word[start:], right[start:]
    swapped = left[:2] == wanted[:2][::-1] and left[2:] == wanted[2:]
    return swapped or left[1:] == wanted[1:] or left[1:] == wanted or left == wanted[1:]


def _is_near(word: str, right: str, distance: int) -> bool:
    """Whether one word is a typing slip of another: its letters, but for a few, in any order."""
    if word[:2] != right[:2] or abs(len(word) - len(right)) > distance:
        return False
    left = list(right)
    for letter in word:
        if letter in left:
            left.remove(letter)
    missing = len(left)
    surplus = len(word) - (len(right) - missing)
    return missing + surplus <= distance
