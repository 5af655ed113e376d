"""Receipts that are fetched where no callback came, events, and texts to forward. Additive."""

from alembic import op

revision = "0006"
down_revision = "0005"

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

FORWARD = """
-- Where a tenant wants the texts that are no keywords.
CREATE TABLE forward_target (
    tenant_id   integer PRIMARY KEY REFERENCES tenant,
    url         text NOT NULL,
    -- Signs what is posted; encrypted with SENDER_SECRET_KEY.
    secret      bytea NOT NULL,
    -- Failures since it last took one, and until when it is left alone for them.
    failures    integer NOT NULL DEFAULT 0,
    rests_until timestamptz,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The outbox: written with the text itself. What the text says stands in inbound alone, so that it
-- can be erased there.
CREATE TABLE forward (
    sid          text PRIMARY KEY REFERENCES inbound,
    tenant_id    integer NOT NULL REFERENCES tenant,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries        integer NOT NULL DEFAULT 0,
    -- NULL: delivered, or given up.
    next_try     timestamptz DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    -- Why the last try failed; empty: it did not.
    error        text NOT NULL DEFAULT ''
);
CREATE INDEX forward_due ON forward (tenant_id, next_try) WHERE next_try IS NOT NULL;
"""


def upgrade() -> None:
    """Add them."""
    for part in (MISSED, STREAM, FORWARD):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the others: a restored backup is the way back."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
