"""Opt-outs that count as enforced at once: nothing is withdrawn, no request is waited for.

Both the webhook app (``…no_wait:app``) and the consumer (``python -m …no_wait``).
"""

import sys
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from sender.parts import Parts
from sender.storage.database import Transaction
from sender.storage.enforcement import EnforcementTable
from workers import consumer
from workers.webhooks import create_app

_MARK = text("""
    UPDATE enforcement SET enforced_at = clock_timestamp()
    WHERE event_id = ANY (CAST(:ids AS bigint[])) AND enforced_at IS NULL
""")


class Impatient(EnforcementTable):
    """Looks at no message."""

    def withdraw(self, tx: Transaction, ids: Sequence[int]) -> int:
        """Withdraw nothing."""
        return 0

    def mark_enforced(
        self,
        tx: Transaction,
        ids: Sequence[int],
        *,
        horizon: timedelta,  # the overridden method's
    ) -> None:
        """Mark without a look."""
        tx.execute(_MARK, {"ids": list(ids)})


PARTS = Parts(enforcement=Impatient())

app = create_app(parts=PARTS)

if __name__ == "__main__":
    sys.exit(consumer.main(parts=PARTS))
