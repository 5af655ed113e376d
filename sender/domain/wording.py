"""A person's words made comparable: one spelling for what differs in typing only."""

import re
import unicodedata

# Written out before anything else looks at them; apostrophes are gone by then.
_EXPANDED = {
    **dict.fromkeys(("dont", "dnt", "donot", "dnot"), "do not"),
    **dict.fromkeys(("nomore",), "no more"),
    **dict.fromkeys(("these", "dese", "theses", "thes"), "these"),
    **dict.fromkeys(("da", "the", "teh", "tha"), "the"),
    **dict.fromkeys(("tel", "cell", "cellphone", "mobile", "digits"), "number"),
    **dict.fromkeys(("cancel", "canel", "cancle", "cancell"), "cancel"),
    **dict.fromkeys(("delete", "delet", "delte", "deleet"), "delete"),
    **dict.fromkeys(("otu", "ouy"), "out"),
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
    folded = unicodedata.normalize("NFKC", body).casefold()
    folded = folded.replace("đ", "d").replace("ı", "i").replace("#", " number ")
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
    words = " ".join(_word(word) for word in text.split())
    return words.replace("un subscribe", "unsubscribe").replace("quite texting", "quit texting")


def _word(word: str) -> str:
    squeezed = _REPEATED.sub(r"\1", word)
    if not squeezed.isdigit():
        squeezed = squeezed.replace("0", "o")
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


#: The words that rules look for, which a slip of the finger may hide.
_LONGEST_SLIP = 6  # letters of a whole message that may be a misspelt "stop"
_WANTED = (
    *("stop", "not", "text", "texting", "message", "remove", "delete", "take", "list", "number"),
    *("contact", "more", "unsubscribe", "cancel", "sending", "opt", "out"),
)
#: Words one slip away from them that are words themselves.
_THEMSELVES = frozenset(
    {
        *("note", "next", "test", "tent", "talk", "taken", "make", "last", "lost", "least", "let"),
        *(
            "move",
            "mare",
            "store",
            "shop",
            "step",
            "top",
            "stoop",
            "slop",
            "strop",
            "stops",
            "store",
        ),
        *("numbers", "contacts", "lists", "texts", "nor", "now", "hot", "got", "lot", "dot", "net"),
        *("our", "oat", "but", "cut", "put", "opt", "apt", "tax", "taxing", "testing", "list"),
        *("morel", "moore", "mode", "core", "fore", "pore", "sore", "tore", "wore", "bore", "lore"),
        *("cake", "lake", "wake", "bake", "fake", "sake", "rake", "tale", "tape", "tame", "mist"),
        *("gist", "lint", "lift", "fist", "wist", "live", "line", "like", "removed", "sanding"),
        *("ending", "pending", "vending", "bending", "lending", "mending", "spending", "tending"),
        *(
            "knot",
            "snot",
            "nut",
            "nit",
            "not",
            "nope",
            "noted",
            "non",
            "nov",
            "nod",
            "morn",
            "most",
        ),
        *("listen", "lisa", "lis", "stay", "star", "start", "spot", "soap", "soup", "shot", "slot"),
    }
)


def slips(text: str) -> str:
    """The text with what may be typing slips of the wanted words put right."""
    joined = text.replace(" ", "")
    if len(joined) <= _LONGEST_SLIP and _wanted(joined) == "stop":
        return "stop"
    return " ".join(_wanted(word) for word in text.split())


def _wanted(word: str) -> str:
    if len(word) < 3 or word in _THEMSELVES or word in _WANTED:  # noqa: PLR2004  # shorter ones tell nothing
        return word
    return next((right for right in _WANTED if _one_slip(word, right)), word)


def _one_slip(word: str, right: str) -> bool:
    """Whether one letter is wrong, missing, too many, or two neighbours are swapped."""
    if word[0] != right[0] or abs(len(word) - len(right)) > 1:
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
    if word == right or abs(len(word) - len(right)) > distance:
        return word == right
    left = list(right)
    for letter in word:
        if letter in left:
            left.remove(letter)
    missing = len(left)
    surplus = len(word) - (len(right) - missing)
    return missing + surplus <= distance and word[:2] == right[:2]
