"""Opt-outs from elsewhere: previewed, imported as a batch, and undone as one."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from sender.config import STOP_PATIENCE
from sender.domain.chain import SALT_BYTES, evidence_digest
from sender.domain.consent import ALL_SENDERS, Direction
from sender.enforcement import Enforcement
from sender.errors import ImportRefused, NotFound
from sender.listfile import ListFile, ListRow, RejectedRow, RowReject, Status
from sender.listfile.rows import ALL
from sender.storage import imports, senders
from sender.storage.database import Database, Transaction
from sender.storage.imports import Batch, BatchEvent, KeptEvidence
from sender.storage.texts import storable, storable_texts

#: Rows in one transaction, during which a STOP to the same tenant waits: about a tenth of a second.
CHUNK = 2_000
#: Rejected rows kept for the report; all are counted.
KEPT_REJECTS = 1_000


@dataclass
class Report:
    """What became of the rows of a list."""

    #: Rows by what became of them: ``imported``, ``already`` (imported as well, and suppressed for
    #: the same reason before), ``duplicate``, ``ignored`` (opted in), ``rejected_…``.
    counts: Counter[str] = field(default_factory=Counter)
    #: The first rejected rows.
    rejects: list[RejectedRow] = field(default_factory=list)
    #: ``None`` for a dry run.
    batch_id: int | None = None
    #: Whether every opt-out of somebody with messages of ours was enforced in time; the consumer
    #: finishes the others.
    enforced: bool = True

    def reject(self, row: RejectedRow) -> None:
        """Count a row that is no opt-out of anybody."""
        self.counts[f"rejected_{row.reason}"] += 1
        if len(self.rejects) < KEPT_REJECTS:
            self.rejects.append(row)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an import would make of a list's first rows."""

    format: str
    #: What each column was taken for: header to meaning.
    columns: dict[str, str]
    rows: list[ListRow | RejectedRow]


@dataclass(frozen=True, kw_only=True)
class Imports:
    """One tenant's imports. An import suppresses; it never opts anybody in."""

    db: Database
    tenant_id: int
    enforcement: Enforcement

    def preview(self, listed: ListFile, *, rows: int = 5) -> Preview:
        """The format, the columns and the first rows as they are understood; reads nothing more."""
        columns = {listed.columns.header[i]: role.value for role, i in listed.columns.of.items()}
        first = list(islice(listed.rows(), rows))
        return Preview(format=listed.format, columns=columns, rows=first)

    def run(  # keywords of a public call
        self,
        listed: ListFile,
        *,
        author: str,
        dry_run: bool = False,
        again: bool = False,
        progress: Callable[[int], object] = lambda _: None,
        wait: timedelta = STOP_PATIENCE,
    ) -> Report:
        """Import a list, chunk by chunk, each committed and in force at once.

        Broken off, run it again: it goes on with the same batch, and what is there is not stored
        twice.

        Args:
            listed: from `sender.open_list`.
            author: who brings it.
            dry_run: count only; nothing is written.
            again: import a list anew that was imported already.
            progress: told how many rows have been read.
            wait: how long to wait for what is on its way to people of the list.

        Raises:
            ImportRefused: no author, or these bytes were imported already (the batch is named).
        """
        if not author.strip():
            raise ImportRefused("an import needs an author")
        report = Report()
        if not dry_run:
            report.batch_id = self.db.run(self._begin, listed, author, again)
        run = _Run(imports=self, report=report, author=author, progress=progress)
        run.read(listed)
        if report.batch_id is not None:
            report.enforced = self.enforcement.wait(self.db, sorted(run.waiting), within=wait)
            self.db.run(imports.finish, report.batch_id, dict(report.counts))
        return report

    def _begin(self, tx: Transaction, listed: ListFile, author: str, again: bool) -> int:  # noqa: FBT001
        known = imports.same_file(tx, tenant_id=self.tenant_id, digest=listed.digest)
        if known is not None and known.finished_at is None:
            return known.id
        if known is not None and not again:
            raise ImportRefused(
                f"this list was imported already, as batch {known.id} by {known.author} on "
                f"{known.created_at:%Y-%m-%d}: undo that, or say again"
            )
        return imports.begin(
            tx,
            tenant_id=self.tenant_id,
            author=author,
            source_name=storable(listed.name),
            digest=listed.digest,
        )

    def batches(self) -> list[Batch]:
        """All imports, oldest first."""
        return self.db.run(imports.every, self.tenant_id)

    def batch(self, batch_id: int) -> Batch:
        """One import.

        Raises:
            NotFound: there is no such batch.
        """
        with self.db.transaction() as tx:
            found = imports.get(tx, tenant_id=self.tenant_id, batch_id=batch_id)
        if found is None:
            raise NotFound(f"there is no batch {batch_id}")
        return found

    def undo(self, batch_id: int, *, author: str, reason: str) -> int:
        """Take an import back, by new events; how many opt-outs were undone.

        Whoever is suppressed for anything else stays so: it closes nothing but what came with this
        import. Broken off, run it again.

        Raises:
            NotFound: there is no such batch.
            ImportRefused: no author or reason, or it was undone already.
        """
        if not (author.strip() and reason.strip()):
            raise ImportRefused("undoing an import needs an author and a reason")
        if self.batch(batch_id).undone_at is not None:
            raise ImportRefused(f"batch {batch_id} was undone already")
        undone, after = 0, 0
        while page := self.db.run(self._undo_page, batch_id, after, author, reason):
            undone, after = undone + len(page), page[-1]
        self.db.run(imports.mark_undone, batch_id, author=author, reason=reason)
        return undone

    def _undo_page(
        self, tx: Transaction, batch_id: int, after: int, author: str, reason: str
    ) -> list[int]:
        page = imports.opt_outs_of(tx, batch_id, after=after, limit=CHUNK)
        events = [
            BatchEvent(
                recipient=row.recipient,
                scope=row.scope,
                direction=Direction.OPT_IN,
                reason=row.reason,
                source="undo",
                source_id=str(row.id),
                provider_at=None,
                author=author,
                evidence=_evidence({"reason": reason}),
            )
            for row in page
        ]
        if events:
            imports.append(tx, events, tenant_id=self.tenant_id, batch_id=batch_id)
        return [row.id for row in page]


