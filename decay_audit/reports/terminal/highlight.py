"""Code in colours, for a terminal. The only place where Rich writes; names in code are literals, never markup."""

import io
from typing import Literal

from decay_audit.reports.options import Options


def highlight(text: str, language: Literal["python", "yaml"], options: Options) -> str:
    """Colour code; without colour it is returned as it is, and Rich is not imported."""
    if not options.color:
        return text
    from rich.console import Console
    from rich.syntax import Syntax

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", highlight=False, markup=False)
    console.print(Syntax(text, language, theme="ansi_dark").highlight(text), soft_wrap=True, end="")
    return screen.getvalue()
