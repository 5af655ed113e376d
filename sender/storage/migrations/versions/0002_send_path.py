"""What the send path needs beside the first schema. Additive: rows and code of 0001 stay valid."""

from alembic import op

revision = "0002"
down_revision = "0001"

FAIRNESS = """
-- Shares of the fleet when not all can be served at once: twice the weight, twice the slices.
ALTER TABLE tenant ADD COLUMN weight double precision NOT NULL DEFAULT 1
    CHECK (weight > 0 AND weight < 'Infinity');
ALTER TABLE campaign ADD COLUMN weight double precision NOT NULL DEFAULT 1
    CHECK (weight > 0 AND weight < 'Infinity');
-- Transactional texts (a code, an appointment) have threads of their own and go first.
ALTER TABLE campaign ADD COLUMN transactional boolean NOT NULL DEFAULT false;
"""

PACING = """
-- Why a sender rests: a full queue at Twilio, its daily cap, an outage.
ALTER TABLE sender ADD COLUMN rest_reason text NOT NULL DEFAULT '';

-- How many segments may go a day, and how many of the day are used.
CREATE TABLE daily_cap (
    level    text NOT NULL CHECK (level IN ('tenant', 'sender')),
    subject  bigint NOT NULL,
    segments bigint NOT NULL CHECK (segments >= 0),
    -- Where the day ends at midnight, as in the IANA time zone database.
    zone     text NOT NULL,
    day      date,
    used     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (level, subject)
);
"""

NUMBERS = """
-- What deliveries say about a tenant's numbers. It saves money, not promises: rows expire.
CREATE TABLE number_health (
    tenant_id        integer NOT NULL REFERENCES tenant,
    recipient        bigint NOT NULL,
    -- Failures that prove nothing one by one, since first_strike_at.
    strikes          integer NOT NULL DEFAULT 0,
    first_strike_at  timestamptz,
    -- The provider's code of the last failure.
    code             integer NOT NULL,
    changed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Until then the number is skipped; NULL: it is not.
    bad_until        timestamptz,
    PRIMARY KEY (tenant_id, recipient)
);

-- How many messages of a campaign failed with a code after they were accepted.
CREATE TABLE failure_count (
    campaign_id bigint NOT NULL REFERENCES campaign,
    code        integer NOT NULL,
    messages    bigint NOT NULL,
    PRIMARY KEY (campaign_id, code)
);
"""

DOUBTS = """
-- What a person found out about a message in doubt. It never sends anything.
CREATE TABLE verdict (
    message_id uuid PRIMARY KEY REFERENCES message,
    sent       boolean NOT NULL,
    author     text NOT NULL,
    evidence   text NOT NULL,
    given_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

WORKERS = """
-- A worker publishes a hint to itself and notes when it ran: one that hears none is deaf.
ALTER TABLE worker ADD COLUMN pulse_sent_at timestamptz;
ALTER TABLE worker ADD COLUMN pulse_heard_at timestamptz;
-- The last time that it could not be published: then the broker is away, and nobody is deaf.
ALTER TABLE worker ADD COLUMN pulse_failed_at timestamptz;
"""

HIGH_WATER = """
-- One row, counted up while processes run. They keep what they have seen of it elsewhere: a
-- database that shows less is an older one, restored or failed over to.
CREATE TABLE high_water (
    identity  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Microseconds since 1970 of the last recovery (`sender recover`); 0 before the first. Whatever
    -- was seen before a recovery is lower than what comes after it.
    era       bigint NOT NULL DEFAULT 0,
    seq       bigint NOT NULL DEFAULT 0,
    ticked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX high_water_is_one ON high_water ((true));
INSERT INTO high_water DEFAULT VALUES;
"""


def upgrade() -> None:
    """Add them."""
    for part in (FAIRNESS, PACING, NUMBERS, DOUBTS, WORKERS, HIGH_WATER):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the first schema: verdicts and health are records, too."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
