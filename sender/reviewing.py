"""The review queue: messages that may be opt-outs, decided by a person who has read them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sender.config import STOP_PATIENCE
from sender.domain.consent import Direction, NewConsentEvent, ReasonClass
from sender.enforcement import Enforcement
from sender.errors import NotFound, ReviewRefused
from sender.storage import consent, reviews
from sender.storage.database import Database, Transaction
from sender.storage.reviews import Doubtful


@dataclass(frozen=True, kw_only=True)
class Review:
    """A person whose messages wait for a decision; nobody texts them meanwhile."""

    #: Names the review; the event of the latest message, so that it changes when they write again.
    id: int
    #: E.164 digits.
    recipient: int
    #: What they wrote, oldest first.
    texts: tuple[str, ...]
    #: The address the latest was sent to.
    sender: str
    #: When the first of them came.
    since: datetime
    #: How many of our messages to them wait.
    messages_waiting: int


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """One tenant's review queue."""

    db: Database
    tenant_id: int
    enforcement: Enforcement

    def queue(self) -> list[Review]:
        """Everybody who waits for a decision, the longest waiting first."""
        with self.db.transaction() as tx:
            found = reviews.doubtful(tx, tenant_id=self.tenant_id)
            people = {one.recipient for one in found}
            waiting = reviews.waiting(tx, tenant_id=self.tenant_id, recipients=sorted(people))
        by_person = groupby(found, key=lambda one: one.recipient)
        queue = [_review(list(texts), waiting.get(person, 0)) for person, texts in by_person]
        return sorted(queue, key=lambda review: review.since)

    def confirm(
        self, review_id: int, *, author: str, note: str = "", wait: timedelta = STOP_PATIENCE
    ) -> bool:
        """It is an opt-out: in force like a STOP, dated as the message was.

        Returns:
            Whether it was enforced within ``wait``; if not, the consumer finishes that.

        Raises:
            NotFound: there is no such review.
            ReviewRefused: it was decided already, the person wrote again, or nobody is named.
        """
        event_ids = self.db.run(self._confirm, review_id, author, note)
        return self.enforcement.wait(self.db, event_ids, within=wait)

    def _confirm(self, tx: Transaction, review_id: int, author: str, note: str) -> list[int]:
        texts = self._undecided(tx, review_id, author)
        events = [
            self.enforcement.opt_out(tx, _opt_out(self.tenant_id, one, scope, author, note))
            for one in texts
            for scope in one.scopes
        ]
        self._close(tx, texts, author, note or "confirmed as an opt-out")
        return events

    def dismiss(self, review_id: int, *, author: str, note: str) -> None:
        """It is no opt-out: the person may be texted again, as far as nothing else forbids it.

        What waited goes within a minute.

        Raises:
            NotFound: there is no such review.
            ReviewRefused: it was decided already, the person wrote again, or there is no author
                or no note that says why.
        """
        if not note.strip():
            raise ReviewRefused("dismissing needs a note that says why it is no opt-out")
        self.db.run(self._dismiss, review_id, author, note)

    def _dismiss(self, tx: Transaction, review_id: int, author: str, note: str) -> None:
        self._close(tx, self._undecided(tx, review_id, author), author, note)

    def _undecided(self, tx: Transaction, review_id: int, author: str) -> list[Doubtful]:
        """The person's messages, if the latest is the one that was read; the person is locked."""
        if not author.strip():
            raise ReviewRefused("deciding a review needs an author")
        recipient = reviews.person_of(tx, tenant_id=self.tenant_id, event_id=review_id)
        if recipient is None:
            raise NotFound(f"there is no review {review_id}")
        consent.lock_person(tx, tenant_id=self.tenant_id, recipient=recipient)
        texts = reviews.doubtful(tx, tenant_id=self.tenant_id, recipient=recipient)
        if not texts:
            raise ReviewRefused(f"review {review_id} is decided already")
        if texts[-1].event_id != review_id:
            raise ReviewRefused(f"they wrote again: read review {texts[-1].event_id}")
        return texts

    def _close(self, tx: Transaction, texts: Iterable[Doubtful], author: str, note: str) -> None:
        for one in texts:
            for scope in one.scopes:
                consent.append(tx, _closing(self.tenant_id, one, scope, author, note))


def _review(texts: list[Doubtful], messages_waiting: int) -> Review:
    return Review(
        id=texts[-1].event_id,
        recipient=texts[-1].recipient,
        texts=tuple(one.text for one in texts),
        sender=texts[-1].sender,
        since=texts[0].received_at,
        messages_waiting=messages_waiting,
    )


def _opt_out(tenant_id: int, one: Doubtful, scope: int, author: str, note: str) -> NewConsentEvent:
    """Dated as the message was: a START that came after it counts, whenever somebody read it."""
    return NewConsentEvent(
        tenant_id=tenant_id,
        recipient=one.recipient,
        scope=scope,
        direction=Direction.OPT_OUT,
        reason=ReasonClass.FREE_TEXT,
        source="review",
        source_id=str(one.event_id),
        provider_at=one.provider_at or one.received_at,
        author=author,
        evidence={"text": one.text, "note": note} if note else {"text": one.text},
    )


def _closing(tenant_id: int, one: Doubtful, scope: int, author: str, note: str) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=tenant_id,
        recipient=one.recipient,
        scope=scope,
        direction=Direction.OPT_IN,
        reason=ReasonClass.REVIEW,
        source="review",
        source_id=str(one.event_id),
        provider_at=None,
        author=author,
        evidence={"note": note},
    )
