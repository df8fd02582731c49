"""arq, tuned for pickup: as `arq`, with `poll_delay` 0.02 s, at which an idle worker costs 50 commands a second."""

from __future__ import annotations

from benchmarks.peers import arq


class Adapter(arq.Adapter):
    """arq, polling often."""

    poll_delay = 0.02
