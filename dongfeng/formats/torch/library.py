"""The check that PyTorch is installed."""

from __future__ import annotations

from dongfeng.errors import BackendUnavailable
from dongfeng.support.exceptions import first_line


def require_torch() -> None:
    """Check that PyTorch can be imported.

    Raises:
        BackendUnavailable: it cannot be; the message names the extra to install.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(
            f'PyTorch cannot be imported ({first_line(error)}); run: pip install "dongfeng[torch]"'
        ) from error
