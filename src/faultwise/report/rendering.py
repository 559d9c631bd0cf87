"""HTML pages: one environment, one frame (`page.html.j2`) and one stylesheet (`style.css`) for all of them.

A page is one file that needs no network and no JavaScript. Jinja2 escapes every value, and each is cleaned on its way;
only markup made by this package passes as it is. What is on a page is decided by those who gather its values.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from faultwise.report import values

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["rendered"]


def rendered(template: str, page: Mapping[str, object]) -> str:
    """Return the page that a template of `templates` makes of plain values, `title` among them.

    The same values always give the same text. Strings that are markup must be `markupsafe.Markup`, and made here.
    """
    return _environment().get_template(template).render(page=page) + "\n"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("faultwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": values.number, "percent": values.percent, "length_of": _length}
    environment.filters["kind"] = lambda value: type(value).__name__
    return environment


def _length(share: float) -> str:
    """Return a share from 0 to 1 as a CSS length."""
    return f"{100 * share:.2f}%"


def _finalize(value: object) -> object:
    """Clean every text that reaches the page; markup made by this package passes."""
    return value if hasattr(value, "__html__") else values.clean(value)
