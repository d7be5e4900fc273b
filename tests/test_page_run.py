"""What runs pages finds what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_run import Failed, Run
from shown_packets import difference
from shown_types import Example
from snippets import Page

pytestmark = pytest.mark.slow

BLOCK = "```{}\n{}\n```\n"
WRONG = {
    "a command that fails": ("sh", "false", "ended with status 1"),
    "a program that is not there": ("sh", "shmoze run", "not found"),
    "an extra that is not there": ("sh", "pip install 'shmooze[metrik]'", "no extra metrik"),
    "a package that nobody tests": ("sh", "pip install leftpad", "leftpad is not in setup.py"),
    "another output": ("console", "$ echo two\none", "prints something else: one"),
    "a program with a mistake": ("python", "import nonsense", "No module named 'nonsense'"),
    "a part of a program": ("python", "self.rm()", "this is no program"),
    "a misspelt key": ("json", '{"ports": {"wsgi": 1}, "wsgi_timout": 3}', "did you mean"),
    "a misspelt key of a type": (
        "json",
        '"x": {"process": ["true"], "restrat": "always"}',
        "no settings have these keys",
    ),
    "a bad value": ("json", '{"ports": {"wsgi": 1}, "wsgi_timeout": -1}', "wsgi_timeout"),
    "no JSON": ("json", '{"a": }', "JSONDecodeError"),
    "a script with a mistake": ("js", "const = 1;", "SyntaxError"),
    "a page with a mistake": ("html", "<script>let let</script>", "SyntaxError"),
    "a language that nobody knows": ("cobol", "STOP RUN", "nobody knows how to check cobol"),
}


def example() -> Example:
    raise AssertionError("these pages need no application")


def run(text: str, folder: Path) -> None:
    page = Page("docs/x.md", text)
    made = Run(page, folder, example)
    made.use_application = lambda: None  # type: ignore[method-assign]
    made._commands = lambda: _NoCommands()  # type: ignore[method-assign, assignment, return-value]
    try:
        for block in page.blocks:
            made.run(block)
        made.start_what_is_left()
    finally:
        made.close()


class _NoCommands:
    def named_in(self, heading: str) -> None:
        return None


@pytest.mark.parametrize("name", WRONG)
def test_a_block_that_is_wrong_is_found(name: str, tmp_path: Path) -> None:
    language, text, words = WRONG[name]
    with pytest.raises(Failed) as found:
        run(BLOCK.format(language, text), tmp_path)
    assert str(found.value).startswith("docs/x.md:1: ")
    assert words in str(found.value)


RIGHT = """
Save this as `settings.json`:

```json
{"ports": {"wsgi": 8080, "pool": 5590}, "public": ["ports"],
 "pool": {"modules": {"well": {"process": ["true"]}}}}
```

`a.py`:

```python
print("hello")
```

```sh
cd .
export WHO=Ada
shmooze check settings.json
```

```sh
echo "{\\"who\\": \\"$WHO\\", \\"n\\": 1}"
```

```json
{"who": "Bob", …}
```

```console
$ python3 a.py
hello
$ cat none
cat: none: No such file or directory
```
"""


def test_a_page_that_is_right_is_run_in_one_folder_and_one_environment(tmp_path: Path) -> None:
    run(RIGHT, tmp_path)


def test_a_service_that_no_command_starts_must_start(tmp_path: Path) -> None:
    text = "`s.py`:\n\n" + BLOCK.format(
        "python", "def serve_forever():\n    1 / 0\n\n\nserve_forever()"
    )
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(text, tmp_path)


def test_names_of_files_headings_and_reasons_are_read() -> None:
    text = "# One\n\nSave this as `a.py`:\n\n```python\n1\n```\n\n<!-- not run: needs a GPU -->\n"
    first, second = Page("x.md", f"{text}```sh\nb\n```\n").blocks
    assert (first.file, first.heading, first.line, first.reason) == ("a.py", "One", 5, None)
    assert (second.file, second.reason) == (None, "needs a GPU")


@pytest.mark.parametrize(
    ("shown", "real", "words"),
    [
        ({"a": 1}, {"a": 2.5, "b": 1}, None),
        ({"a": 1}, {"b": 1}, "has no a"),
        ({"a": [{"b": ""}]}, {"a": [{"b": 1}]}, r"\.a\[0\]\.b is 1"),
        ([1, 2], {"a": 1}, "not a list"),
        ({"UID": {"x": 1}}, {}, None),
    ],
)
def test_answers_are_compared_in_shape(shown: object, real: object, words: str | None) -> None:
    found = difference(shown, real)
    assert found is None if words is None else re.search(words, found or "")
