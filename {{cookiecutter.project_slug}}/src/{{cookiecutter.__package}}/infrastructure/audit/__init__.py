"""The audit log: who has done what to jobs, and what came of it.

`models` has the table; `log` writes entries, and lists them.
"""

from .log import Actor, Entry, audited, cli_actor, list_entries
from .models import AuditEntry, Outcome

__all__ = ["Actor", "AuditEntry", "Entry", "Outcome", "audited", "cli_actor", "list_entries"]
