"""What the operator's commands need. Additive: rows and code of 0002 stay valid."""

from alembic import op

revision = "0003"
down_revision = "0002"

RECOVERIES = """
-- Since when a tenant lacks what happened: a recovery went on without it, because its log at Twilio
-- could not be read. It is held (not_recovered) as long.
ALTER TABLE tenant ADD COLUMN lost_since timestamptz;
-- The newest campaign when the database was first held as older: what is newer was created in the
-- database as it is, and nothing of it is lost.
ALTER TABLE high_water ADD COLUMN newest_campaign bigint;
-- It was worked with before there were marks. Where another database's are kept, this may be an old
-- backup of that one: it has lost the identity by which it would be recognised.
ALTER TABLE high_water ADD COLUMN unmarked boolean NOT NULL DEFAULT false;
UPDATE high_water SET unmarked = true WHERE era = 0 AND seq = 0 AND EXISTS (SELECT FROM campaign);
"""

AUTHORS = """
-- Placed through the operator's door: only there it is lifted.
ALTER TABLE hold ADD COLUMN by_operator boolean NOT NULL DEFAULT false;
-- Who paused, resumed or canceled it; empty: nobody is named, or it came into its state by itself.
ALTER TABLE campaign ADD COLUMN author text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    """Add them."""
    for part in (RECOVERIES, AUTHORS):
        op.execute(part)


def downgrade() -> None:
    """Refused, as for the others: holds and their records must not be dropped by a migration."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
