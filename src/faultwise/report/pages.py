"""HTML pages: one environment, one frame (`page.html.j2`) and one stylesheet (`style.css`) for all of them.

A page is one file that needs no network and no JavaScript. Jinja2 escapes every value, and each is cleaned on its way;
only markup made by us passes as it is. What a page says is decided by those who gather its values.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from faultwise.report import values

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["rendered"]


def rendered(template: str, page: Mapping[str, Any]) -> str:
    """Return the page that a template of this folder makes of plain values, `title` among them.

    The same values always give the same text. Strings that are markup must be `markupsafe.Markup`, and ours.
    """
    return _environment().get_template(template).render(page=page) + "\n"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("faultwise.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": values.number, "percent": values.percent}
    return environment


def _finalize(value: Any) -> Any:
    """Clean every text that reaches the page; markup made by us passes."""
    return value if hasattr(value, "__html__") else values.clean(value)
