"""Room on a page of messages for all that becomes of them. Changes how new pages are filled."""

from alembic import op

revision = "0010"
down_revision = "0009"

ROOM = """
-- A page needs room for each of its rows as it is stored, guarded and settled: whole windows are
-- guarded, and then settled, at once. What does not fit goes to another page and into both indexes.
-- Attached, not made in place, as before.
CREATE OR REPLACE FUNCTION make_message_partition(name text, bounds text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (
                        LIKE message INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                        UNIQUE (recipient, campaign_id)) WITH (fillfactor = 33)', name);
    EXECUTE format('ALTER TABLE message ATTACH PARTITION %I %s', name, bounds);
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT p.name FROM message_partition p LOOP
        EXECUTE format('ALTER TABLE %I SET (fillfactor = 33)', name);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    """Leave it from now on."""
    op.execute(ROOM)


def downgrade() -> None:
    """Refused, as for the schemas before."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
