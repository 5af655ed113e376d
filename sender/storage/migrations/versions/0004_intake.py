"""What the intake of STOPs needs: signs of life, and how far Twilio's log was read. Additive."""

from alembic import op

revision = "0004"
down_revision = "0003"

INTAKE = """
-- What must live for STOPs to come in: a row each. The guard refuses while one is silent.
CREATE TABLE intake_source (
    source     text PRIMARY KEY CHECK (source IN ('webhook', 'consumer', 'pull')),
    beaten_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Without another sign of life it is silent from then on.
    good_until timestamptz NOT NULL,
    -- When its last silence ended.
    resumed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What is known of each sender's inbound messages.
CREATE TABLE intake_sender (
    sender_id      integer PRIMARY KEY REFERENCES sender,
    -- Everything that Twilio received before was applied and committed.
    pulled_upto    timestamptz,
    pulled_at      timestamptz,
    next_pull      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- In a row; 0 since the last pull that succeeded.
    failures       integer NOT NULL DEFAULT 0,
    failure        text NOT NULL DEFAULT '',
    -- Why Twilio's log cannot show what people text to it; empty: it can.
    blind          text NOT NULL DEFAULT '',
    -- Who allowed sending from it although it is blind, and why.
    allowed_by     text,
    allowed_why    text NOT NULL DEFAULT '',
    allowed_at     timestamptz,
    -- Since when STOPs may be missing; NULL: none are. Its hold ends with it.
    gap_since      timestamptz,
    gap_noticed_at timestamptz,
    gap_cause      text NOT NULL DEFAULT ''
);
CREATE INDEX intake_gap ON intake_sender (sender_id) WHERE gap_since IS NOT NULL;

-- Whether Twilio's log told of it first, or only.
ALTER TABLE inbound ADD COLUMN pulled boolean NOT NULL DEFAULT false;
CREATE INDEX inbound_sender ON inbound (sender_id, received_at);
"""


def upgrade() -> None:
    """Add it."""
    op.execute(INTAKE)


def downgrade() -> None:
    """Refused, as for the schemas before: who allowed and lifted what is a record, too."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
