"""Receipts that are fetched where no callback came, and events of Event Streams. Additive."""

from alembic import op

revision = "0005"
down_revision = "0004"

MISSED = """
-- How we came to know: by callback, asked for (fetched), or by Event Streams (event).
ALTER TABLE receipt ADD COLUMN source text NOT NULL DEFAULT 'callback';

-- Work list: messages without a final status long after they were sent. It is filled slice by
-- slice: an index on the state of messages would cost every settlement its heap-only update.
-- Without a reference to message, which would lock rows that guards and settlements work on.
CREATE TABLE missed_receipt (
    message_id uuid PRIMARY KEY,
    tenant_id  integer NOT NULL REFERENCES tenant,
    -- Whether Twilio has said that it passed the message on. If not, it may have failed there, and
    -- is asked for first. For many carriers the rest will never have a final status.
    passed_on  boolean NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    next_try   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ask_until  timestamptz NOT NULL
);
CREATE INDEX missed_receipt_due ON missed_receipt (tenant_id, passed_on, next_try);
CREATE INDEX missed_receipt_old ON missed_receipt (ask_until);

-- Slices whose messages were not all put on it yet, and when that was last tried.
ALTER TABLE slice ADD COLUMN receipts_due boolean NOT NULL DEFAULT false;
ALTER TABLE slice ALTER COLUMN receipts_due SET DEFAULT true;
ALTER TABLE slice ADD COLUMN receipts_listed_at timestamptz;
UPDATE slice SET receipts_due = true
    WHERE done_at IS NULL OR done_at > now() - interval '2 days';
CREATE INDEX slice_receipts ON slice ((coalesce(receipts_listed_at, started_at)))
    WHERE receipts_due;
"""

STREAM = """
-- Events of Event Streams that were applied: they come at least once.
CREATE TABLE stream_event (
    id         text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stream_event_old ON stream_event (applied_at);
"""


def upgrade() -> None:
    """Add them."""
    for part in (MISSED, STREAM):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the others: a restored backup is the way back."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