@dataclass
class _Run:
    """One reading of a list."""

    imports: Imports
    report: Report
    author: str
    progress: Callable[[int], object]
    #: Opt-outs of people with messages of ours, not enforced yet.
    waiting: set[int] = field(default_factory=set)
    _seen: defaultdict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    _scopes: dict[str, int] = field(default_factory=dict)

    def read(self, listed: ListFile) -> None:
        db, read = self.imports.db, 0
        self._scopes = {ALL: ALL_SENDERS, **db.run(senders.ids_of, self.imports.tenant_id)}
        # The next chunk is read while Postgres works on this one.
        with ThreadPoolExecutor(1) as pool:
            stored: Future[None] | None = None
            for chunk in _chunks(listed.rows()):
                wanted = [row for row in map(self._judge, chunk) if row is not None]
                if stored is not None:
                    stored.result()
                stored = pool.submit(self._store, wanted) if wanted else None
                read += len(chunk)
                self.progress(read)
            if stored is not None:
                stored.result()

    def _judge(self, row: ListRow | RejectedRow) -> ListRow | None:
        """The row, if it is an opt-out that the list has not told of yet."""
        if isinstance(row, RejectedRow):
            self.report.reject(row)
            return None
        if row.status is Status.OPTED_IN:
            self.report.counts["ignored"] += 1
            return None
        if row.scope not in self._scopes:
            unknown = RejectedRow(line=row.line, value=row.scope, reason=RowReject.SENDER)
            self.report.reject(unknown)
            return None
        seen = self._seen[row.scope, row.reason.value]
        if row.recipient in seen:
            self.report.counts["duplicate"] += 1
            return None
        seen.add(row.recipient)
        return row

    def _store(self, rows: Sequence[ListRow]) -> None:
        who = [row.recipient for row in rows]
        tenant_id, db = self.imports.tenant_id, self.imports.db
        active = db.run(imports.active, tenant_id=tenant_id, recipients=who)
        known = sum((r.recipient, self._scopes[r.scope], r.reason.value) in active for r in rows)
        self.report.counts["already"] += known
        self.report.counts["imported"] += len(rows) - known
        if self.report.batch_id is None:
            return
        batch_id = self.report.batch_id
        events = [self._event(row, batch_id) for row in rows]
        stored = db.run(imports.append, events, tenant_id=tenant_id, batch_id=batch_id)
        asked = db.run(imports.request_enforcement, stored)
        if asked:
            self.waiting |= self.imports.enforcement.step(db, asked)

    def _event(self, row: ListRow, batch_id: int) -> BatchEvent:
        return BatchEvent(
            recipient=row.recipient,
            scope=self._scopes[row.scope],
            direction=Direction.OPT_OUT,
            reason=row.reason.value,
            source="import",
            source_id=f"{batch_id}:{row.line}",
            provider_at=row.since,
            author=storable(self.author if row.author is None else row.author),
            evidence=_evidence(row.evidence),
        )


def _evidence(texts: Mapping[str, str]) -> KeptEvidence | None:
    if not texts:
        return None
    content, salt = storable_texts(texts), secrets.token_bytes(SALT_BYTES)
    return KeptEvidence(digest=evidence_digest(salt, content), salt=salt, content=content)


def _chunks(
    rows: Iterator[ListRow | RejectedRow],
) -> Iterator[list[ListRow | RejectedRow]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
