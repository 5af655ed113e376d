"""A number as somebody types it to us: to check, to add, to erase."""

from contextlib import suppress

from sender.domain.phone import InvalidNumber, canonical, digits
from sender.errors import InvalidRecipient


def recipient_of(number: str) -> int:
    """The E.164 digits of a number written internationally, in its one canonical spelling.

    Numbers that no campaign would text (landlines, say) are read too: a STOP may come from any.

    Raises:
        InvalidRecipient: it is no telephone number, or has no country.
    """
    found = canonical(number)
    if not isinstance(found, InvalidNumber):
        return found.digits
    # Without the plus nobody knows the country, and a guess would answer for somebody else.
    with suppress(ValueError):
        if number.strip().startswith("+"):
            return digits(number)
    raise InvalidRecipient(
        f"{number!r} is no telephone number ({found.reason}): write it with its country, "
        "for example +14155550123"
    )
