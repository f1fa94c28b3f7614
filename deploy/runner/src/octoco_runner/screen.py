"""What a person sees while the runner works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from octoco_runner.errors import NotReady, RunnerError


class Screen:
    """Lines of progress on a terminal or in a log; says nothing secret."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def say(self, text: str) -> None:
        self.console.print(escape(text), soft_wrap=True)

    def heading(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]", soft_wrap=True)

    def done(self, text: str, *, detail: str = "") -> None:
        extra = f" [dim]{escape(detail)}[/dim]" if detail else ""
        self.console.print(f" [green]✓[/green] {escape(text)}{extra}", soft_wrap=True)

    def warn(self, text: str) -> None:
        self.console.print(f" [yellow]![/yellow] {escape(text)}", soft_wrap=True)

    def error(self, error: RunnerError) -> None:
        """Print a failure, with the end of the log that explains it where there is one."""
        self.console.print(f" [red]✗[/red] {escape(str(error))}", soft_wrap=True)
        if isinstance(error, NotReady) and error.log_tail:
            self.console.print("   The last lines of its log:")
            for line in error.log_tail:
                self.console.print(f"   [dim]{escape(line)}[/dim]", soft_wrap=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that `text` is going on, then that it is done and how long it took."""
        began = time.monotonic()
        with self.console.status(f"{escape(text)} ..."):
            yield
        self.done(text, detail=f"{time.monotonic() - began:.1f} s")
