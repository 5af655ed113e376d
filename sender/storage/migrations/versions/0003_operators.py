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
