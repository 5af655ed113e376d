"""What the readers of Twilio's log keep beside their watermarks. Additive."""

from alembic import op

revision = "0009"
down_revision = "0008"

LOGS = """
-- The Messaging Service that a number is in and that drops what is texted to it; NULL: none does.
ALTER TABLE intake_sender ADD COLUMN dropped_by integer REFERENCES sender;

-- Up to when an account's whole log was read, and when that was last tried.
ALTER TABLE tenant ADD COLUMN log_upto timestamptz;
ALTER TABLE tenant ADD COLUMN log_read_at timestamptz;
"""


def upgrade() -> None:
    """Add it."""
    op.execute(LOGS)


def downgrade() -> None:
    """Refused, as for the schemas before."""
    raise NotImplementedError("this schema cannot be undone; restore a backup instead")
