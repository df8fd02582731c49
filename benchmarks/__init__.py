"""Side by side: the rendered project and its peers, in one run, on one Redis. `python -m benchmarks --help`.

| module | holds | runs in |
| --- | --- | --- |
| `cli` | the command: options, the order of the run, its progress | here |
| `roster` | who takes part, and what is installed for each | here |
| `environments` | an environment for each peer; the project, rendered and installed | here |
| `server` | the Redis that all are measured on | here |
| `children` | the processes of a peer, spoken to in JSON lines | here |
| `trials` | one trial: an empty Redis, a ledger, a producer, workers | here |
| `measurements` | what is measured, the same for all peers | here |
| `figures` | what was measured: values, units, failures | here |
| `report`, `chart` | the table, JSON, Markdown and SVG | here |
| `contract` | what a peer's adapter has to offer | the peer |
| `peers/` | one adapter for each peer | the peer |
| `workload` | the jobs that all peers run | the peer |
| `ledger` | which job has been enqueued and run, and when | both |
| `driver` | the program that runs an adapter, as producer or as worker | the peer |

What runs in a peer's environment imports nothing but the standard library, the peer and its like.
"""
