"""Puts what `galton demo` prints into the README: galton demo | python tools/transcript.py."""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- transcript -->\n```text\n", "```\n"


def replaced(readme: str, transcript: str) -> str:
    """`readme` with `transcript` in place of the one it has.

    Raises ValueError where the README has no place for one, or the transcript does not end well.
    """
    if "0 mismatches" not in transcript or "0 mispredictions" not in transcript:
        raise ValueError("This is no transcript of a demonstration that ended well")
    start = readme.index(BEGIN) + len(BEGIN)
    end = readme.index(END, start)
    lines = [line.rstrip() for line in transcript.strip().splitlines()]
    return readme[:start] + "\n".join(lines) + "\n" + readme[end:]


if __name__ == "__main__":
    TARGET.write_text(replaced(TARGET.read_text(), sys.stdin.read()))
