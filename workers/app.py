"""The Celery app. Its messages are hints: nothing depends on one arriving, or arriving once."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import structlog
from celery import Celery
from celery.signals import (
    celeryd_after_setup,
    worker_init,
    worker_shutdown,
    worker_shutting_down,
)
from kombu import Queue  # type: ignore[attr-defined]  # kombu loads its names lazily

from sender.collecting import uncollected
from sender.config import Settings
from sender.errors import SenderError
from workers.beat import every
from workers.process import WorkerProcess
from workers.pulse import PulseQueue
from workers.tasks import register

if TYPE_CHECKING:
    from sender.parts import Parts
    from sender.runtime import Runtime

log = structlog.get_logger(__name__)

#: Where bulk slices, transactional ones and recovery tasks are published. A worker serves all,
#: whenever it has a thread free, in turn: kombu moves the queue that was served to the end of the
#: line, so that no queue, however long, keeps another's message waiting behind more than one of
#: its own.
SLICES = "slices"
TRANSACTIONAL = "transactional"
RECOVERY = "recovery"


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.celery_broker_url,
        "broker_transport": _transport(settings.celery_broker_url),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # Half-open sockets are noticed by these; without them a worker can go deaf.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 20,
            "global_keyprefix": "sender:",
            "queue_order_strategy": "round_robin",
            # Who publishes waits for a broker that restarts (0.2 s, then longer each time), and not
            # for one that is away: 2 s in all. Kombu alone would wait 2 s at first, and 6 in all.
            "interval_start": 0.2,
            "interval_step": 0.2,
            "max_retries": 4,
        },
        "worker_pool": "threads",
        "worker_consumer": "workers.events:GatheringConsumer",
        "worker_concurrency": settings.slice_threads,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        # Explicit because Celery 6 flips it: a Redis blip must not end slices in mid-window.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # See workers.shutdown: a request's 10 s, and as long again for a slow Postgres.
        "worker_soft_shutdown_timeout": 20,
        "worker_hijack_root_logger": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,  # a hint is repaired by the kicker, not requeued
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [
            Queue(name)  # type: ignore[no-untyped-call]
            for name in (SLICES, TRANSACTIONAL, RECOVERY)
        ],
        "task_default_queue": SLICES,
        "task_create_missing_queues": False,
        "task_routes": {
            "workers.send_transactional": {"queue": TRANSACTIONAL},
            "workers.kick": {"queue": RECOVERY},
            "workers.sweep": {"queue": RECOVERY},
            "workers.resolve": {"queue": RECOVERY},
        },
        "beat_scheduler": "workers.beat:BoundedScheduler",
        "beat_schedule": _schedule(),
        "timezone": "UTC",
    }


class SenderApp(Celery):  # type: ignore[misc]  # Celery has no types
    """Celery, with a worker that settles what is in flight however it is told to end."""

    #: What the tasks run on. Kept here: Celery holds signal receivers weakly.
    sender_process: WorkerProcess

    @cached_property
    def Worker(self) -> Any:  # noqa: N802  # Celery's name
        """The class of ``celery worker``."""
        return self.subclass_with_self("workers.shutdown:SettlingWorker")


def _transport(broker_url: str) -> str | None:
    """Ours for a Redis broker; whatever the URL says for any other."""
    scheme = broker_url.partition("://")[0]
    return "workers.transport:HintTransport" if scheme in {"redis", "rediss"} else None


def _schedule() -> dict[str, Any]:
    """Recovery's rhythm."""
    rhythm = {"workers.kick": 1.0, "workers.sweep": 2.0, "workers.resolve": 5.0}
    return {task: {"task": task, "schedule": every(seconds)} for task, seconds in rhythm.items()}


def create_app(
    parts: "Parts | None" = None,
    settings: Callable[[], Settings] = Settings.from_environment,
) -> Celery:
    """A Celery app over these parts; the environment is read when it is first used."""
    app = SenderApp("workers")
    app.add_defaults(lambda: _configuration(settings()))
    process = WorkerProcess(build=lambda: _runtime(settings(), parts))
    app.sender_process = process
    _open_with_worker(app, process)
    _listen_to_itself(app, process)
    worker_shutting_down.connect(process.on_shutting_down)
    worker_shutdown.connect(process.on_shutdown)
    register(app, process)
    return app


def _runtime(settings: Settings, parts: "Parts | None") -> "Runtime":
    """What a worker works with. Beat and Flower load this app too, and need nothing of that."""
    with uncollected():
        from sender.parts import Parts  # noqa: PLC0415
        from sender.runtime import Runtime  # noqa: PLC0415
    return Runtime(settings=settings, parts=parts or Parts())


def _open_with_worker(app: Celery, process: WorkerProcess) -> None:
    """Open the process when a worker of this app starts: the signal tells every app there is."""

    def on_init(sender: Any, **_: Any) -> None:
        if sender.app is app:
            _open_or_exit(process)

    worker_init.connect(on_init, weak=False)


def _listen_to_itself(app: Celery, process: WorkerProcess) -> None:
    """Have a worker of this app consume its pulses' queue too, whatever ``-Q`` says."""

    def on_setup(instance: Any, **_: Any) -> None:
        if instance.app is app:
            queue = PulseQueue(app, process.worker_id)
            queue.consume()
            process.start_pulse(queue.publish)

    celeryd_after_setup.connect(on_setup, weak=False)


def _open_or_exit(process: WorkerProcess) -> None:
    """Open the process, or end it with a line that says why.

    Celery logs whatever an init handler raises and lets the worker live: it would take hints and
    be able to follow none. Only `SystemExit` gets through.
    """
    try:
        process.on_init()
    except Exception as exc:
        log.critical("worker_not_started", reason=_reason(exc))
        raise SystemExit(1) from exc


def _reason(exc: Exception) -> str:
    from sender.storage.database import DatabaseError, told  # noqa: PLC0415  # see _runtime

    if isinstance(exc, SenderError):
        return str(exc)
    if isinstance(exc, DatabaseError):
        return f"the database cannot be used ({told(exc)}): is DATABASE_URL right, is it up?"
    return repr(exc)  # before there is any message that it could quote


app = create_app()
