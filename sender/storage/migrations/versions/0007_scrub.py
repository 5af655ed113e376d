"""What the scrub before a campaign needs: who waits for it, and how far it has read. Additive."""

from alembic import op

revision = "0007"
down_revision = "0006"

SCRUB = """
-- A row for each campaign since it was enqueued. While it waits, a hold on the campaign does.
CREATE TABLE campaign_scrub (
    campaign_id bigint PRIMARY KEY REFERENCES campaign,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When it is tried (again).
    next_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries       integer NOT NULL DEFAULT 0,
    outcome     text NOT NULL DEFAULT 'waiting'
                CHECK (outcome IN ('waiting', 'done', 'skipped', 'lifted', 'dropped')),
    why         text NOT NULL DEFAULT '',
    -- Opt-outs that we did not know, by source.
    drift       jsonb NOT NULL DEFAULT '{}',
    unseen      text NOT NULL DEFAULT '',
    ended_at    timestamptz
);
CREATE INDEX campaign_scrub_waiting ON campaign_scrub (next_at) WHERE outcome = 'waiting';

-- Up to when a sender's failed messages, and an account's alerts, were read.
ALTER TABLE intake_sender ADD COLUMN blocks_upto timestamptz;
ALTER TABLE tenant ADD COLUMN alerts_upto timestamptz;
"""


def upgrade() -> None:
    """Add it."""
    op.execute(SCRUB)


def downgrade() -> None:
    """Refused, as for the schemas before: what a campaign went without is a record, too."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
