"""The environment of the templates.

Names of a model go through the filters `string` or `comment`, so that they cannot inject code.
"""

from collections.abc import Callable, Mapping
from typing import Any


def render(name: str, filters: Mapping[str, Callable[..., object]], **context: object) -> str:
    """Fill a template of the folder `templates` with values."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # imported late: only `emit` needs it

    environment: Any = Environment(
        loader=PackageLoader("decay_audit.emit"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  (it writes Python, not HTML)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    text: str = environment.get_template(name).render(**context)
    return text
