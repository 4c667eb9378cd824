"""A session of nox that runs the audits of pyproject.toml: `nox -s decay`."""

import nox


@nox.session
def decay(session: nox.Session) -> None:
    """Check weight decay; words after `--` are options of `decay-audit check`."""
    session.install("-r", "requirements.txt", "decay-audit")
    session.run("decay-audit", "check", *session.posargs)
