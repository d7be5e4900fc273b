"""Every block of code on every page is run: here, or by a test of its own that CLAIMS names.

The conventions for pages are at the top of snippets.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import shown_types
from page_run import Failed, Run
from shown_packets import Commands
from shown_syntax import Missing
from shown_types import Example
from snippets import REASONS, Block, all_pages
from support import ROOT, Client, Site

pytestmark = pytest.mark.slow

CLUSTER = "test_the_example_for_two_terminals_runs_as_it_is_pasted"
LOOP = "test_a_loop_that_reads_lines_is_a_module"
CHECKED = "test_modules_of_the_page_keep_to_the_protocol"
DESCRIBED = "test_examples_of_the_page_work_as_pasted"
MODULE = "test_lines_of_a_module_do_what_the_page_says"
#: Blocks that a test of their own runs: by page, then by how the block begins or by the name of its
#: file. The value is the name of the test.
CLAIMS: dict[str, dict[str, str]] = {
    "docs/how-to/adapters.md": {
        "$ shmz add convert": "test_ffmpeg_converts_with_progress",
        "train.py": "test_lines_of_json_are_parameters",
        "hello.py": LOOP,
        "hello.mjs": LOOP,
        "hello.sh": LOOP,
    },
    "docs/how-to/backup.md": {
        "$ ": "test_each_backup_of_a_busy_queue_has_all_that_was_acknowledged_and_is_restored",
    },
    "docs/how-to/cluster.md": {
        'pip install "shmooze[cluster]"': CLUSTER,
        '{\n    "ports": {"wsgi": 8080, "jobs": 5590}': CLUSTER,
        "export SHMOOZE_SETTINGS": CLUSTER,
        "shmz -e jobs add count": CLUSTER,
    },
    "docs/tutorials/jukebox.md": {
        "shmz add track": "test_track_is_added_in_a_terminal_as_the_tutorial_does",
        "export SHMOOZE_TOKEN=TOKEN\nshmz -e guests": (
            "test_host_invites_in_a_terminal_as_the_tutorial_does"
        ),
    },
    "docs/how-to/hooks.md": {
        '{"id": "7f0c': "test_a_hook_gets_what_the_page_shows",
        "signed = ": "test_signatures_are_checked_by_the_lines_of_the_page",
    },
    "docs/how-to/logs.md": {'{"time"': "test_a_line_of_a_log_in_json_has_the_keys_of_the_page"},
    "docs/how-to/mcp.md": {
        '{"mcpServers"': "test_mcp_clients_are_configured_with_the_url_of_the_page"
    },
    "docs/how-to/migrate.md": {
        "import shmooze.lib.service": "test_the_old_service_is_refused",
        "from gevent": "test_programs_for_2_0_of_the_page_on_1_2_4_run",
    },
    "docs/how-to/nginx.md": {
        "# nginx -t": "test_health_is_told_without_a_token",
    },
    "docs/how-to/operations.md": {"class Volume": "test_a_service_reports_what_is_not_well"},
    "docs/how-to/other-languages.md": {
        "python -m shmooze.check_module --args": ("test_examples_keep_to_the_protocol"),
        "hello.mjs": CHECKED,
        "ticker.sh": CHECKED,
        "ticks.sh": CHECKED,
    },
    "docs/how-to/supervisord.md": {
        "$ supervisor": "test_supervisord_runs_the_application_of_the_page_and_its_commands_work",
    },
    "docs/how-to/systemd.md": {
        "$ systemd-analyze": "test_systemd_has_nothing_to_say_about_the_units",
    },
    "docs/how-to/troubleshooting.md": {
        "$ python -m shmooze.check_module": ("test_check_module_works_as_the_page_shows_it"),
    },
    "docs/how-to/upgrade.md": {
        "$ sqlite3": "test_a_state_file_of_the_first_form_is_taken_over",
    },
    "docs/reference/client.md": {
        "client.queue.add": "test_arguments_of_modules_and_of_commands_are_told_apart",
        "with client.queue.events": "test_a_loop_over_events_shows_all_modules",
    },
    "docs/reference/descriptions.md": {
        "{": DESCRIBED,
        "$ shmz add countdown": DESCRIBED,
        "class Countdown": "test_class_of_the_page_works_as_pasted",
    },
    "docs/reference/modules.md": {
        "hello.py": "test_hello_says_hello",
        "count.py": "test_worker_plays_pauses_and_ends",
        "lamp.py": "test_lamp_glows_and_is_dimmed",
        "scratch.py": "test_scratch_removes_its_folder",
        "book.py": "test_book_goes_on_where_it_was",
        "player.py": "test_player_of_the_page_plays_a_file_and_leaves",
        "greenlets.py": "test_greenlets_count_down",
        "$ python stage.py": "test_stage_shows_the_session_of_the_page",
        "$ python lamp.py": "test_lamp_describes_itself_as_the_page_shows",
        "self.": MODULE,
        "def ": "test_functions_of_a_module_do_what_the_page_says",
        "class Dream": "test_keys_of_a_type_are_attributes_of_its_class",
    },
    "docs/reference/protocol.md": {
        "$ curl -N": "test_events_have_the_shape_of_those_on_the_page",
    },
    "docs/reference/shmz.md": {
        "$ shmz watch | cat": "test_in_a_pipe_each_change_is_a_line",
        "source <(": "test_script_is_valid_for_its_shell",
    },
    "examples/docker/README.md": {
        "docker build": ("test_its_entry_point_serves_and_ends_as_process_1_of_an_ordinary_user")
    },
}

#: The names of all tests.
TESTS = {
    name
    for file in (ROOT / "tests").glob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
}
PAGES = {page.name: page for page in all_pages()}


def claim_of(block: Block) -> str | None:
    """The test that runs a block elsewhere, if there is one."""
    claims = CLAIMS.get(block.page, {})
    for beginning, test in claims.items():
        if beginning == block.file or block.text.lstrip().startswith(beginning):
            return test
    return None


def is_run_here(block: Block) -> bool:
    return not block.is_output and block.reason is None and claim_of(block) is None


@pytest.fixture(scope="module")
def example(
    make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Example]:
    """Starts the example application when a page first needs it."""
    started: list[Example] = []

    def start() -> Example:
        if not started:
            values = shown_types.settings(tmp_path_factory.mktemp("example"))
            programs = {"vol": values["vol"]["program"]}
            services = ("wsgi", "queue", "pool", "vol")
            site = make_shared_site(services=services, settings=values, programs=programs).start()
            usual = {"8080": "wsgi", "5580": "queue", "5590": "pool", "5600": "vol"}
            ports = {port: str(site.ports[name]) for port, name in usual.items()}
            described = [site.ask(name, "describe") for name in services[1:]]
            for kind in ("countdown", "ticker"):  # so that there is a past
                site.ask("queue", "add", type=kind)
            databases = [Path(values["state_path"]), Path(values["log_database_path"])]
            clients = [Client(site, name) for name in ("queue", "pool")]
            commands = Commands(described)
            started.append(Example(ports, commands, site.settings, databases, clients))
        return started[0]

    return start


@pytest.mark.parametrize("name", [n for n, p in PAGES.items() if any(map(is_run_here, p.blocks))])
def test_blocks_of_a_page_work_from_top_to_bottom(
    name: str, tmp_path: Path, example: Callable[[], Example]
) -> None:
    run = Run(PAGES[name], tmp_path, example)
    problems, missing = [], set()
    try:
        for block in PAGES[name].blocks:
            try:
                if is_run_here(block):
                    run.run(block)
                elif block.file is not None and block.reason is None:
                    run.keep(block)  # later blocks may need the file
            except Failed as problem:
                problems.append(str(problem))
            except Missing as problem:
                missing.add(str(problem))
        run.start_what_is_left()
    finally:
        run.close()
    if problems:
        pytest.fail("\n\n".join(problems), pytrace=False)
    if missing:
        pytest.skip("; ".join(sorted(missing)))


# The claims.


@pytest.mark.parametrize("page", CLAIMS)
def test_every_claim_has_a_block_and_a_test(page: str) -> None:
    if not (ROOT / page).exists():
        pytest.skip(f"there is no {page}")
    for beginning, test in CLAIMS[page].items():
        assert test in TESTS, test
        claimed = [block for block in PAGES[page].blocks if claim_of(block) == test]
        assert claimed, f"{page} has no block that begins with {beginning}"


def test_every_reason_is_one_of_the_list() -> None:
    reasons = {b.place: b.reason for page in PAGES.values() for b in page.blocks if b.reason}
    assert not {place: said for place, said in reasons.items() if said not in REASONS}


def test_every_block_is_output_or_run_or_claimed_or_has_a_reason() -> None:
    for page in PAGES.values():
        for block in page.blocks:
            ways = [block.is_output, block.reason is not None, is_run_here(block)]
            ways.append(not ways[0] and not ways[1] and claim_of(block) is not None)
            assert ways.count(True) == 1, block.place
