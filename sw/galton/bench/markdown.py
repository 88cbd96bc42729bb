"""The bench's tables in Markdown, as docs/quantizers.md has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from galton.bench.scores import shown
from galton.bench.scoring import Row
from galton.bench.tables import shortened


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; bars within a cell are escaped."""
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def results(rows: Sequence[Row]) -> str:
    """A line for each cell that was measured, by network and rising effective work."""
    good = [row for row in shortened(rows) if "failure" not in row]
    order = {name: place for place, name in enumerate(dict.fromkeys(row["network"] for row in good))}
    return table(
        ("network (float)", "method", "setting", "difference from float", "effective work", "weights used", "image bytes", "s"),
        (
            (
                f"{row['network']} ({score(row['float_score'], row)})",
                f"`{row['method']}`",
                row["setting"],
                error(row["difference"], row["standard_error"], row["unit"]),
                f"{row['effective']:.3f}",
                f"{100 * row['nonzero_weights']:.0f} %",
                f"{row['image_bytes']:,}" if "image_bytes" in row else "-",
                f"{row['seconds']:.1f}",
            )
            for row in sorted(good, key=lambda row: (order[row["network"]], row["effective"]))
        ),
    )


def contests(found: Sequence[Row], champion: str) -> str:
    """A line for each network and each method that the champion is compared with."""
    return table(
        ("network", "other", f"`{champion}` is", "difference", "worst point", "at work", "points", "cheaper"),
        (
            (
                one["network"],
                f"`{one['peer']}`",
                one["verdict"],
                *(
                    (
                        error(one["difference"], one["error"], one["unit"]),
                        error(one["worst"]["difference"], one["worst"]["error"], one["unit"]),
                        f"{one['worst']['work']:.3f}",
                    )
                    if one["points"]
                    else ("", "", "")
                ),
                str(len(one["points"])),
                str(one["cheaper"]),
            )
            for one in found
        ),
    )


def score(value: float, row: Row) -> str:
    """A score with its unit."""
    return f"{shown(value, row['unit'])} {row['unit']}"


def error(difference: float, its_error: float, unit: str) -> str:
    """A difference with its standard error; percent goes without saying."""
    text = f"{shown(difference, unit, sign=True)} ± {shown(its_error, unit)}"
    return text if unit == "%" else f"{text} {unit}"
