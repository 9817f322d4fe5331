"""Checks that every link in the Markdown files to a file or heading of the project leads somewhere."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print each broken link as `file:line: target`; 1 if there are any."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    broken = [line for name in listed.stdout.splitlines() for line in broken_links(ROOT / name)]
    print("\n".join(broken), end="\n" if broken else "")
    return 1 if broken else 0


def broken_links(document: Path) -> Iterator[str]:
    for line, target in links(document.read_text(encoding="utf-8")):
        address = urlsplit(target)
        if address.scheme or address.netloc:
            continue
        file = document.parent / unquote(address.path) if address.path else document
        if not file.exists() or (address.fragment and address.fragment not in anchors(file)):
            yield f"{document.relative_to(ROOT)}:{line}: {target}"


def links(text: str) -> Iterator[tuple[int, str]]:
    """Line and target of each link and image."""
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        line = block.map[0] + 1 if block.map else 0
        for token in block.children or []:
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                yield line, str(target)


def anchors(document: Path) -> set[str]:
    """The names that headings get, as GitHub makes them."""
    tokens = MarkdownIt("commonmark").parse(document.read_text(encoding="utf-8"))
    found: list[str] = []
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            name = anchor(plain(inline))
            repeats = sum(name == before for before in found)
            found.append(f"{name}-{repeats}" if repeats else name)
    return set(found)


def plain(inline: Token) -> str:
    return "".join(part.content for part in inline.children or [])


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
