"""Jobs on the command line: looking at them, and steering them, without a browser.

| module | holds |
| --- | --- |
| `commands` | all commands side by side |
| `jobs` | `jobs`: list, show, watch, retry, cancel |
| `dead` | `dead`: list, replay, discard |
| `queues` | `queues`: list, pause, resume, purge |
| `schedules` | `schedules`: list, add, pause, resume, run, remove |
| `workers` | `workers`: list, quiet, stop |
| `enqueue` | `enqueue` |
| `figures` | `overview` and `audit` |
| `options` | options that several commands share |
| `inputs` | how times, values and arguments are written |
| `completion` | what the shell completes |
| `groups` | commands that list where nothing else is said |
| `running` | connections, and exit statuses |
| `acting` | acting on what was named, with confirmation and audit log |
| `many` | acting on all that filters choose |
| `watching` | watching a job to its end |
| `output` | tables for people, lines for pipes, JSON for programs |
"""

from .commands import commands

__all__ = ["commands"]
