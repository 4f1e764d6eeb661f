"""Check the documents: every relative link has a target, and the README's Python runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
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


def run_python(document: Path) -> list[str]:
    """Run the Python blocks of a document, each in its own home, and return the failures."""
    problems = []
    for language, code in CODE.findall(document.read_text(encoding="utf-8")):
        if language != "python":
            continue
        with tempfile.TemporaryDirectory() as home:
            environment = {**os.environ, "HOME": home, "USERPROFILE": home}
            done = subprocess.run(  # noqa: S603 - our own document
                [sys.executable, "-W", "error", "-c", code],
                env=environment,
                capture_output=True,
                encoding="utf-8",
                timeout=120,
                check=False,
            )
        if done.returncode or done.stderr:
            problems.append(f"{document.name}: its Python fails:\n{done.stderr}")
    return problems


def main() -> int:
    documents = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    problems = [f"{document.relative_to(ROOT)}: {link}" for document in documents for link in broken_links(document)]
    problems += run_python(ROOT / "README.md")
    print("\n".join(problems) or f"{len(documents)} documents are in order")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
