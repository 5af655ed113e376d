"""Messages by the month of their campaign's creation, which their ids begin with.

Rows stay where they are: the table that was becomes the partition of all months up to the newest
in it. What each partition must have stands in `make_message_partition`, which is the only way to
one. Two rules live in the partitions because a partitioned table cannot have them: a recipient is
unique per campaign (all ids of a campaign lie in one month, so in one partition), and the fill
factor that keeps both updates of a row heap-only.

Nothing refers to messages by a foreign key any more: a verdict outlives its message, and a month
is dropped without a look at every other table. Nor do messages refer to their campaign, with which
they are written in one transaction and which is never deleted: the check was half the cost of
loading them, and a new month would have waited for whoever changes a campaign.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

MONTHS = """
-- The lowest id that a message can have whose campaign was created then: 48 bits of milliseconds.
CREATE FUNCTION message_floor(at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT CAST(lpad(to_hex(CAST(floor(extract(epoch FROM at) * 1000) AS bigint)), 12, '0')
                || repeat('0', 20) AS uuid)
$$;
-- The moment an id begins with.
CREATE FUNCTION message_time(id uuid) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT to_timestamp(CAST(CAST('x' || left(replace(CAST(id AS text), '-', ''), 12) AS bit(48))
                             AS bigint) / 1000.0)
$$;
-- Months are those of UTC.
CREATE FUNCTION month_of(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
$$;
CREATE FUNCTION month_after(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'
$$;
"""

PARTITIONED = """
ALTER TABLE doubt DROP CONSTRAINT doubt_message_id_fkey;
ALTER TABLE verdict DROP CONSTRAINT verdict_message_id_fkey;
ALTER TABLE message DROP CONSTRAINT message_campaign_id_fkey;

-- Whose messages a STOP may have to withdraw or to wait for, of all campaigns there ever were.
CREATE INDEX campaign_open ON campaign (created_at)
    WHERE completed_at IS NULL AND state NOT IN ('DRAFT', 'SCHEDULED');

-- What was sent to whom is known by its campaign and its key long after the messages are gone.
CREATE FUNCTION refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never deleted', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER never_deleted BEFORE DELETE ON campaign
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_delete();

LOCK TABLE message IN ACCESS EXCLUSIVE MODE;
DO $$
DECLARE
    newest uuid := (SELECT id FROM message ORDER BY id DESC LIMIT 1);
    past timestamptz := month_after(greatest(now(), message_time(newest)));
    old text := 'message_before_' || to_char(past AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    DROP TRIGGER message_in_doubt ON message;
    EXECUTE format('ALTER TABLE message RENAME TO %I', old);
    EXECUTE format('ALTER INDEX message_pkey RENAME TO %I', old || '_pkey');
    EXECUTE format('ALTER INDEX message_recipient_campaign_id_key RENAME TO %I',
                   old || '_recipient_campaign_id_key');
    EXECUTE format('CREATE TABLE message (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                                          PRIMARY KEY (id)) PARTITION BY RANGE (id)', old);
    CREATE TRIGGER message_in_doubt AFTER UPDATE ON message FOR EACH ROW
        WHEN (NEW.state = 'in_doubt' AND OLD.state <> 'in_doubt') EXECUTE FUNCTION note_doubt();
    IF newest IS NULL THEN
        EXECUTE format('DROP TABLE %I', old);
    ELSE
        EXECUTE format('ALTER TABLE message ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                       old, message_floor(past));
    END IF;
END $$;
"""

AHEAD = """
-- What there is. first_id NULL: from the beginning; both NULL: what fits in no other.
CREATE VIEW message_partition AS
SELECT c.relname AS name, b.bound = 'DEFAULT' AS is_default,
       CAST(substring(b.bound FROM 'FROM \\(''([0-9a-f-]{36})''\\)') AS uuid) AS first_id,
       CAST(substring(b.bound FROM 'TO \\(''([0-9a-f-]{36})''\\)') AS uuid) AS end_id
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) AS b
WHERE i.inhparent = CAST('message' AS regclass);

-- Attached, not made in place, which would lock out everybody who reads or writes messages.
CREATE FUNCTION make_message_partition(name text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (
                        LIKE message INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                        UNIQUE (recipient, campaign_id)) WITH (fillfactor = 60)', name);
    EXECUTE format('ALTER TABLE message ATTACH PARTITION %I %s', name, bounds);
END $$;

-- Whether it was missing. Fails while the default partition has rows of it.
CREATE FUNCTION make_message_month(at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first uuid := message_floor(month_of(at));
    past uuid := message_floor(month_after(at));
BEGIN
    IF EXISTS (SELECT FROM message_partition
               WHERE NOT is_default AND end_id > first AND (first_id IS NULL OR first_id < past))
    THEN
        RETURN false;
    END IF;
    PERFORM make_message_partition(
        'message_' || to_char(month_of(at) AT TIME ZONE 'UTC', 'YYYY_MM'),
        format('FOR VALUES FROM (%L) TO (%L)', first, past));
    RETURN true;
END $$;

-- Makes the default partition the one of the months that its rows are from, without moving a row;
-- its name. NULL where it is empty, or others lie between them.
CREATE FUNCTION adopt_default_messages() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    lowest uuid;
    highest uuid;
    first uuid;
    past uuid;
    name text;
BEGIN
    LOCK TABLE message IN ACCESS EXCLUSIVE MODE;
    SELECT id INTO lowest FROM message_default ORDER BY id LIMIT 1;
    SELECT id INTO highest FROM message_default ORDER BY id DESC LIMIT 1;
    first := message_floor(month_of(message_time(lowest)));
    past := message_floor(month_after(message_time(highest)));
    name := 'message_before_' || to_char(message_time(past) AT TIME ZONE 'UTC', 'YYYY_MM');
    IF lowest IS NULL OR EXISTS (
        SELECT FROM message_partition
        WHERE NOT is_default AND end_id > first AND (first_id IS NULL OR first_id < past))
    THEN
        RETURN NULL;
    END IF;
    ALTER TABLE message DETACH PARTITION message_default;
    EXECUTE format('ALTER TABLE message_default RENAME TO %I', name);
    EXECUTE format('ALTER TABLE message ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   name, first, past);
    PERFORM make_message_partition('message_default', 'DEFAULT');
    RETURN name;
END $$;

-- Nothing is ever refused for want of a month.
SELECT make_message_partition('message_default', 'DEFAULT');
-- More are made by the consumer, long before they are needed.
SELECT make_message_month(now() + ahead * interval '1 month') FROM generate_series(0, 3) AS ahead;
"""

RETENTION = """
-- What became of a campaign's messages, counted when they were deleted.
CREATE TABLE kept_count (
    campaign_id bigint NOT NULL REFERENCES campaign,
    state       text NOT NULL,
    reason      text NOT NULL,
    code        integer,
    messages    bigint NOT NULL,
    -- Of these: requests with an outcome, and what the provider took.
    answers     bigint NOT NULL,
    accepted    bigint NOT NULL
);
CREATE INDEX kept_count_of ON kept_count (campaign_id);

-- The months of messages that were deleted, and who had it done.
CREATE TABLE deleted_month (
    name       text NOT NULL,
    first_id   uuid,
    end_id     uuid PRIMARY KEY,
    messages   bigint NOT NULL,
    author     text NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION drop_message_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE %I', name);
END $$;

-- Incidents outlive their messages, and have to tell their campaign by themselves.
UPDATE incident i SET campaign_id = m.campaign_id
FROM message m WHERE m.id = i.message_id AND i.campaign_id IS NULL;
"""


def upgrade() -> None:
    """Put messages into months."""
    for part in (MONTHS, PARTITIONED, AHEAD, RETENTION):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the schemas before."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
