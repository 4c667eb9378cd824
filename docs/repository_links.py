"""A hook of mkdocs: a link from a page to a file outside docs/ leads to that file in the repository."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\]\(\.\./([^)]+)\)")
"""The end of a link in Markdown to a file outside docs/, such as `](../action.yml)`."""


def on_page_markdown(markdown: str, *, config: dict[str, Any], **_: object) -> str:
    """Rewrite the links of a page; on GitHub, the links work as they are written."""
    return _OUTSIDE.sub(rf"]({config['extra']['repository']}/blob/main/\1)", markdown)
