"""The pages of the documentation: links, and the site that scripts/docs builds of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from support import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*/README.md"),
    ]
)
#: Attributes by which a page loads something without a click.
LOADING = {
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("iframe", "src"),
    ("source", "src"),
    ("form", "action"),
    ("link", "href"),
}


# The Markdown, as GitHub shows it.


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^( *)(```+).*?^\1\2$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page, and those that it sets itself."""
    found: set[str] = set()
    text = prose(page.read_text())
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        number = sum(
            each == slug or re.fullmatch(rf"{slug}-\d+", each) is not None for each in found
        )
        found.add(f"{slug}-{number}" if number else slug)
    return found | set(re.findall(r'<a id="([^"]+)">', text))


def broken_links(page: Path) -> Iterator[str]:
    """The links of a page to a file or heading of this repository that is not there."""
    links = re.findall(r"\]\(<?([^)\s>]+)>?\)", re.sub(r"`[^`\n]*`", "", prose(page.read_text())))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, anchor = urldefrag(link)
        target = page.parent / unquote(path) if path else page
        if not target.is_file():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_to_a_file_and_to_a_heading(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_links_are_checked(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `page`\n[1](nowhere.md) [2](#no) [3](#a-page) [4](page.md#a-page) [5](page.md#no)\n"
    )
    assert [link.partition(":")[0] for link in broken_links(page)] == [
        *("nowhere.md", "#no", "page.md#no")
    ]


def test_the_readme_fits_two_hundred_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@pytest.fixture(scope="module")
def first_application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README shows."""
    folder = tmp_path_factory.mktemp("first")
    text = (ROOT / "README.md").read_text()
    for name, content in re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", text, re.M | re.S):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.slow
def test_the_module_of_the_readme_keeps_to_the_protocol(first_application: Path) -> None:
    argv = [sys.executable, "-m", "shmooze.check_module", "--args", '{"seconds": 5}']
    argv += ["--json", sys.executable, "timer.py"]
    done = subprocess.run(argv, cwd=first_application, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_settings_of_the_readme_can_be_used(first_application: Path) -> None:
    argv = [sys.executable, "-m", "shmooze", "check", str(first_application)]
    done = subprocess.run(argv, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it runs wsgi, queue" in done.stdout
    assert (first_application / "page" / "index.html").is_file()


@pytest.mark.slow
def test_the_generated_pages_are_as_the_code_says() -> None:
    script = ROOT / "scripts" / "reference_pages.py"
    done = subprocess.run([sys.executable, script, "--check"], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


# The site.


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build pages in the same way as scripts/docs."""
    pytest.importorskip("sphinx")
    options = re.search(r"sphinx-build (.*?) -c docs", (ROOT / "scripts" / "docs").read_text())
    assert options is not None
    argv = [
        sys.executable,
        "-m",
        "sphinx",
        *options[1].split(),
        "-c",
        ROOT / "docs",
        source,
        target,
    ]
    return subprocess.run(argv, cwd=ROOT, text=True, capture_output=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages, built."""
    target = tmp_path_factory.mktemp("pages")
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return target


class Tags(HTMLParser):
    """The links of a page, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in LOADING and value is not None:
                self.loaded.add(value)
            if (tag, name) == ("a", "href") and value is not None:
                self.links.add(value)


@pytest.mark.slow
def test_every_page_is_built_and_can_be_reached_from_the_first_one(site: Path) -> None:
    todo, seen = [site / "docs" / "index.html"], set()
    while todo:
        page = todo.pop().resolve()
        if page in seen or page.suffix != ".html" or not page.is_relative_to(site.resolve()):
            continue
        seen.add(page)
        links = {urldefrag(link)[0] for link in Tags(page).links if not re.match(r"\w+:", link)}
        todo.extend(page.parent / unquote(link) for link in links if link)
    built = {page.relative_to(site.resolve()).with_suffix(".md") for page in seen}
    assert {page.relative_to(ROOT) for page in PAGES} - built == set()


@pytest.mark.slow
def test_the_site_begins_with_the_index(site: Path) -> None:
    assert "url=docs/index.html" in (site / "index.html").read_text()


@pytest.mark.slow
def test_the_search_knows_every_page(site: Path) -> None:
    assert (site / "search.html").is_file()
    index = (site / "searchindex.js").read_text()
    for page in PAGES:
        assert f'"{page.relative_to(ROOT).with_suffix("")}"' in index


@pytest.mark.slow
def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    loaded = {each for page in site.rglob("*.html") for each in Tags(page).loaded}
    styles = "".join(file.read_text() for file in site.rglob("*.css"))
    loaded.update(re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", styles))
    assert loaded
    assert [each for each in loaded if re.match(r"(?!data:)(\w+:|//)", each)] == []


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What is said of two pages, one with broken links, and one that no index links to."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "docs").mkdir()
    links = ("nowhere.md", "#no-such-heading", "index.md#no-such-heading")
    text = "\n\n".join(["# Index", *(f"[A link]({link})" for link in links)])
    (folder / "docs" / "index.md").write_text(text)
    (folder / "docs" / "other.md").write_text("# Other\n")
    return build(folder, folder / "built")


@pytest.mark.slow
def test_a_broken_link_fails_the_build(broken: subprocess.CompletedProcess[str]) -> None:
    assert broken.returncode == 1
    for line in (3, 5, 7):
        assert re.search(rf"index\.md:{line}: WARNING: .*\[myst\.xref_missing\]", broken.stderr)


@pytest.mark.slow
def test_a_page_that_no_index_links_to_fails_the_build(
    broken: subprocess.CompletedProcess[str],
) -> None:
    assert broken.returncode == 1
    assert "other.md: WARNING: document isn't included in any toctree" in broken.stderr
