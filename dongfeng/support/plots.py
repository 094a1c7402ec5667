"""Plots by matplotlib (extra `plot`): their common style, and their files."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

from dongfeng.errors import BackendUnavailable
from dongfeng.support.exceptions import first_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct for the colour-blind too. Source: Okabe and Ito, "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#5f6368"
DPI = 150


def new_figure(size_inches: tuple[float, float], title: str) -> Figure:
    """Create an empty figure, width x height.

    Raises:
        BackendUnavailable: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendUnavailable(
            f'plots need matplotlib, which cannot be imported ({first_line(error)}); run: pip install "dongfeng[plot]"'
        ) from error
    figure = Figure(figsize=size_inches, dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    figure.suptitle(title, fontsize=13, parse_math=False)
    return figure


def plain_axes(axis: Axes) -> None:
    """Put a light grid behind the data, and remove the frame."""
    axis.grid(visible=True, color="#e4e6e8", linewidth=0.7, zorder=0)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def picture_bytes(figure: Figure, format_: Literal["svg", "png"]) -> bytes:
    """Return the file of a figure; the same figure gives the same bytes."""
    from matplotlib import rc_context

    stream = BytesIO()
    metadata: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type")) if format_ == "svg" else {}
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "dongfeng"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(stream, format=format_, dpi=DPI, metadata=metadata)
    return stream.getvalue()
