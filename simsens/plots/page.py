"""A page of HTML that needs nothing else: no network, no script, readable small and printed.

Everything that is said goes through ``text``: names, reasons and provenance come from files, and
files come from strangers.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from simsens.plots.style import printable

LONGEST = 4000  # letters of one text
# Should a stranger's text ever get past ``text``: nothing is loaded, nothing runs.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; color: #1a1a1a;
  background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  Arial, sans-serif; -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .35rem; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .6rem; padding-top: .7rem; border-top: 1px solid #d5d5d5; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.about { color: #555; }
.verdict { margin: 1.1rem 0 0; padding: .7rem 1rem; border-left: 5px solid #00704f;
  background: #f1f7f5; max-width: none; font-size: 1.05rem; }
.verdict.alarm { border-color: #b03a00; background: #fbf2ed; }
.figures { columns: 2 24rem; column-gap: 1.75rem; margin-top: 1.2rem; }
figure { margin: 0; padding-bottom: 1.2rem; break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: .85rem; color: #555; line-height: 1.4; margin-top: .3rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
.side { display: flex; flex-wrap: wrap; gap: .4rem 3rem; }
.side > * { max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.35; }
caption { text-align: left; color: #555; font-size: .85rem; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: baseline; padding: .3rem 1.4rem .3rem 0; }
thead th { border-bottom: 1.5px solid #1a1a1a; font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
tbody tr + tr > * { border-top: 1px solid #e6e6e6; }
table.numbers :is(td, thead th + th) { text-align: right; }
table.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
table.words td { overflow-wrap: anywhere; }
pre { background: #f6f6f6; padding: .8rem 1rem; font: .82rem/1.5 ui-monospace, "SF Mono", Menlo,
  Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: .5rem 0; }
@media print { @page { margin: 16mm 14mm; } body { padding: 0; max-width: none; font-size: 10pt; }
  .scroll { overflow: visible; } h2 { break-after: avoid; } tr, pre { break-inside: avoid; }
  .figures { columns: 2; } thead, caption { break-after: avoid; }
  .verdict, pre { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def text(said: Any) -> str:
    """Anything as text of the page, escaped; what is very long is cut and says so.

    Example:
        >>> text("<script>")
        '&lt;script&gt;'
    """
    words = said if isinstance(said, str) else str(said)
    if len(words) > LONGEST:
        words = f"{words[:LONGEST]} … ({len(words)} letters)"
    return html.escape(printable(words))


def number(value: float, digits: int = 6) -> str:
    """A number in words that a person reads: ``any`` for infinity.

    Example:
        >>> number(0.1 + 0.2), number(float("inf")), number(float("nan"))
        ('0.3', 'any', 'not a number')
    """
    value = float(value)
    if np.isnan(value):
        return "not a number"
    if np.isinf(value):
        return "any" if value > 0 else "-∞"
    return f"{value + 0.0:.{digits}g}"  # and not -0


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", *, kind: str = "numbers"
) -> str:
    """A table whose first column names the rows; nothing without rows.

    Args:
        head: of the columns; no head when all are empty.
        rows: entries, numbers or any text.
        caption: what it is, any text.
        kind: ``"numbers"``, set at the right, or ``"words"``.

    Example:
        >>> "<td>2</td>" in table(["name", "value"], [["sigma", 2.0]])
        True
    """
    body = "".join(
        f"<tr><th scope=row>{text(row[0])}</th>{''.join(map(_cell, row[1:]))}</tr>" for row in rows
    )
    if not body:
        return ""
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    heads = "".join(f"<th scope=col>{text(words)}</th>" for words in head)
    above = f"<thead><tr>{heads}</tr></thead>" if any(head) else ""
    inside = f"{said}{above}<tbody>{body}</tbody>"
    return f"<div class=scroll><table class={kind}>{inside}</table></div>"


def figure(svg: str, caption: str = "") -> str:
    """A drawing with its caption; ``svg`` is markup of our own, the caption any text."""
    said = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{said}</figure>"


def section(heading: str, *parts: str) -> str:
    """A part of the page under a heading; nothing when it is empty. The parts are markup."""
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{text(heading)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(words: Any, kind: str = "") -> str:
    """A paragraph of any text, of one of the kinds of the style sheet."""
    return f'<p class="{text(kind)}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def preformatted(words: Any) -> str:
    """Text that keeps its lines."""
    return f"<pre>{text(words)}</pre>"


def document(title: str, *parts: str) -> str:
    """The whole page; the parts are markup."""
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _cell(value: Any) -> str:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return f"<td>{number(float(value)) if is_number else text(value)}</td>"
