"""The tutorial of the job runner works as it is shown, and its page does what it says."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator

import pytest
from chromium import needs_chromium
from pages import DESKTOP, PHONE, assert_accessible, fits, open_page
from playwright.sync_api import Browser, Locator, Page, expect
from support import Client, Refusal, Site, wait_until
from tutorials import Tutorial, run

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def tutorial() -> Tutorial:
    return Tutorial("jobs")


@pytest.fixture(scope="module")
def site(tutorial: Tutorial, make_shared_site: Callable[..., Site]) -> Site:
    """The application of the page, where what fails is tried again sooner."""
    return tutorial.start(make_shared_site, {'"retry_delay": 2': '"retry_delay": 0.1'})


@pytest.fixture(scope="module")
def jobs(site: Site) -> Client:
    return Client(site, "jobs", "pool")


@pytest.fixture(scope="module")
def _page(browser: Browser, site: Site) -> Iterator[Page]:
    with open_page(browser, site.url, PHONE) as page:
        yield page


@pytest.fixture
def page(_page: Page, jobs: Client) -> Iterator[Page]:
    yield _page
    jobs.clear()
    jobs("resume")
    _page.get_by_label("Batch", exact=True).fill("")


def add(page: Page, type: str, batch: str = "", **args: str) -> None:
    """Fill in the form, and send it."""
    page.get_by_role("combobox", name="What to do").select_option(label=type)
    if not page.get_by_label("Batch", exact=True).is_visible():
        page.get_by_text("Options", exact=True).click()
    page.get_by_label("Batch", exact=True).fill(batch)
    for name, value in args.items():
        page.locator(f"[name='arg {name}']").fill(value)
    page.get_by_role("button", name="Add").click()


def ended(page: Page, name: str) -> Locator:
    """The newest job in the history that has this name."""
    items = page.locator("#ended").get_by_role("listitem")
    return items.filter(has=page.get_by_role("heading", name=name, exact=True)).first


def living(page: Page, name: str) -> Locator:
    items = page.locator("#jobs").get_by_role("listitem")
    return items.filter(has=page.get_by_role("heading", name=name, exact=True)).first


def test_job_of_the_form_ends_with_its_result_in_the_history(page: Page) -> None:
    add(page, "Count the primes up to a number", limit="100")
    expect(ended(page, "primes up to 100")).to_contain_text('{"primes":25,"largest":97}')
    expect(ended(page, "primes up to 100")).to_contain_text("done")
    assert fits(page)
    assert_accessible(page)


def test_commands_of_the_page_work_as_shown(tutorial: Tutorial, site: Site, jobs: Client) -> None:
    for line in tutorial.commands:
        run(site, line)
    checksum = wait_until(lambda: jobs("history", type="checksum")["items"], "it is done")
    assert re.fullmatch("[0-9a-f]{64}", checksum[0]["result"])
    first, second = jobs.uids()
    wanted = f"needs memory_mb 600, used by primes {first[:8]}"
    wait_until(lambda: jobs("item", uid=second)["waits"] == wanted, "the second waits")
    jobs("rm", uids=[second, first])
    end = jobs.add("primes", limit=2_000_000)
    ended = wait_until(lambda: jobs("wait", uid=end, timeout=1), "it has ended")
    assert ended["result"] == {"primes": 148933, "largest": 1999993}


def test_failed_job_is_tried_again_shows_its_last_words_and_can_be_added_again(
    page: Page, jobs: Client
) -> None:
    add(page, "Archive of a folder", folder="nowhere", name="lost")
    failed = ended(page, "lost.tar.gz of nowhere")
    expect(failed).to_contain_text("exited with status 2")
    expect(failed.locator(".last")).to_contain_text("tar: ./nowhere: Cannot stat")
    failed.get_by_text("Output").click()
    expect(failed.locator("pre")).to_have_text(
        re.compile(r"(.*Cannot stat.*\n.*Exiting.*){3}", re.DOTALL)
    )
    failed.get_by_role("button", name="again").click()
    wait_until(lambda: len(jobs("history", state="failed")["items"]) == 2, "it fails again")
    page.get_by_label("Show").select_option("failed")
    expect(page.locator("#ended").get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_role("button", name="All of these again")).to_be_visible()
    page.get_by_label("Show").select_option("")


def test_output_of_a_job_is_shown_while_it_runs(page: Page) -> None:
    page.get_by_role("button", name="Pause").click()
    add(page, "Count the primes up to a number", limit="10000000")
    job = living(page, "primes up to 10000000")
    job.get_by_text("Output").click()
    expect(job.locator("pre")).to_have_text("It has printed nothing.")
    page.get_by_role("button", name="Resume").click()
    expect(job.locator("pre")).to_contain_text("5133 primes below 50000")
    expect(job).to_contain_text("running")
    job.get_by_role("button", name="Remove").click()


def test_output_is_kept_when_the_job_has_ended(page: Page, site: Site) -> None:
    folder = site.folder / "many"
    folder.mkdir()
    for number in range(3):
        (folder / f"file{number}").write_text("x" * 100)
    add(page, "Archive of a folder", folder="many", name="files")
    done = ended(page, "files.tar.gz of many")
    done.get_by_text("Output").click()
    expect(done.locator("pre")).to_contain_text("./many/file2")
    assert (site.folder / "files.tar.gz").exists()


def test_batch_is_reported_on_when_it_is_done(page: Page, site: Site, jobs: Client) -> None:
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    for limit in ("1000", "2000"):
        add(page, "Count the primes up to a number", batch="monday", limit=limit)
    expect(living(page, "primes up to 2000")).to_contain_text("batch monday")
    batch = page.locator("#batches").get_by_role("listitem")
    expect(batch).to_contain_text("2 to go")
    batch.get_by_role("button", name="Report when done").click()
    expect(living(page, "report on monday")).to_contain_text("after ")
    page.get_by_role("button", name="Resume").click()
    report = ended(page, "report on monday")
    expect(report).to_contain_text('{"done":2}')
    expect(batch).to_contain_text("2 done")
    with page.expect_download() as download:
        report.get_by_role("link", name="reports/monday.csv").click()
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"primes up to 1000", "primes up to 2000"}


def test_job_that_others_wait_for_takes_them_along_when_it_fails(page: Page) -> None:
    page.get_by_role("button", name="Pause").click()
    add(page, "Archive of a folder", folder="nowhere", name="first")
    page.get_by_role("group", name="After").get_by_label("first.tar.gz of nowhere").check()
    add(page, "Count the primes up to a number", limit="50")
    expect(living(page, "primes up to 50")).to_contain_text("after ")
    page.get_by_role("button", name="Resume").click()
    expect(ended(page, "primes up to 50")).to_contain_text("was not started")


def test_waiting_job_can_be_removed(page: Page) -> None:
    page.get_by_role("button", name="Pause").click()
    add(page, "Count the primes up to a number", limit="70")
    living(page, "primes up to 70").get_by_role("button", name="Remove").click()
    expect(ended(page, "primes up to 70")).to_contain_text("removed")


def test_refusal_is_shown_in_one_line(page: Page) -> None:
    add(page, "Checksum of a file", file="../../etc/passwd")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("argument `file`: must match")


@pytest.mark.parametrize("file", ["/etc/passwd", "../secret", "page/../../secret", "-x"])
def test_no_file_outside_of_the_folder_can_be_named(jobs: Client, file: str) -> None:
    with pytest.raises(Refusal, match="argument `file`: must match"):
        jobs.add("checksum", file=file)


def test_report_on_a_batch_that_nobody_knows_fails(jobs: Client) -> None:
    uid = jobs.add("report", batch="tuesday")
    end = wait_until(lambda: jobs("wait", uid=uid), "it has ended")
    assert end["state"] == "failed"
    assert "no jobs of the batch 'tuesday' have ended" in end["reason"]


def test_page_has_two_columns_on_a_large_screen_and_fits(browser: Browser, site: Site) -> None:
    with open_page(browser, site.url, DESKTOP) as page:
        expect(page.get_by_role("heading", name="Now and next")).to_be_visible()
        assert fits(page)
        form, now = (page.get_by_role("region", name=name) for name in ("New job", "Now and next"))
        assert form.bounding_box()["x"] < now.bounding_box()["x"]  # type: ignore[index]
        assert_accessible(page)
