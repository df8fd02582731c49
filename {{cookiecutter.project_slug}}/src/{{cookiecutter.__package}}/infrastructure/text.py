"""What text may hold that comes from outside."""

from __future__ import annotations

#: A pattern: one line without control characters. PostgreSQL stores no NUL, terminals obey some of the others, and such
#: text ends up in mail.
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]+$"
