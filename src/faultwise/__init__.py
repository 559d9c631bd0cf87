"""Faultwise: from what a machine leaves behind to a verdict an engineer can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faultwise.contracts.errors import UserError

if TYPE_CHECKING:
    from faultwise.diagnoser import Diagnoser

__all__ = ["Diagnoser", "UserError", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy, so that `import faultwise` (and with it `faultwise --help`) loads neither torch nor scikit-learn.
    if name == "Diagnoser":
        from faultwise.diagnoser import Diagnoser

        return Diagnoser
    raise AttributeError(f"module 'faultwise' has no attribute {name!r}")
