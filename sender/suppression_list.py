"""One tenant's suppression list, as programs and the command line use it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Any

from sender.config import STOP_PATIENCE
from sender.domain.consent import ConsentEvent, ReasonClass, Suppression
from sender.erasing import Erased, Erasures
from sender.exporting import Exports
from sender.importing import Imports, Preview, Report
from sender.listfile import ListFile, Role, open_list
from sender.optouts import Lift, OptOuts
from sender.reviewing import Review, Reviews
from sender.storage.imports import Batch, Listed
from sender.verifying import Verdict, Verification

#: Where a list comes from: a file's path, or rows as mappings.
Source = str | PathLike[str] | Iterable[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class SuppressionList:
    """Who is not texted, and why. Numbers are text, written internationally (``+1…``)."""

    tenant_id: int
    opt_outs: OptOuts
    imports: Imports
    exports: Exports
    reviews: Reviews
    erasures: Erasures
    verification: Verification

    def check(self, number: str) -> list[Suppression]:
        """What suppresses this number now, oldest first; empty if it may be texted.

        The operator's platform-wide entries stand among them, with tenant 0.

        Raises:
            InvalidRecipient: not a telephone number.
        """
        return self.opt_outs.check(number)

    def add(
        self,
        number: str,
        *,
        author: str,
        reason: ReasonClass = ReasonClass.MANUAL,
        evidence: str = "",
        wait: timedelta = STOP_PATIENCE,
    ) -> bool:
        """Suppress a number for all senders, in force like a STOP.

        Returns:
            Whether it was enforced within ``wait``: no request to it can begin any more. If not,
            the suppression stands all the same, and the consumer finishes the enforcement.

        Raises:
            InvalidRecipient: not a telephone number.
            LiftRefused: nobody is named who does it.
        """
        return self.opt_outs.add(number, author=author, reason=reason, evidence=evidence, wait=wait)

    def lift(self, number: str, lift: Lift) -> list[Suppression]:
        """End a number's suppressions; what is left of them (the platform-wide list, say).

        Twilio's own block is not lifted by this: the person must answer START.

        Raises:
            InvalidRecipient: not a telephone number.
            LiftRefused: a complaint or an imported opt-out is among them, without ``override``.
        """
        return self.opt_outs.lift(number, lift)

    def history(self, number: str) -> list[ConsentEvent]:
        """All of a number's consent events with this tenant, oldest first.

        Raises:
            InvalidRecipient: not a telephone number.
        """
        return self.opt_outs.history(number)

    def open(
        self,
        source: Source,
        *,
        columns: Mapping[Role, str] | None = None,
        region: str | None = None,
        day_first: bool | None = None,
    ) -> ListFile:
        """A list of opt-outs, to be previewed or imported: CSV, TSV, XLSX, or rows.

        Args:
            source: a path, or mappings of header to value.
            columns: headers that are not found by themselves.
            region: ISO 3166 code for numbers without their country.
            day_first: whether 03/04/2025 is the third of April.

        Raises:
            InvalidList: it is no such file, or has no column of numbers.
        """
        return open_list(source, columns=columns, region=region, day_first=day_first)

    def preview(self, listed: ListFile, *, rows: int = 5) -> Preview:
        """What an import would make of a list: format, columns, the first rows."""
        return self.imports.preview(listed, rows=rows)

    def import_list(
        self,
        listed: ListFile,
        *,
        author: str,
        dry_run: bool = False,
        again: bool = False,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Report:
        """Suppress everybody on a list; it never opts anybody in. See `Imports.run`.

        Raises:
            ImportRefused: no author, or the same list was imported already.
        """
        return self.imports.run(
            listed, author=author, dry_run=dry_run, again=again, progress=progress
        )

    def batches(self) -> list[Batch]:
        """All imports, oldest first."""
        return self.imports.batches()

    def undo_import(self, batch_id: int, *, author: str, reason: str) -> int:
        """Take an import back, and nothing else; how many opt-outs.

        Raises:
            NotFound: there is no such batch.
            ImportRefused: no author or reason, or it was undone already.
        """
        return self.imports.undo(batch_id, author=author, reason=reason)

    def entries(self) -> Iterator[Listed]:
        """The whole list by number, streamed from one snapshot."""
        return self.exports.entries()

    def export(self, path: str | Path, *, file_format: str | None = None) -> int:
        """Write the list to a file that `open` reads back without loss; how many entries.

        Raises:
            InvalidList: the format is none of ``csv``, ``tsv``, ``xlsx``.
        """
        return self.exports.write(path, file_format=file_format)

    def reviews_waiting(self) -> list[Review]:
        """Everybody held because a message of theirs may be an opt-out, longest waiting first."""
        return self.reviews.queue()

    def confirm_review(self, review_id: int, *, author: str, note: str = "") -> bool:
        """It is an opt-out; whether it was enforced within seconds.

        Raises:
            NotFound: there is no such review.
            ReviewRefused: it was decided already, the person wrote again, or nobody is named.
        """
        return self.reviews.confirm(review_id, author=author, note=note)

    def dismiss_review(self, review_id: int, *, author: str, note: str) -> None:
        """It is none: what waited goes within a minute.

        Raises:
            NotFound: there is no such review.
            ReviewRefused: as above, or there is no note that says why.
        """
        self.reviews.dismiss(review_id, author=author, note=note)

    def verify(self, *, expect: str | None = None) -> Verdict:
        """Hold the log against its chain, and this list against the log; reads everything.

        Args:
            expect: the digest of a link from an earlier time, in hex.
        """
        return self.verification.verify(tenant_id=self.tenant_id, expect=expect)

    def erase(self, number: str, *, author: str) -> Erased:
        """Empty what is kept of a person's words and data; who is suppressed stays so.

        Raises:
            InvalidRecipient: not a telephone number.
            ErasureRefused: nobody is named who does it.
        """
        return self.erasures.person(number, author=author)

    def erase_older_than(self, age: timedelta, *, author: str) -> Erased:
        """The same for everybody, of what is older.

        Raises:
            ErasureRefused: nobody is named who does it, or the age is not above zero.
        """
        return self.erasures.older_than(age, author=author)
