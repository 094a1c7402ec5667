"""Web pages that fetch nothing: their style, their frame, tables and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

Cells = Sequence[str]
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; background: #fff; margin: 2rem auto; max-width: 80rem;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.about, figcaption, .none { color: #5f6368; }
figure { margin: 1.5rem 0; }
figure svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid #e4e6e8; vertical-align: top; }
th { font-weight: 600; vertical-align: bottom; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.bar { display: inline-block; height: .7em; background: #0072b2; }
summary { cursor: pointer; margin-top: 2.2rem; font-size: 1.15rem; font-weight: 600; }
"""


def page(title: str, about: str, sections: Iterable[str]) -> str:
    """Build a page from its parts, which are HTML; empty ones are left out."""
    head = f"<h1>{escape(title)}</h1>\n<p class=about>{escape(about)}</p>"
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(filter(None, (head, *sections)))
        + "\n</body>\n</html>\n"
    )


def inline_figure(svg: str, label: str, caption: str) -> str:
    """Build a figure of an SVG, without its XML header; the caption is HTML."""
    drawing = re.sub(r"\A.*?(?=<svg)", "", svg, flags=re.DOTALL)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
    return f"<figure>\n{drawing}\n<figcaption>{caption}</figcaption>\n</figure>"


def section(title: str, body: str) -> str:
    """Build a heading with its body, which is HTML; nothing where that is empty."""
    return f"<h2>{title}</h2>\n{body}" if body else ""


def table(heads: Cells, rows: Sequence[Cells], numeric: Iterable[int] = ()) -> str:
    """Build a table without its empty columns; the indices in `numeric` are aligned to the right."""
    columns = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    right = set(numeric)

    def line(cells: Cells, tag: str) -> str:
        marks = (f"<{tag} class=number>" if index in right else f"<{tag}>" for index in columns)
        return (
            "<tr>"
            + "".join(f"{mark}{escape(cells[i])}</{tag}>" for mark, i in zip(marks, columns, strict=True))
            + "</tr>"
        )

    head = f"<thead>{line(heads, 'th')}</thead>\n" if any(heads) else ""
    body = "\n".join(line(row, "td") for row in rows)
    return f"<div class=wide><table>\n{head}<tbody>\n{body}\n</tbody>\n</table></div>"
