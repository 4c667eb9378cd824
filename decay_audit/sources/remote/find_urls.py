"""Find the checkpoints that a URL with a pattern, or the URL of an organisation on the hub, stands for."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from decay_audit.sources.remote.open_url import open_url
from decay_audit.sources.remote.remote_path import RemotePath

_PATTERN = re.compile(r"[*\[]")
"""What makes a part of a URL a pattern. A question mark begins the query of a URL, so it is not among them."""
_MAX_DEPTH = 16
"""How many folders below each other `**` stands for at most."""


def find_urls(url: str) -> Iterator[str]:
    """Yield the URLs that one stands for: itself, those that its pattern matches, or the models of an organisation.

    `hf://ORG` and `hf://ORG/bert-*` stand for models of the hub; in every other place of a URL, a part with `*` matches
    files and folders, and `**` any folders.

    Raises:
        TargetError: the hub or the server cannot be asked, or lists nothing.
    """
    protocol, _, rest = url.partition("://")
    parts = [part for part in rest.split("/") if part]
    first = next((index for index, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
    if protocol.lower() == "hf" and parts[:1] not in (["datasets"], ["spaces"]) and first == 1:
        yield from _of_organisation(url, parts)
    elif first == len(parts):
        yield url
    else:
        base = f"{protocol}://{'/'.join(parts[:first])}"
        yield from (f"{base}/{below}" for below in _matching(open_url(base), parts[first:]))


def _of_organisation(url: str, parts: Sequence[str]) -> Iterator[str]:
    """Yield the models of an organisation whose names match."""
    from decay_audit.sources.remote.hub_store import list_models

    names = [] if "@" in parts[0] else list_models(parts[0])
    pattern, _, revision = parts[1].partition("@") if len(parts) > 1 else ("*", "", "")
    if not names and len(parts) == 1:
        yield url  # the repository of a model without an organisation, such as hf://gpt2
        return
    for name in names:
        if fnmatchcase(name.partition("/")[2], pattern):
            model = "/".join((f"hf://{name}{f'@{revision}' if revision else ''}", *parts[2:]))
            yield from find_urls(model) if parts[2:] else (model,)


def _matching(folder: RemotePath, parts: Sequence[str], depth: int = 0) -> Iterator[str]:
    """Yield the paths below a folder that match the parts of a pattern, in order."""
    part, *rest = parts
    if part == "**":
        yield from _matching(folder, rest or ["*"], depth)
    for child in sorted(folder.iterdir(), key=lambda path: path.name):
        if part == "**":
            inner = parts if depth < _MAX_DEPTH and child.is_dir() else []
        elif fnmatchcase(child.name, part):
            inner = rest
        else:
            continue
        if inner:
            yield from (f"{child.name}/{below}" for below in _matching(child, inner, depth + 1))
        elif part != "**":
            yield child.name
