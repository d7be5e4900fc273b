"""How Sphinx builds the pages: `scripts/docs` runs it from the root of the clone."""

from __future__ import annotations

import re
from typing import Any

project = "shmooze"
copyright = "the authors of shmooze"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "examples/*/README.md",
]
# Folders that are not searched for pages.
exclude_patterns = [".*", "build", "dist", "shmooze*", "static", "tests", "**/node_modules"]

# Headings have the same anchors as on GitHub, and a link to one that is missing is a warning.
myst_heading_anchors = 6
# Many snippets are a part of a JSON object, which the highlighter does not take for JSON.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "shmooze"
html_copy_source = False
html_show_sourcelink = False


def add_contents(app: Any, docname: str, source: list[str]) -> None:
    """Give an index page its place in the navigation: the pages that it links to, in order.

    The pages themselves stay plain Markdown. A page that no index links to is a warning.
    """
    if docname.startswith("examples/"):  # reached by links only
        source[0] = "---\norphan: true\n---\n" + source[0]
    if not docname.endswith("index"):
        return
    links = re.findall(r"^- \[[^]]*\]\(([\w./-]+\.md)\)", source[0], re.MULTILINE)
    source[0] += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(links) + "\n```\n"


def add_first_page(app: Any, failed: Exception | None) -> None:
    """Let the folder that is built begin with the index of the pages."""
    refresh = f"0; url={app.builder.get_target_uri(root_doc)}"
    page = f'<!doctype html><title>shmooze</title><meta http-equiv="refresh" content="{refresh}">'
    (app.outdir / "index.html").write_text(page)


def setup(app: Any) -> None:
    app.connect("source-read", add_contents)
    app.connect("build-finished", add_first_page)
