"""Tasks that are enqueued at certain times, or again and again.

| module | holds |
| --- | --- |
| `client` | schedules as they are written in code, and making, listing and changing them at run time |
| `ticks` | when their times come |
| `expressions` | cron expressions and time zones as people write them |
| `timetable` | schedules as they are stored, and running those that are due |
| `scheduler` | a worker's part |
"""
