"""The processes: Celery workers and beat, the webhook app, the suppression consumer.

The only package that imports Celery. ``celery -A workers …`` finds ``app`` here.
"""

from workers.collecting import uncollected

with uncollected():
    from workers.app import app

__all__ = ["app"]
