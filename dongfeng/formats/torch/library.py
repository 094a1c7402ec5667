"""The check that PyTorch is installed."""

from __future__ import annotations

from dongfeng.errors import BackendUnavailable


def require_torch() -> None:
    """Check that PyTorch can be imported.

    Raises:
        BackendUnavailable: it cannot be; the message names the extra to install.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise BackendUnavailable(
            f'PyTorch cannot be imported ({reason}); run: pip install "dongfeng[torch]"'
        ) from error
