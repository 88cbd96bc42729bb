"""Draws docs/picture.svg: from a trained network to a core, and what happens inside the core. Equal code, equal picture."""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "docs" / "picture.svg"
WIDTH, HEIGHT = 940, 372
INK, MUTED, LINE, SOFT, ACCENT, PALE = "#1f2933", "#5b6773", "#aab4bd", "#f6f8f9", "#0f766e", "#e6f4f1"
TALL = 54


def box(x: int, y: int, width: int, title: str, detail: str, *, strong: bool = False) -> list[str]:
    """A box with two lines of text."""
    fill, edge = (PALE, ACCENT) if strong else (SOFT, LINE)
    middle = x + width / 2
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{TALL}" rx="7" fill="{fill}" stroke="{edge}"/>',
        f'<text x="{middle:g}" y="{y + 23}" class="title">{title}</text>',
        f'<text x="{middle:g}" y="{y + 41}" class="detail">{detail}</text>',
    ]


def arrow(*points: tuple[int, int], dashed: bool = False) -> str:
    """A line with a head at its end."""
    path = " ".join(f"{'M' if index == 0 else 'L'}{x} {y}" for index, (x, y) in enumerate(points))
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="{path}" class="arrow"{dash} marker-end="url(#head)"/>'


def note(x: int, y: int, text: str, kind: str = "note") -> str:
    """A line of text that begins at (x, y)."""
    return f'<text x="{x}" y="{y}" class="{kind}">{text}</text>'


def flow() -> list[str]:
    """The upper half: files and programs."""
    parts = [note(20, 30, "From a trained network to verified hardware", "heading")]
    parts += box(20, 66, 128, "PyTorch model", "trained, float")
    parts += box(214, 66, 128, "Network", "small integers")
    parts += box(408, 66, 128, "Image", "program, weights")
    parts += box(610, 46, 140, "Verilog core", "simulated, routed", strong=True)
    parts += box(610, 116, 140, "Golden model", "runs the same bytes")
    parts += [arrow((148, 93), (211, 93)), arrow((342, 93), (405, 93))]
    parts += [arrow((536, 86), (607, 74)), arrow((536, 100), (607, 142))]
    parts += [arrow((750, 73), (788, 96)), arrow((750, 143), (788, 120))]
    parts += [f'<text x="864" y="106" class="title" fill="{ACCENT}">equal, bit for bit</text>']
    parts += ['<text x="864" y="124" class="detail">and cycle for cycle</text>']
    parts += [note(154, 86, "quantize", "verb"), note(350, 86, "compile", "verb")]
    return parts


def machine() -> list[str]:
    """The lower half: the core's dataflow."""
    parts = [note(20, 216, "Inside the core: a zero activation costs one slot and no multiplication", "heading")]
    titles = (
        ("Scan", "each activation once"),
        ("Quantizer", "counts hits, 0 vanishes"),
        ("Groups", "walk packed weights"),
        ("Lanes", "count x weight, add"),
        ("Drain", "rescale, clamp, pool"),
    )
    for index, (title, detail) in enumerate(titles):
        parts += box(20 + 184 * index, 240, 164, title, detail, strong=title == "Quantizer")
        if index:
            parts.append(arrow((20 + 184 * index - 20, 267), (20 + 184 * index - 3, 267)))
    parts += box(20, 312, 164, "Data memory", "tensors and program")
    parts += [arrow((102, 312), (102, 297)), arrow((838, 294), (838, 339), (187, 339))]
    parts.append(note(420, 333, "raw activations of the next layer, one byte each"))
    return parts


def document() -> str:
    """The picture."""
    style = (
        "text{font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif}"
        f".title{{font-size:14px;font-weight:600;text-anchor:middle;fill:{INK}}}"
        f".detail{{font-size:12px;text-anchor:middle;fill:{MUTED}}}"
        f".heading{{font-size:15px;font-weight:600;fill:{INK}}}"
        f".note,.verb{{font-size:12px;fill:{MUTED}}} .verb{{font-size:11px}}"
        f".arrow{{fill:none;stroke:{MUTED};stroke-width:1.4}}"
    )
    marker = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    head = f'{marker}<path d="M0 0L8 4L0 8z" fill="{MUTED}"/></marker>'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Galton: flow and core">',
        f"<style>{style}</style><defs>{head}</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *flow(),
        *machine(),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(TARGET.read_text() != document())
    TARGET.write_text(document())
