"""A slice's due rows, read ahead and rendered: what the pump sends, before anything is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sender.domain import segments
from sender.domain.admission import Pace
from sender.domain.template import Template, TemplateError
from sender.storage.database import AsyncDatabase
from sender.storage.messages import DueMessage, MessageTable
from sender.storage.slices import SliceWork
from sender.turns import SHARE_AFTER

#: Rows read ahead at a time, at most; a slow sender's run reads what it may send in a short turn.
READ_AHEAD = 512


@dataclass(frozen=True, kw_only=True)
class DueText:
    """A due row with its body."""

    row: DueMessage
    body: str
    segments: int


@dataclass(kw_only=True)
class DueTexts:
    """The texts of one slice, in the order of its rows, each once."""

    db: AsyncDatabase
    messages: MessageTable
    work: SliceWork
    pace: Pace

    def __post_init__(self) -> None:
        self._template = Template.parse(self.work.body)
        self._after: UUID | None = UUID(int=self.work.first_id.int - 1)

    async def read(self) -> list[DueText] | None:
        """The next texts; ``None`` at the slice's end.

        The list may be empty and not the end: rows that need not be asked about have failed.
        """
        if self._after is None:
            return None
        limit = self._ahead
        rows = await self._rows(self._after, limit)
        # Fewer than there could be: these were the last.
        self._after = rows[-1].id if len(rows) == limit else None
        return await self._rendered(await self._worth_it(rows)) if rows else None

    async def _rows(self, after: UUID, limit: int) -> list[DueMessage]:
        return await self.db.run_alone(
            self.messages.due,
            campaign_id=self.work.campaign_id,
            after=after,
            last=self.work.last_id,
            limit=limit,
        )

    @property
    def _ahead(self) -> int:
        in_a_turn = self.pace.burst + self.pace.rate * SHARE_AFTER.total_seconds()
        return min(READ_AHEAD, round(in_a_turn))

    async def _worth_it(self, rows: Sequence[DueMessage]) -> list[DueMessage]:
        """Without the numbers that cannot be texted for now. It saves money, and may miss some."""
        if bad := [row.id for row in rows if row.is_known_bad]:
            await self.db.run(self.messages.refuse, bad, reason="known_bad_number")
        return [row for row in rows if not row.is_known_bad]

    async def _rendered(self, rows: Sequence[DueMessage]) -> list[DueText]:
        texts, unfit = [], []
        for row in rows:
            try:
                body = self._template.render(row.fields)
            except TemplateError:
                unfit.append(row.id)
            else:
                texts.append(DueText(row=row, body=body, segments=segments.count(body).segments))
        if unfit:
            await self.db.run(self.messages.refuse, unfit, reason="unfit_body")
        return texts
