"""`python -m <package>` is the same as the project's command."""

from .cli import main

main()
