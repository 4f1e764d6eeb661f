"""Check the documents, without building the site: links have targets, and pages are easy to skim.

Every relative link and anchor has a target. Every page of the site is in a table of contents, and begins with a
sentence. No page is long, and no cell of a table is a paragraph. tests/test_code_blocks.py runs the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEGINNING = re.compile(r"# .+\n\n(?!```|<!--|[#|-])")
CELL_CHARS = 200
PAGE_WORDS = 1_350  # without code: about a minute to skim
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def broken_links(document: Path) -> list[str]:
    """Return the links of a document that have no target."""
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link) and not leads(document, link)]


def leads(document: Path, link: str) -> bool:
    """Return whether a relative link names a file, and its anchor a heading of that file."""
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    if not target.exists():
        return False
    if not anchor:
        return True
    headings = HEADING.findall(CODE.sub("", target.read_text(encoding="utf-8")))
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def orphans() -> list[str]:
    """Return the pages that no table of contents names, except the first page."""
    listed = {ROOT / "docs" / "index.md"}
    for page in ROOT.glob("docs/**/*.md"):
        for entries in TOCTREE.findall(page.read_text(encoding="utf-8")):
            for entry in entries.splitlines():
                if entry and not entry.startswith(":"):
                    listed.update(page.parent.glob(f"{entry}.md"))
    return [f"{page.relative_to(ROOT)}: add it to docs/index.md" for page in {*ROOT.glob("docs/**/*.md")} - listed]


def hard_to_skim(page: Path) -> list[str]:
    """Return what makes a page hard to skim."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT)
    problems = [] if BEGINNING.match(text) else [f"{name}: begin with a title and a sentence for the reader"]
    words = len(CODE.sub("", text).split())
    if words > PAGE_WORDS:
        problems.append(f"{name}: has {words:,} words; split what is over {PAGE_WORDS:,} off by subject")
    for number, line in enumerate(text.splitlines(), 1):
        cells = re.split(r"(?<!\\)\|", LINK.sub("]", line)) if line.startswith("|") else []
        problems += [
            f"{name}:{number}: a cell has {len(cell)} characters; put what is over {CELL_CHARS} below the table"
            for cell in cells
            if len(cell) > CELL_CHARS
        ]
    return problems


def main() -> int:
    documents = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")])
    problems = [f"{document.relative_to(ROOT)}: {link}" for document in documents for link in broken_links(document)]
    problems += orphans()
    problems += [problem for page in sorted(ROOT.glob("docs/**/*.md")) for problem in hard_to_skim(page)]
    print("\n".join(problems) or f"{len(documents)} documents are in order")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
