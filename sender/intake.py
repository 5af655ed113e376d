"""The intake, as the operator sees it and decides about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sender.errors import HoldRefused, NotFound
from sender.storage import intake, intake_records, senders
from sender.storage.database import Database, Transaction
from sender.storage.intake_records import SenderRecord, SourceRecord


@dataclass(frozen=True, kw_only=True)
class IntakeReport:
    """How STOPs come in now."""

    #: What must live for that.
    sources: Sequence[SourceRecord]
    senders: Sequence[SenderRecord]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What came in, what may be missing, and who takes it upon themselves."""

    db: Database

    def show(self) -> IntakeReport:
        """Every source and every sender."""
        with self.db.transaction() as tx:
            return IntakeReport(
                sources=intake_records.sources(tx), senders=intake_records.senders(tx)
            )

    def release(self, sender: str, *, author: str, reason: str) -> bool:
        """Let a sender go on although STOPs to it may be missing; kept beside its hold.

        Returns:
            Whether it was held because of a gap.

        Raises:
            HoldRefused: author or reason is missing, or a source is silent still: nothing would
                go, and the gap would only grow.
            NotFound: there is no such sender.
        """
        _signed(author, reason)
        with self.db.transaction() as tx:
            sender_id = _id_of(tx, sender)
            intake.lock_gaps(tx)
            if intake_records.is_silent(tx):
                raise HoldRefused(
                    "a part of the intake gives no sign of life (`sender intake show`): start it "
                    "first"
                )
            return intake_records.release(tx, sender_id, author=author, why=reason)

    def allow(self, sender: str, *, author: str, reason: str) -> None:
        """Have a blind sender's gaps end without a person, once its tenant's others ended theirs.

        Raises:
            HoldRefused: author or reason is missing.
            NotFound: there is no such sender.
        """
        _signed(author, reason)
        with self.db.transaction() as tx:
            intake_records.allow(tx, _id_of(tx, sender), author=author, why=reason)

    def forbid(self, sender: str) -> None:
        """Take that back.

        Raises:
            NotFound: there is no such sender.
        """
        with self.db.transaction() as tx:
            intake_records.forbid(tx, _id_of(tx, sender))


def _id_of(tx: Transaction, address: str) -> int:
    found = senders.find(tx, address)
    if found is None:
        raise NotFound(f"there is no sender {address}")
    return found.id


def _signed(author: str, reason: str) -> None:
    if not author.strip() or not reason.strip():
        raise HoldRefused("this is done with an author and a reason")
