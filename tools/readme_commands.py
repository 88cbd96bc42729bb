"""The commands of a Markdown file: every line of its sh blocks. With --run, runs them in order in the working directory."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path


def commands(text: str) -> list[str]:
    """The commands of the fenced blocks marked sh, comments and empty lines left out, continued lines joined.

    A block that is indented inside a list counts too. Raises ValueError for a block that never ends.
    """
    found: list[str] = []
    inside, pending = False, ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("```"):
            inside = not inside and stripped == "```sh"
            continue
        if not inside or (not pending and (not stripped or stripped.startswith("#"))):
            continue
        if stripped.endswith("\\"):
            pending += stripped[:-1].rstrip() + " "
            continue
        found.append(pending + stripped)
        pending = ""
    if inside or pending:
        raise ValueError("A block of commands never ends")
    return found


def main() -> int:
    """Print the commands, or run them and stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--run", action="store_true", help="run them")
    arguments = parser.parse_args()
    for command in commands(arguments.file.read_text()):
        print(f"$ {command}", flush=True)
        if arguments.run:
            start = time.monotonic()
            code = subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=False).returncode
            print(f"({time.monotonic() - start:.0f} s, exit code {code})", flush=True)
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
