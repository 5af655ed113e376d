"""A campaign that takes every spelling of a number for another recipient."""

from collections.abc import Iterable, Iterator

from sqlalchemy import create_engine, text

from sender.audience import Candidate, Duplicate, Recipient, Rejected, admit
from sender.parts import Parts

_ALLOW = text("""
    DO $$
    DECLARE part text;
    BEGIN
        FOR part IN SELECT name FROM message_partition LOOP
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I',
                           part, part || '_recipient_campaign_id_key');
        END LOOP;
    END $$;
    CREATE INDEX ON message (recipient, campaign_id);
""")


def admit_each(
    audience: Iterable[Candidate | Rejected], *, region: str | None = None
) -> Iterator[Recipient | Duplicate | Rejected]:
    """Judge each row as if it were the only one."""
    for row in audience:
        yield from admit([row], region=region)


def allow_duplicates(database_url: str) -> None:
    """Take away the database's own rule that a recipient is in a campaign once."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(_ALLOW)
    engine.dispose()


PARTS = Parts(admit=admit_each)
