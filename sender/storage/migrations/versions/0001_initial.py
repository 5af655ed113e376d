"""The first schema.

Messages are hot: two updates each (guard, settle). No index contains ``state`` or anything else
that changes, and pages are filled to 60 %, so both updates stay heap-only (HOT). The table has
two indexes: its id, and (recipient, campaign_id), which makes a recipient unique per campaign and
is how a STOP finds a person's messages.
"""

from alembic import op

revision = "0001"
down_revision = None

SCHEMA = """
CREATE TABLE tenant (
    id          integer PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    account_sid text UNIQUE,
    stop_scope  text NOT NULL DEFAULT 'tenant' CHECK (stop_scope IN ('tenant', 'sender'))
);
INSERT INTO tenant (id, name) VALUES (1, 'default');

CREATE TABLE sender (
    id                  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id           integer NOT NULL REFERENCES tenant,
    address             text NOT NULL UNIQUE,
    kind                text NOT NULL,
    segments_per_second double precision NOT NULL
                        CHECK (segments_per_second > 0 AND segments_per_second < 'Infinity'),
    -- No slice of it is taken before: its pacing tokens are used up, or the provider takes nothing.
    rests_until         timestamptz
);

-- The suppression scopes that count for a sender beside ALL_SENDERS: itself, and every Messaging
-- Service it is or was in. Rows are never deleted: a block at a past service still counts.
CREATE TABLE sender_scope (
    sender_id integer NOT NULL REFERENCES sender,
    scope     integer NOT NULL,
    PRIMARY KEY (sender_id, scope)
);

CREATE TABLE campaign (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       integer NOT NULL REFERENCES tenant,
    sender_id       integer NOT NULL REFERENCES sender,
    name            text NOT NULL,
    body            text NOT NULL,
    state           text NOT NULL DEFAULT 'DRAFT' CHECK (state IN
                    ('DRAFT', 'SCHEDULED', 'RUNNING', 'PAUSED', 'COMPLETED', 'CANCELED')),
    why             text NOT NULL DEFAULT '',
    idempotency_key text,
    fingerprint     text NOT NULL,
    validity        interval NOT NULL,
    time_limit      interval NOT NULL,
    file_rows       bigint NOT NULL DEFAULT 0,
    recipients      bigint NOT NULL DEFAULT 0,
    duplicates      bigint NOT NULL DEFAULT 0,
    rejected        bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    start_at        timestamptz,
    started_at      timestamptz,
    deadline_at     timestamptz,
    completed_at    timestamptz,
    UNIQUE (tenant_id, idempotency_key)
);

-- Audience rows that became no message: duplicates (with the line they repeat) and rejects.
CREATE TABLE left_out (
    campaign_id bigint NOT NULL REFERENCES campaign ON DELETE CASCADE,
    line        bigint NOT NULL,
    value       text NOT NULL,
    reason      text NOT NULL,
    first_line  bigint,
    PRIMARY KEY (campaign_id, line)
);

CREATE TABLE message (
    id              uuid PRIMARY KEY,
    campaign_id     bigint NOT NULL REFERENCES campaign,
    recipient       bigint NOT NULL,
    line            bigint NOT NULL,
    fields          jsonb,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN
                    ('pending', 'sending', 'sent', 'delivered', 'undelivered', 'suppressed',
                     'failed', 'expired', 'canceled', 'in_doubt', 'unknown')),
    reason          text NOT NULL DEFAULT '',
    gen             integer NOT NULL DEFAULT 0,
    owner           integer,
    next_at         timestamptz,
    guarded_at      timestamptz,
    lease_until     timestamptz,
    sid             text,
    provider_status text,
    provider_code   integer,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (recipient, campaign_id)
) WITH (fillfactor = 60);

-- Work list of the resolver: every row that ever became in doubt, kept by a trigger so that no
-- statement can forget it (an index on state would cost every settlement its heap-only update).
CREATE TABLE doubt (
    message_id uuid PRIMARY KEY REFERENCES message,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    checks     integer NOT NULL DEFAULT 0,
    next_check timestamptz NOT NULL DEFAULT clock_timestamp() + interval '5 seconds'
);
CREATE FUNCTION note_doubt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO doubt (message_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER message_in_doubt AFTER UPDATE ON message FOR EACH ROW
    WHEN (NEW.state = 'in_doubt' AND OLD.state <> 'in_doubt') EXECUTE FUNCTION note_doubt();

-- A range of a campaign's message ids that one Celery task works on at a time.
CREATE TABLE slice (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id  bigint NOT NULL REFERENCES campaign,
    first_id     uuid NOT NULL,
    last_id      uuid NOT NULL,
    due_at       timestamptz,
    offered_at   timestamptz,
    owner        integer,
    leased_until timestamptz,
    started_at   timestamptz,
    done_at      timestamptz
);
CREATE INDEX slice_open ON slice (campaign_id, id) WHERE done_at IS NULL;

-- Live worker processes. Each holds an advisory lock on its id for as long as it lives.
CREATE TABLE worker (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    slices     integer NOT NULL CHECK (slices > 0),
    started_at timestamptz NOT NULL DEFAULT now(),
    buried_at  timestamptz
);

-- A named reason why something may not send now. subject is the tenant's, sender's or campaign's
-- id; level 'all' is the kill switch.
CREATE TABLE hold (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level       text NOT NULL CHECK (level IN ('all', 'tenant', 'sender', 'campaign')),
    subject     bigint NOT NULL DEFAULT 0,
    reason      text NOT NULL,
    detail      text NOT NULL DEFAULT '',
    held_at     timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz,
    released_by text
);
CREATE UNIQUE INDEX hold_in_force ON hold (level, subject, reason) WHERE released_at IS NULL;

CREATE TABLE inbound (
    sid          text PRIMARY KEY,
    tenant_id    integer NOT NULL REFERENCES tenant,
    sender_id    integer REFERENCES sender,
    recipient    bigint,
    keyword      text NOT NULL,
    body         text NOT NULL,
    raw          jsonb NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    provider_at  timestamptz,
    lookups      integer NOT NULL DEFAULT 0,
    next_lookup  timestamptz
);
CREATE INDEX inbound_undated ON inbound (received_at)
    WHERE provider_at IS NULL AND keyword IN ('STOP', 'START');

-- Append-only. Provider times that become known later stand in inbound.provider_at.
CREATE TABLE consent_event (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   integer NOT NULL,
    recipient   bigint NOT NULL,
    scope       integer NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('opt_out', 'opt_in')),
    reason      text,
    source      text NOT NULL,
    source_id   text NOT NULL,
    provider_at timestamptz,
    author      text NOT NULL DEFAULT '',
    evidence    text NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The writing transaction: readers of the log stop below the oldest one still running.
    written_by  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK (direction = 'opt_in' OR reason IS NOT NULL)
);
CREATE UNIQUE INDEX consent_event_once
    ON consent_event (source, source_id, direction, scope, coalesce(reason, ''));
CREATE INDEX consent_event_person ON consent_event (tenant_id, recipient);
CREATE INDEX consent_event_order ON consent_event (written_by);

-- Derived from consent_event by the fold, in the same transaction as the event.
CREATE TABLE suppression (
    recipient bigint NOT NULL,
    tenant_id integer NOT NULL,
    scope     integer NOT NULL,
    reason    text NOT NULL,
    event_id  bigint NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (recipient, tenant_id, scope, reason)
);
CREATE INDEX suppression_scope ON suppression (tenant_id, scope);

-- One row for each opt-out that must be enforced: from enforced_at on, no request for a message
-- in its scope is begun.
CREATE TABLE enforcement (
    event_id    bigint PRIMARY KEY REFERENCES consent_event,
    tenant_id   integer NOT NULL,
    recipient   bigint NOT NULL,
    scope       integer NOT NULL,
    enforced_at timestamptz
);
CREATE INDEX enforcement_open ON enforcement (event_id) WHERE enforced_at IS NULL;

CREATE TABLE receipt (
    message_id  uuid NOT NULL,
    sid         text NOT NULL,
    status      text NOT NULL,
    code        integer NOT NULL DEFAULT 0,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, sid, status, code)
);

CREATE TABLE incident (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   integer NOT NULL,
    message_id  uuid NOT NULL UNIQUE,
    sender_id   integer NOT NULL,
    recipient   bigint NOT NULL,
    code        integer NOT NULL,
    door        text NOT NULL CHECK (door IN ('create', 'callback')),
    began_at    timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    cause       text NOT NULL,
    detail      jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE alarm (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    detail     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How far a reader of an append-only table has come.
CREATE TABLE cursor_position (
    name     text PRIMARY KEY,
    position bigint NOT NULL
);
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(SCHEMA)


def downgrade() -> None:
    """Refused: there is no older schema, and consent must not be dropped by a migration."""
    raise NotImplementedError("the first schema cannot be undone; restore a backup instead")
