"""`JobManager`: everything that can be done with jobs, for routes, commands and scripts.

| module | holds |
| --- | --- |
| `client` | the class as a whole |
| `connected` | the backend that it stands on |
| `enqueueing` | making jobs, one or many |
| `scheduling` | schedules |
| `combining` | chains and groups |
| `watching` | looking jobs up, and waiting for them |
| `steering` | ending jobs, running them again, and both for many at once |
| `serving` | queues, workers, and how they fare |
"""

from .client import JobManager

__all__ = ["JobManager"]
