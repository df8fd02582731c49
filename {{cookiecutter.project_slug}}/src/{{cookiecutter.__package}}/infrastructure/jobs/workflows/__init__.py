"""Jobs that belong together: chains, whose steps run one after the other, and groups, whose members run at once.

| module | holds |
| --- | --- |
| `client` | making, looking up and cancelling workflows |
| `steps` | how a caller says a step, checked and made ready to be stored |
| `parts` | a job's part in a workflow |
| `records` | what is known of a workflow, as data only |
| `lookup` | reading it |
"""
