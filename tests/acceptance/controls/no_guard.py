"""Workers whose guard does not ask whether the recipient is suppressed."""

from sender.parts import Parts
from sender.storage.messages import MessageTable, guard_statement
from workers.app import create_app

PARTS = Parts(messages=MessageTable(guard=guard_statement(suppressed="false")))

app = create_app(parts=PARTS)
