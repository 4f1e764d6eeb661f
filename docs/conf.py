"""How Sphinx makes the site: `sphinx-build -W --keep-going docs build/site`, without a network.

With -W, a link without a target, an anchor without a heading, and a page that is in no table of contents end the build.
The sections of the command line, of the Python API and of the JSON objects are made from the code.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_site"))

project = "memcrdt"
author = "The memcrdt authors"
copyright = "the memcrdt authors, Apache License 2.0"  # noqa: A001 - the name that Sphinx reads
release = version = installed("memcrdt")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "reference_tables"]
exclude_patterns = ["_site"]
myst_heading_anchors = 4  # the anchors that code hosts make, so that a link works in both

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
smartquotes = False  # options of commands begin with two dashes
default_role = "literal"  # the docstrings are Markdown: one backquote is code

html_theme = "furo"  # its fonts are those of the reader's system, and its scripts are in the site
html_title = "memcrdt"
html_copy_source = False
html_show_sphinx = False

OUTSIDE = re.compile(r"\]\(((?:\.\./)+(?:examples|benchmarks|memcrdt|tests)/[^)#]+)\)")
FENCE = re.compile(r"^(\s*)```\w*$")


def link_files(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Make links to files outside of docs downloads, because they are no pages of the site."""
    source[0] = OUTSIDE.sub(r"](<path:\1>)", source[0])


def unfence(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Write the examples in docstrings, which are fenced as in Markdown, as reStructuredText."""
    inside = False
    for at, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence and not inside:
            lines[at : at + 1] = [f"{fence[1]}::", ""]
        elif fence:
            lines[at] = ""
        elif inside and line:
            lines[at] = f"    {line}"
        inside ^= bool(fence)


def setup(app: Sphinx) -> None:
    """Register the two changes of sources."""
    app.connect("source-read", link_files)
    app.connect("autodoc-process-docstring", unfence, priority=400)  # before napoleon
