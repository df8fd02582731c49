"""How a worker runs jobs: what stands behind `Worker`, each step in a module of its own.

| module | holds |
| --- | --- |
| `consumer` | how all these work together |
| `claims` | claiming jobs |
| `served` | which queues are served, and in which order |
| `slots` | how many jobs may be started |
| `held` | the jobs whose lease is held |
| `leases` | keeping them |
| `attempts` | one try of one job |
| `endings` | what is recorded of a job that has ended |
| `plans` | what is the same for every job of a task |
| `unknown` | jobs whose task this worker does not know |
| `suspects` | jobs that may end their worker |
| `deadlines` | when a try has taken too long |
| `aborts` | jobs that somebody wants to be ended |
| `signals` | what a worker is told while it runs |
| `orders` | what it is ordered from outside |
| `threads` | where plain functions run |
| `processes`, `child` | where functions run that compute, and the other side of that |
| `commits` | recording what became of jobs |
| `counters` | counting what jobs came to |
| `wakeup` | waking an idle worker |
| `outage` | Redis being away |
| `services` | what a worker does beside its jobs |
| `presence` | a worker's sign of life |
| `stopping` | how a worker stops, or rests |
"""
