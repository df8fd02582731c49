"""Groups of commands that list what there is where nothing else is said."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class ListingGroup(TyperGroup):
    """`jobs` is `jobs list`, and `jobs --status failed` is `jobs list --status failed`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before what begins with an option, and in the place of nothing."""
        nothing = not args and not ctx.resilient_parsing  # the shell wants to complete the subcommand
        if nothing or (args and args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the options of `list` too."""
        found = super().shell_complete(ctx, incomplete)
        command = self.get_command(ctx, "list")
        if command is None or not incomplete.startswith("-"):
            return found
        with command.make_context("list", [], parent=ctx, resilient_parsing=True) as inner:
            known = {each.value for each in found}
            return found + [each for each in command.shell_complete(inner, incomplete) if each.value not in known]


def examples(*lines: str) -> str:
    """Give the end of a `--help`: calls of the command, without the name of the program."""
    return "\n\n".join(("Examples:", *lines))
