"""Incidents with their history and Twilio's own log, and alerts. Additive."""

from alembic import op

revision = "0005"
down_revision = "0004"

INCIDENTS = """
-- Its message's; NULL only where a process of an older release opened it meanwhile.
ALTER TABLE incident ADD COLUMN campaign_id bigint;
UPDATE incident i SET campaign_id = m.campaign_id FROM message m WHERE m.id = i.message_id;
-- What led to the cause that stands: 'opened', or what became known later.
ALTER TABLE incident ADD COLUMN because text NOT NULL DEFAULT 'opened';
-- The person's STOPs and STARTs in Twilio's own log, once it was asked, and when it was.
ALTER TABLE incident ADD COLUMN log jsonb;
ALTER TABLE incident ADD COLUMN looked_at timestamptz;
ALTER TABLE incident ADD COLUMN looks integer NOT NULL DEFAULT 0;
-- When it is asked next; NULL: no more. Old incidents are left alone.
ALTER TABLE incident ADD COLUMN next_look timestamptz;
ALTER TABLE incident ALTER COLUMN next_look SET DEFAULT clock_timestamp() + interval '1 minute';
CREATE INDEX incident_due ON incident (next_look) WHERE next_look IS NOT NULL;
-- Every opt-out asks for the person's incidents.
CREATE INDEX incident_person ON incident (recipient, tenant_id);
CREATE INDEX incident_campaign ON incident (campaign_id, began_at);

-- Append-only: every cause an incident ever had. Kept by a trigger, so that no statement can change
-- one without a trace.
CREATE TABLE incident_cause (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incident,
    cause       text NOT NULL,
    detail      jsonb NOT NULL,
    because     text NOT NULL,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX incident_cause_of ON incident_cause (incident_id);
INSERT INTO incident_cause (incident_id, cause, detail, because, decided_at)
SELECT id, cause, detail, because, created_at FROM incident ORDER BY id;
CREATE FUNCTION note_cause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO incident_cause (incident_id, cause, detail, because)
    VALUES (NEW.id, NEW.cause, NEW.detail, NEW.because);
    RETURN NULL;
END $$;
CREATE TRIGGER incident_opened AFTER INSERT ON incident FOR EACH ROW
    EXECUTE FUNCTION note_cause();
CREATE TRIGGER incident_retraced AFTER UPDATE ON incident FOR EACH ROW
    WHEN ((NEW.cause, NEW.detail) IS DISTINCT FROM (OLD.cause, OLD.detail))
    EXECUTE FUNCTION note_cause();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON incident_cause
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE incident_cause ENABLE ALWAYS TRIGGER append_only;
"""

ALERTS = """
-- What an operator is told of by a signed webhook, and how far that has come.
CREATE TABLE alert (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    integer NOT NULL REFERENCES tenant,
    campaign_id  bigint REFERENCES campaign,
    kind         text NOT NULL,
    detail       jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries        integer NOT NULL DEFAULT 0,
    -- NULL: delivered, or given up.
    next_try     timestamptz DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    -- Why the last try failed; empty: it did not.
    error        text NOT NULL DEFAULT ''
);
CREATE INDEX alert_due ON alert (next_try) WHERE next_try IS NOT NULL;
CREATE INDEX alert_of ON alert (campaign_id);

-- How many 21610s a campaign had when its rate was last judged.
ALTER TABLE campaign ADD COLUMN blocks_judged bigint NOT NULL DEFAULT 0;
CREATE INDEX campaign_ended ON campaign (completed_at) WHERE completed_at IS NOT NULL;
-- Of a campaign's slices, those that were worked on since some moment.
CREATE INDEX slice_done ON slice (campaign_id, done_at) WHERE done_at IS NOT NULL;
"""


def upgrade() -> None:
    """Add them."""
    for part in (INCIDENTS, ALERTS):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the first schema: causes are records, too."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
