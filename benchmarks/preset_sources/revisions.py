"""Current commits and releases, and a file's text at a revision: from clones, GitHub, or the package index."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

_SECONDS = 30


class UnavailableError(Exception):
    """A repository, a revision, a file or a package cannot be reached; the message says which, and why."""


def head(repository: str, clones: Path | None = None) -> str:
    """Return the newest commit of a repository's default branch.

    Raises:
        UnavailableError: git cannot reach it.
    """
    if (clone := _clone(repository, clones)) is not None:
        return _git("-C", str(clone), "rev-parse", "HEAD")
    lines = _git("ls-remote", f"https://github.com/{repository}", "HEAD").split()
    if not lines:
        raise UnavailableError(f"{repository} has no default branch")
    return lines[0]


def newest(package: str) -> str:
    """Return the newest release of a package in the index that pip uses.

    Raises:
        UnavailableError: pip cannot reach it, or does not know the package.
    """
    text = _run(sys.executable, "-m", "pip", "index", "versions", package)
    match = re.search(r"\(([^)]+)\)", text)
    if match is None:
        raise UnavailableError(f"pip knows no release of {package}")
    return match[1]


def text_at(repository: str, path: str, revision: str, clones: Path | None = None) -> str:
    """Return a file's text at a revision.

    Raises:
        UnavailableError: the repository, the revision or the file cannot be reached.
    """
    if (clone := _clone(repository, clones)) is not None:
        return _git("-C", str(clone), "show", f"{revision}:{path}", strip=False)
    url = f"https://raw.githubusercontent.com/{repository}/{revision}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            text: str = answer.read().decode()
    except (urllib.error.URLError, OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"{url}: {error}") from error
    return text


def _clone(repository: str, clones: Path | None) -> Path | None:
    """Find the clone of a repository in a folder: `name`, `owner/name` or `owner+name`, or `repo` inside of these."""
    if clones is None:
        return None
    owner, _, name = repository.partition("/")
    folders = [clones / name, clones / owner / name, clones / f"{owner}+{name}"]
    places = [place for folder in folders for place in (folder, folder / "repo")]
    return next((place for place in places if (place / "HEAD").exists() or (place / ".git").exists()), None)


def _git(*arguments: str, strip: bool = True) -> str:
    text = _run("git", *arguments)
    return text.strip() if strip else text


def _run(*command: str) -> str:
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UnavailableError(f"{' '.join(command[-3:])}: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]}: {error}") from error
    return process.stdout
