"""Eval cards as self-contained HTML pages and as pictures for reports."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from basrelief.evaluate.card import EvalCard
from basrelief.evaluate.confusion import confusion_picture
from basrelief.evaluate.result import Cell, Metric, Table
from basrelief.markup import standalone_page, visible
from basrelief.render.canvas import ACCENT, MUTED, TEXT, Canvas

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2026; max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.quiet, caption, .quiet { color: #69707a; } code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: #f4f5f7; padding: .7rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #dee1e5; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { position: relative; height: .8rem; background: #eceef1; min-width: 9rem; margin-top: .35rem; }
.bar i { position: absolute; inset: 0 auto 0 0; background: #2262a8; }
.bar b { position: absolute; top: 35%; height: 30%; background: #1c2026; }
.wrong { color: #a11; } .warning { color: #8a5a00; } img { max-width: 100%; height: auto; }
""".strip()


def card_page(card: EvalCard) -> str:
    """Return a card as one HTML page without scripts, other files or network access; all text is escaped."""
    parts = [
        f"<h1>{_text(card.title)}</h1>",
        f'<p class="quiet">protocol <code>{_text(card.protocol_hash)}</code> · {_text(card.run.date)} · {_text(card.device)}</p>',
        _metrics(card),
        _paper(card),
        _list("Notes", card.notes),
        _confusion(card),
        *(_table(table) for table in card.tables),
        _data(card),
        *(_settings(f"Protocol: {name}", card.protocol[name]) for name in ("model", "data", "options") if card.protocol[name]),
        f"<h2>Command</h2><pre>{_text(card.command)}</pre>",
        _settings("Run", _run(card)),
    ]
    return standalone_page(card.title, _STYLE, "\n".join(filter(None, parts)))


def card_picture(card: EvalCard) -> Image.Image:
    """Draw the metrics of a card beside the paper's numbers, the differences in protocol, and the confusion matrix."""
    lines = [*(f"differs: {one}" for one in card.differences), *card.notes]
    height = 110 + 34 * len(card.metrics) + 20 * len(lines)
    below = _matrix(card)
    page = Canvas(max(760, below.width if below else 0), height + (below.height if below else 0))
    page.text((24, 34), card.title, width=page.image.width - 48, size=19)
    page.text((24, 56), f"protocol {card.protocol_hash}   {card.device}", width=page.image.width - 48, size=12, color=MUTED)
    for i, metric in enumerate(card.metrics):
        _draw_metric(page, 96 + 34 * i, metric, _published(card, metric))
    for i, line in enumerate(lines):
        page.text((24, 100 + 34 * len(card.metrics) + 20 * i), line, width=page.image.width - 48, size=12, color=MUTED)
    if below:
        page.image.paste(below, (0, height))
    return page.image


def _draw_metric(page: Canvas, base: int, metric: Metric, paper: str) -> None:
    page.text((24, base), metric.title, width=250, size=14)
    page.bar((284, base - 11), metric.value / 100 if metric.unit == "%" else float("nan"), width=180, height=12, color=ACCENT)
    page.text((476, base), _value(metric), width=70, size=15, color=TEXT, align="right")
    page.text((556, base), f"{metric.low:.1f} to {metric.high:.1f}", width=90, size=12, color=MUTED)
    page.text((650, base), paper, width=page.image.width - 660, size=12, color=MUTED)


def _metrics(card: EvalCard) -> str:
    columns = (("metric", ""), ("value", "number"), ("95 % interval", "number"), ("", ""), ("paper", "number"), ("n", "number"))
    rows = [
        f"<tr><td>{_text(f.title)}</td>{_number(_value(f))}{_number(f'{f.low:.1f} to {f.high:.1f}')}<td>{_bar(f)}</td>"
        f"{_number(_published(card, f))}{_number(f'{f.count:,}')}</tr>"
        for f in card.metrics
    ]
    return f'<div class="wide"><table><tr>{_head(columns)}</tr>{"".join(rows)}</table></div>'


def _paper(card: EvalCard) -> str:
    if not card.paper:
        return ""
    numbers = [f"{n.metric} {n.value:g} % ({n.source})" for n in card.paper]
    same = "No checked setting differs from the paper's." if not card.differences else ""
    return (
        _list("Published numbers", numbers)
        + _list("Differences from the paper's protocol", card.differences)
        + (f"<p>{same}</p>" if same else "")
    )


def _published(card: EvalCard, metric: Metric) -> str:
    return " / ".join(f"{n.value:g}" for n in card.paper if n.metric == metric.name)


def _data(card: EvalCard) -> str:
    rows = [
        f'<tr><td>{_text(f.check)}</td><td class="{_text(f.level)}">{_text(f.level)}</td><td>{_text(f.fact)} {_text(f.remedy)}</td></tr>'
        for f in card.findings
    ]
    checks = f"<h2>Checks of the data</h2><table>{''.join(rows)}</table>" if rows else ""
    failures = [f"{name}: {error}" for name, error in card.failures[:50]]
    more = f" ({len(card.failures)}, the first 50)" if len(card.failures) > 50 else ""
    return checks + _list(f"Shapes that could not be used{more}", failures)


def _table(table: Table) -> str:
    kinds = ["number" if any(isinstance(row[i], int | float) for row in table.rows) else "" for i in range(len(table.columns))]
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{_text(_cell(cell))}</td>' for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in table.rows
    )
    head = _head(zip(table.columns, kinds, strict=True))
    return f'<h2>{_text(table.title.capitalize())}</h2><div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _settings(title: str, settings: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td>{_text(key)}</td><td><code>{_text(_cell(value))}</code></td></tr>" for key, value in settings.items())
    return f"<h2>{_text(title)}</h2><table>{rows}</table>"


def _run(card: EvalCard) -> dict[str, Any]:
    memory = "not known" if card.run.peak_megabytes is None else f"{card.run.peak_megabytes:,.0f} MB"
    return {
        "time": f"{card.run.seconds:,.1f} s, {card.run.speed}",
        "peak memory": memory,
        "licence of the weights": card.licence,
        **card.versions,
    }


def _matrix(card: EvalCard) -> Image.Image | None:
    if not card.confusion:
        return None
    confusion = np.zeros((len(card.labels), len(card.labels)), dtype=np.int64)
    rows, columns, counts = np.array(card.confusion).T
    confusion[rows, columns] = counts
    return confusion_picture(confusion, card.labels, title="Confusion matrix")


def _confusion(card: EvalCard) -> str:
    picture = _matrix(card)
    if picture is None:
        return ""
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    source = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<h2>Confusion</h2><img alt="Confusion matrix" width="{picture.width}" src="data:image/png;base64,{source}">'


def _list(title: str, lines: Sequence[str]) -> str:
    return f"<h2>{_text(title)}</h2><ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>" if lines else ""


def _head(columns: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<th class="{kind}">{_text(name)}</th>' for name, kind in columns)


def _bar(metric: Metric) -> str:
    if metric.unit != "%" or math.isnan(metric.value):
        return ""
    low, width = max(metric.low, 0), max(min(metric.high, 100) - max(metric.low, 0), 0.3)
    return f'<div class="bar"><i style="width:{metric.value:.2f}%"></i><b style="left:{low:.2f}%;width:{width:.2f}%"></b></div>'


def _number(text: str) -> str:
    return f'<td class="number">{_text(text)}</td>'


def _value(metric: Metric) -> str:
    return f"{metric.value:.1f} {metric.unit}".strip()


def _cell(value: Cell | object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _text(words: object) -> str:
    return html.escape(visible(words))
