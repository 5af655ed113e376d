"""Workers that say which hints they take: one line on standard error for each."""

import sys
from typing import Any

from celery.signals import task_prerun

from workers.app import create_app

app = create_app()


@task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
def _tell(task: Any, args: tuple[object, ...], **_: object) -> None:
    print(f"hint {task.name} {args}", file=sys.stderr, flush=True)  # noqa: T201
