"""Is the suppression list what it says it is: the chain, the evidence, and the list itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import groupby
from typing import TypeVar

from sender.domain.chain import GENESIS, evidence_digest, link_digest
from sender.domain.consent import fold
from sender.domain.phone import mask
from sender.storage import consent_audit, seals
from sender.storage.consent_audit import Entry, Person
from sender.storage.database import Database, Transaction
from sender.storage.seals import Link

Row = TypeVar("Row")

#: Findings of a kind that are listed one by one; the rest is counted.
LISTED = 20


@dataclass(frozen=True, kw_only=True)
class BrokenLink:
    """A link whose digest does not follow from the one before it and what it seals."""

    id: int
    sealed_at: datetime
    #: How many events and times it sealed, and how many there are now. Equal: some were changed.
    sealed: int
    found: int


@dataclass
class Findings:
    """Findings of one kind: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(what)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found. Numbers in it are masked."""

    links: int
    sealed: int
    #: The digest of the last link: kept elsewhere, it shows later that nothing was cut off.
    head: str
    broken: list[BrokenLink]
    #: In the log, and neither sealed nor in the unsealed tail: written past the sealer. Below
    #: zero: sealed more than once.
    unaccounted: int
    #: Not sealed yet: what came since the last link.
    unsealed: int
    #: Whether the chain has the digest that was asked for; ``None`` if none was.
    has_expected: bool | None
    #: Tables of the log that Postgres lets be changed: their trigger is missing or off.
    unguarded: tuple[str, ...]
    #: Evidence that is not what the log has the digest of, was added to an event without any, or
    #: is gone without being erased.
    evidence: Findings
    erased: int
    #: People on the list whose events do not put them there, or the other way round.
    missing: Findings
    surplus: Findings

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the list."""
        wrong = (self.evidence.count, self.missing.count, self.surplus.count, self.unaccounted)
        return not (any(wrong) or self.broken or self.unguarded) and self.has_expected is not False


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Reads the whole log and the list, streamed, in one snapshot."""

    db: Database

    def verify(self, *, tenant_id: int | None = None, expect: str | None = None) -> Verdict:
        """Hold the log against its chain, the evidence against the log, the list against both.

        Args:
            tenant_id: whose evidence and list are looked at; ``None`` for everybody's. The chain
                runs through all tenants.
            expect: a head's digest from an earlier time, in hex; it must still be in the chain.
        """
        with self.db.snapshot() as tx:
            return _Reader(tx, tenant_id, expect).verdict()


@dataclass
class _Reader:
    """One pass over everything."""

    tx: Transaction
    tenant_id: int | None
    expect: str | None
    head: Link | None = None
    sealed: int = 0
    broken: list[BrokenLink] = field(default_factory=list)
    digests_match: bool = False

    def verdict(self) -> Verdict:
        self._follow_chain()
        totals = seals.totals(self.tx)
        unsealed = seals.size(self.tx, seals.tail(self.tx, self.head))
        evidence, erased = self._evidence()
        missing, surplus = self._list()
        return Verdict(
            links=self.head.id if self.head else 0,
            sealed=self.sealed,
            head=self.head.digest.hex() if self.head else "",
            broken=self.broken,
            unaccounted=totals.events + totals.times - self.sealed - unsealed,
            unsealed=unsealed,
            has_expected=None if self.expect is None else self.digests_match,
            unguarded=totals.unguarded,
            evidence=evidence,
            erased=erased,
            missing=missing,
            surplus=surplus,
        )

    def _follow_chain(self) -> None:
        """Each link from the stored digest of the one before, so that one break shows as one."""
        previous, number = GENESIS, 0
        for link in seals.links(self.tx):
            found = [0]
            digest = link_digest(previous, _counting(seals.rows(self.tx, link), found))
            number += 1
            sealed = link.events + link.times
            if digest != link.digest or link.id != number or found[0] != sealed:
                self.broken.append(
                    BrokenLink(
                        id=link.id,
                        sealed_at=link.sealed_at,
                        sealed=sealed,
                        found=found[0],
                    )
                )
                number = link.id
            self.sealed += found[0]
            self.digests_match |= link.digest.hex() == (self.expect or "").strip().lower()
            previous, self.head = link.digest, link

    def _evidence(self) -> tuple[Findings, int]:
        wrong, erased = Findings(), 0
        for one in consent_audit.evidence(self.tx, self.tenant_id):
            if one.digest is None:
                wrong.add(f"event {one.event_id} ({mask(one.recipient)}): added later")
            elif one.erased:
                erased += 1
            elif one.salt is None or one.content is None:
                wrong.add(f"event {one.event_id} ({mask(one.recipient)}): gone")
            elif evidence_digest(one.salt, one.content) != one.digest:
                wrong.add(f"event {one.event_id} ({mask(one.recipient)}): changed")
        return wrong, erased

    def _list(self) -> tuple[Findings, Findings]:
        missing, surplus = Findings(), Findings()
        for (tenant_id, recipient), wanted, listed in _side_by_side(
            self._wanted(), consent_audit.listed(self.tx, self.tenant_id)
        ):
            for findings, entries in ((missing, wanted - listed), (surplus, listed - wanted)):
                for scope, reason in sorted(entries):
                    findings.add(f"{mask(recipient)}, tenant {tenant_id}, scope {scope}: {reason}")
        return missing, surplus

    def _wanted(self) -> Iterator[tuple[Person, set[Entry]]]:
        for person, events in consent_audit.people(self.tx, self.tenant_id):
            yield person, {(one.scope, one.reason.value) for one in fold(events)}


def _counting(rows: Iterable[Row], count: list[int]) -> Iterator[Row]:
    for row in rows:
        count[0] += 1
        yield row


def _side_by_side(
    wanted: Iterable[tuple[Person, set[Entry]]], listed: Iterable[tuple[Person, set[Entry]]]
) -> Iterator[tuple[Person, set[Entry], set[Entry]]]:
    """What two readings in one order say of each person; nothing where a person is not in one."""
    both = merge(
        ((person, 0, entries) for person, entries in wanted),
        ((person, 1, entries) for person, entries in listed),
        key=lambda one: one[:2],
    )
    for person, found in groupby(both, key=lambda one: one[0]):
        sides: list[set[Entry]] = [set(), set()]
        for _, side, entries in found:
            sides[side] = entries
        yield person, *sides
