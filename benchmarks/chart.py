"""The chart: an SVG with one panel for each metric, bars of one scale in it, and the figure beside each bar."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks.roster import OURS

if TYPE_CHECKING:
    from benchmarks.figures import Figures, Metric

COLUMNS = 3
# Lengths in pixels.
MARGIN, GAP = 24, 28
PANEL, NAME, NUMBER = 340, 96, 72
HEAD, ROW, BAR = 34, 20, 12
TITLE = 56
#: Readable on white and on dark pages alike, hence the white ground.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #334155 } .title { font-size: 16px; font-weight: 600; fill: #0f172a }
.head { font-weight: 600; fill: #0f172a } .note { fill: #64748b } .ours text { font-weight: 600; fill: #0f172a }
.bar { fill: #cbd5e1 } .ours .bar { fill: #0d9488 } .failed { fill: #b91c1c }
"""


def text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    """Write some words."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def draw_row(figures: Figures, metric: Metric, peer: str, *, y: float, longest: float) -> str:
    """Draw one peer's bar."""
    value = figures.value(metric, peer)
    parts = [text(NAME - 8, y + BAR, figures.peers[peer], anchor="end")]
    if value is None:
        parts += [text(NAME, y + BAR, "failed", kind="failed")]
    else:
        width = (PANEL - NAME - NUMBER) * value / longest if longest else 0
        parts += [f'<rect class="bar" x="{NAME}" y="{y + 2:g}" width="{width:.1f}" height="{BAR}" rx="2"/>']
        parts += [text(NAME + width + 6, y + BAR, f"{value:,.{metric.digits}f}")]
    return f'<g class="{"ours" if peer == OURS else ""}">{"".join(parts)}</g>'


def draw_panel(figures: Figures, metric: Metric, peers: list[str], *, x: float, y: float) -> str:
    """Draw one metric."""
    hints = {True: ", more is better", False: ", less is better", None: ""}
    longest = max((figures.value(metric, peer) or 0 for peer in peers), default=0)
    bars = [
        draw_row(figures, metric, peer, y=HEAD + ROW * number, longest=longest) for number, peer in enumerate(peers)
    ]
    head = text(0, 12, metric.title, kind="head") + text(0, 27, metric.unit + hints[metric.more_is_better], kind="note")
    return f'<g transform="translate({x:g} {y:g})">{head}{"".join(bars)}</g>'


def draw(figures: Figures, note: str) -> str:
    """Draw all metrics."""
    y = float(TITLE)
    parts = []
    for group, metrics in figures.groups.items():
        peers = [
            peer
            for peer in figures.peers
            if any(figures.value(metric, peer) is not None or figures.failure(metric, peer) for metric in metrics)
        ]
        y += GAP
        parts += [text(MARGIN, y, group, kind="title")]
        y += GAP / 2
        height = HEAD + ROW * len(peers) + GAP
        for number, metric in enumerate(metrics):
            line, column = divmod(number, COLUMNS)
            place = {"x": MARGIN + column * (PANEL + GAP), "y": y + line * height}
            parts += [draw_panel(figures, metric, peers, **place)]
        y += height * ((len(metrics) - 1) // COLUMNS + 1)
    width = 2 * MARGIN + COLUMNS * PANEL + (COLUMNS - 1) * GAP
    head = text(MARGIN, 28, "Benchmark results", kind="title") + text(MARGIN, 46, note, kind="note")
    size = f'width="{width}" height="{y:g}" viewBox="0 0 {width} {y:g}"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    body = "\n".join([f"<style>{STYLE}</style>", ground, head, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n{body}\n</svg>\n'
