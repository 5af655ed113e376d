"""A person's words made comparable: one spelling for what differs in typing only."""

import re
import unicodedata

# Written out before anything else looks at them; apostrophes are gone by then.
_EXPANDED = {
    **dict.fromkeys(("dont", "dnt", "donot"), "do not"),
    **dict.fromkeys(("didnt", "doesnt"), "did not"),
    **dict.fromkeys(("cant", "cannot", "wont", "couldnt", "wouldnt"), "can not"),
    **dict.fromkeys(("isnt", "arent"), "is not"),
    **dict.fromkeys(("wanna", "wants"), "want"),
    **dict.fromkeys(("im",), "i am"),
    **dict.fromkeys(("ive",), "i have"),
    **dict.fromkeys(("id",), "i would"),
    **dict.fromkeys(("u", "ya", "you"), "you"),
    **dict.fromkeys(("ur", "your", "youre"), "your"),
    **dict.fromkeys(("pls", "plz", "plse", "pleas", "please", "kindly"), "please"),
    **dict.fromkeys(("txt", "text", "texts", "txts", "sms", "smses"), "text"),
    **dict.fromkeys(("texting", "txting", "txtin", "textin", "texing", "texted"), "texting"),
    **dict.fromkeys(("msg", "msgs", "message", "messages", "mesage", "mesages"), "message"),
    **dict.fromkeys(("messaging", "msging", "msgin", "msgn"), "messaging"),
    **dict.fromkeys(("anymore", "anymor", "any more"), "anymore"),
    **dict.fromkeys(("num", "no.", "nr", "nbr"), "number"),
    **dict.fromkeys(("thx", "ty", "thnx"), "thanks"),
}

#: Words whose misspellings are recognised, and how far off they may be.
_MISSPELT = {"unsubscribe": 3, "remove": 1}
_OTHER_WORDS = frozenset({"removed", "removes", "remover", "unsubscribed", "subscribe"})
_STOP_SLIPS = frozenset({"stpo", "sotp", "tsop", "stopp", "sstop", "sttop"})
_REPEATED = re.compile(r"(.)\1{2,}")


def plain(body: str) -> str:
    """Letters and digits, folded, with single spaces where anything else stood.

    Accents go from Latin letters, which people leave out as they please, and from no others: in
    Devanagari, say, the marks are vowels.
    """
    folded = unicodedata.normalize("NFKC", body).casefold().replace("đ", "d").replace("ı", "i")
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
    return " ".join(_word(word) for word in text.split())


def _word(word: str) -> str:
    squeezed = _REPEATED.sub(r"\1", word)
    if squeezed in _EXPANDED:
        return _EXPANDED[squeezed]
    if squeezed in _STOP_SLIPS or squeezed == "stop":
        return "stop"
    if squeezed in _OTHER_WORDS:
        return squeezed
    for right, distance in _MISSPELT.items():
        if squeezed[0] == right[0] and _is_near(squeezed, right, distance):
            return right
    return squeezed


def _is_near(word: str, right: str, distance: int) -> bool:
    """Whether one word is a typing slip of another: its letters, but for a few, in any order."""
    if word == right or abs(len(word) - len(right)) > distance:
        return word == right
    left = list(right)
    for letter in word:
        if letter in left:
            left.remove(letter)
    missing = len(left)
    surplus = len(word) - (len(right) - missing)
    return missing + surplus <= distance and word[:2] == right[:2]
