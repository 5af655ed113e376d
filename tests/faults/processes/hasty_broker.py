"""Workers whose broker delivers a hint again while its slice is still being worked on.

And they say so: one line on standard error for each delivery.
"""

import sys
from typing import Any

from celery.signals import task_prerun

from workers.app import create_app

#: Seconds until an unacknowledged message is delivered again, and between two looks for such.
VISIBLE_AGAIN = 2

app = create_app()
app.conf.visibility_timeout = VISIBLE_AGAIN
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": VISIBLE_AGAIN,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}


@task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
def _tell(task: Any, args: tuple[object, ...], **_: object) -> None:
    redelivered = bool((task.request.delivery_info or {}).get("redelivered"))
    print(f"hint {task.name} {args} redelivered={redelivered}", file=sys.stderr, flush=True)  # noqa: T201
