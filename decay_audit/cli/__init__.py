"""The command line: options become a Request, a Report becomes text, and findings become the exit code.

main         the Typer app, and what an error, an interrupt or a closed pipe exits with
verbs/       one module for each command
command      a verb's function -> a Typer command, with the options that api.options declares
arguments    what is typed without dashes: TARGET, and the names of rulesets
audits       the audits of a command: of the TARGET, or of pyproject.toml
baseline     exceptions for today's findings, added to pyproject.toml
config       `[tool.decay-audit]`: defaults of options, audits, and the JSON Schema of the table
pyproject    the same table as a tree of nodes with line numbers, for messages
locations    the files and lines where the parts of an audit stand in the repository
outputs      reports to standard output or files, each in the format of its suffix
settings     the options of each audit, and where they come from
screen       standard output, standard error, colour, progress, and files that appear whole
"""

from decay_audit.cli.main import app

__all__ = ["app"]
