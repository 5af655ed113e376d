"""What the send path needs beside the first schema. Additive: rows and code of 0001 stay valid."""

from alembic import op

revision = "0002"
down_revision = "0001"

FAIRNESS = """
-- Shares of the fleet when not all can be served at once: twice the weight, twice the slices.
ALTER TABLE tenant ADD COLUMN weight double precision NOT NULL DEFAULT 1
    CHECK (weight BETWEEN 0.001 AND 1000);
ALTER TABLE campaign ADD COLUMN weight double precision NOT NULL DEFAULT 1
    CHECK (weight BETWEEN 0.001 AND 1000);
-- When a slice was last offered: of those who have none in play, who waits longest is next.
ALTER TABLE tenant ADD COLUMN served_at timestamptz;
ALTER TABLE campaign ADD COLUMN served_at timestamptz;
-- Transactional texts (a code, an appointment) have threads of their own and go first.
ALTER TABLE campaign ADD COLUMN transactional boolean NOT NULL DEFAULT false;
-- How many of its slices' threads a worker keeps for them.
ALTER TABLE worker ADD COLUMN reserved integer NOT NULL DEFAULT 0;
ALTER TABLE worker ADD CHECK (reserved >= 0 AND reserved < slices);
-- Asked at every kick: what runs, of all campaigns there ever were, and what is worked on, of the
-- thousands of slices that a campaign of millions has.
CREATE INDEX campaign_running ON campaign (id) WHERE state = 'RUNNING';
CREATE INDEX slice_in_play ON slice (campaign_id)
    WHERE done_at IS NULL AND (owner IS NOT NULL OR offered_at IS NOT NULL);
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
    -- Who last had all this forgotten, by hand.
    forgotten_by     text,
    PRIMARY KEY (tenant_id, recipient)
);

-- How many messages of a campaign failed with a code after they were accepted.
CREATE TABLE failure_count (
    campaign_id bigint NOT NULL REFERENCES campaign,
    code        integer NOT NULL,
    -- What the code means to us: the reason of those messages.
    cause       text NOT NULL,
    messages    bigint NOT NULL,
    -- How many there were when it was last judged whether they call for a hold.
    judged      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, code)
);
"""

HOLDS = """
-- Who put a hold in force (empty: the program itself), and why it was lifted.
ALTER TABLE hold ADD COLUMN author text NOT NULL DEFAULT '';
ALTER TABLE hold ADD COLUMN release_reason text NOT NULL DEFAULT '';
"""

DOUBTS = """
-- When a doubt was last looked for at Twilio, and what was found.
ALTER TABLE doubt ADD COLUMN looked_at timestamptz;
ALTER TABLE doubt ADD COLUMN found text NOT NULL DEFAULT '';

-- What a person found out about a message in doubt. It never sends anything.
CREATE TABLE verdict (
    message_id uuid PRIMARY KEY REFERENCES message,
    sent       boolean NOT NULL,
    -- Why it was in doubt, and since when: so long a request of it may have been under way.
    reason     text NOT NULL,
    doubted_at timestamptz NOT NULL,
    author     text NOT NULL,
    evidence   text NOT NULL,
    given_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

RECALLS = """
-- Work list: messages that Twilio took and may not have passed on, to be canceled there. Without
-- a reference to message, which would lock rows that guards and settlements work on.
CREATE TABLE recall (
    message_id uuid PRIMARY KEY,
    asked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries      integer NOT NULL DEFAULT 0,
    next_try   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX recall_due ON recall (next_try);

-- Campaigns that were canceled and whose messages were not put on that list yet.
ALTER TABLE campaign ADD COLUMN recall_due boolean NOT NULL DEFAULT false;

-- Opt-outs whose person's messages were not put on it yet; older ones are past it.
ALTER TABLE enforcement ADD COLUMN recall_due boolean NOT NULL DEFAULT false;
ALTER TABLE enforcement ALTER COLUMN recall_due SET DEFAULT true;
CREATE INDEX enforcement_recall ON enforcement (event_id) WHERE recall_due;
"""

WORKERS = """
-- A worker publishes a hint to itself and notes when it ran: one that hears none is deaf.
ALTER TABLE worker ADD COLUMN pulse_sent_at timestamptz;
ALTER TABLE worker ADD COLUMN pulse_heard_at timestamptz;
-- The last time that it could not be published: then the broker is away, and nobody is deaf.
ALTER TABLE worker ADD COLUMN pulse_failed_at timestamptz;
-- Of the code that it runs: during a deployment there are two.
ALTER TABLE worker ADD COLUMN version text NOT NULL DEFAULT '';
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
    ticked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Since when it lacks all that happened, while a recovery has begun and not ended.
    lost_since timestamptz
);
CREATE UNIQUE INDEX high_water_is_one ON high_water ((true));
INSERT INTO high_water DEFAULT VALUES;
"""


def upgrade() -> None:
    """Add them."""
    for part in (FAIRNESS, PACING, NUMBERS, HOLDS, DOUBTS, RECALLS, WORKERS, HIGH_WATER):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the first schema: verdicts and health are records, too."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
