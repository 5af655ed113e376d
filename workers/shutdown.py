"""A worker that is made to end (SIGQUIT, or SIGTERM under ``REMAP_SIGTERM=SIGQUIT``) settles first.

SIGTERM, Celery's warm shutdown, needs nothing of this. Its cold one sleeps through the whole soft
time-out, busy or idle, tells the tasks of their end only after that, and then asks the threads pool
to kill what still runs, which that pool cannot (seen with Celery 5.7.0: NotImplementedError, and
an end after 54 s, later than most supervisors wait).
"""

import time
from typing import Any

from celery.apps.worker import Worker
from celery.worker import state

_POLL_SECONDS = 0.05


class SettlingWorker(Worker):  # type: ignore[misc]  # Celery has no types
    """Tells its slices to end at their next window, and waits for that no longer than it takes."""

    app: Any

    def prepare_args(self, **arguments: Any) -> Any:
        """As given, but without "mingle", Celery's second of asking all others at every start.

        It is for what they revoked. We revoke nothing: what may run is asked of Postgres.
        """
        return {**super().prepare_args(**arguments), "without_mingle": True}

    def wait_for_soft_shutdown(self) -> None:
        """Return once no task runs, or after ``worker_soft_shutdown_timeout``."""
        self.app.sender_process.on_shutting_down()
        give_up_at = time.monotonic() + self.app.conf.worker_soft_shutdown_timeout
        while state.active_requests and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)

    def terminate(self, in_sighandler: bool = False) -> None:  # noqa: FBT001, FBT002  # Celery's
        """As Celery does, which tells nobody of a cold end (5.7.0: no ``worker_shutdown``).

        Where tasks still run their loop is left to them: the process waits for their threads.
        """
        super().terminate(in_sighandler)
        if not state.active_requests:
            self.app.sender_process.on_shutdown()
