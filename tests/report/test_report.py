"""Reports: files that are made and replaced, and the page as a browser shows it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import save_photo
from helpers.require import require
from helpers.tables import contents, save_results

from mivolo_cli.errors import BadInput
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.report import NOTE, ReportOptions, page, pictures_folder, report

HOSTILE = "<img src=x onerror=alert(1)>.jpg"
FACE = Person(Box(10, 10, 30, 30), None)


def prediction(age: float, gender: str, sure: float) -> Prediction:
    return Prediction(age, gender, sure, "face")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Four photos that can be read, one of them hostile and one out of its folder, and a
    failure."""
    root = tmp_path / "my photos"
    for name in ("a.jpg", "trip/b.jpg", "trip/north/sky.jpg", HOSTILE):
        save_photo(root / name)
    save_photo(tmp_path / "secret.jpg")

    def photo(name: str) -> Photo:
        return Photo(str(root), name)

    found: list[Any] = [
        Result(
            photo("a.jpg"),
            80,
            64,
            datetime(2019, 5, 1),
            [(FACE, prediction(31, "female", 0.98)), (FACE, None)],
        ),
        Result(
            photo("trip/b.jpg"), 80, 64, datetime(2021, 5, 1), [(FACE, prediction(8, "male", 0.6))]
        ),
        Result(photo("trip/north/sky.jpg"), 80, 64),
        Result(photo(HOSTILE), 80, 64, None, [(FACE, prediction(70, "male", 0.9))]),
        Failure(photo("trip/c.jpg"), "truncated", "the end is missing"),
        Result(photo("../secret.jpg"), 80, 64),
    ]
    return save_results(tmp_path / "people.parquet", found, model="mivolo-test", detector="given")


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_bundle", lambda: "/* charts */")


# --- files ---


def test_a_report_says_what_was_made(tmp_path: Path, results: Path, no_charts: None) -> None:
    steps: list[tuple[int, int]] = []
    made = report(
        ReportOptions(results, tmp_path / "r.html", workers=1), lambda *step: steps.append(step)
    )
    assert (made.photos, made.people, made.missing, made.folder) == (6, 4, 1, None)
    assert steps == [(number, 5) for number in range(1, 6)]
    assert (tmp_path / "r.html").read_text("utf-8").count('id="picture-') == 4


def test_pictures_beside_the_page_are_replaced_with_it(
    tmp_path: Path, results: Path, no_charts: None
) -> None:
    options = ReportOptions(results, tmp_path / "r.html", pictures="beside", workers=1)
    report(options)
    folder = pictures_folder(options.output)
    names = {NOTE, "0.webp", "1.webp", "2.webp", "3.webp"}
    assert {entry.name for entry in folder.iterdir()} == names
    (folder / "99.webp").touch()
    assert report(options).folder == folder
    assert {entry.name for entry in folder.iterdir()} == names
    assert 'id="picture-' not in options.output.read_text("utf-8")


@pytest.mark.parametrize("step", ["Draft.publish", "_swap"])
def test_no_page_is_left_with_the_pictures_of_another(
    tmp_path: Path, results: Path, no_charts: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    options = ReportOptions(results, tmp_path / "r.html", pictures="beside", workers=1)
    report(options)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"mivolo_cli.atomic.{step}", killed)
    with pytest.raises(KeyboardInterrupt):
        report(options)
    assert options.output.exists() and not pictures_folder(options.output).exists()


def test_what_a_killed_report_has_left_goes_with_the_next(
    tmp_path: Path, results: Path, no_charts: None
) -> None:
    (tmp_path / ".r.html.0123abcd.part").touch()
    (tmp_path / ".other.html.0123abcd.part").touch()
    (tmp_path / ".r_pictures.0123abcd.part").mkdir()
    (tmp_path / ".r_pictures.0123abcd.part" / "0.webp").touch()
    report(ReportOptions(results, tmp_path / "r.html", pictures="beside", workers=1))
    hidden = [file.name for file in tmp_path.iterdir() if file.name.startswith(".")]
    assert hidden == [".other.html.0123abcd.part"], "and no lock"


def test_what_is_not_a_report_is_not_replaced(
    tmp_path: Path, results: Path, no_charts: None
) -> None:
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    (tmp_path / "r_pictures").mkdir()
    (tmp_path / "r_pictures" / "holiday.jpg").touch()
    report(ReportOptions(results, tmp_path / "s.html", pictures="beside", workers=1))
    (tmp_path / "s_pictures" / "holiday.jpg").touch()
    before = contents(tmp_path)
    for name in ("mine", "r", "s"):
        with pytest.raises(BadInput, match="exists"):
            report(ReportOptions(results, tmp_path / f"{name}.html", pictures="beside"))
    assert contents(tmp_path) == before


def test_without_pictures_photos_are_not_even_opened(
    tmp_path: Path, results: Path, no_charts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mivolo_cli.photos.decode.decode", lambda photo: pytest.fail("opened"))
    made = report(ReportOptions(results, tmp_path / "r.html", pictures="none"))
    assert made.missing == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert 'id="picture-' not in text and "my photos" not in text and "my%20photos" not in text


# --- in a browser ---


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    require("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


def opened(browser: Any, tmp_path: Path, found: list[Any], width: int, height: int = 900) -> Any:
    """A tab with a report on these photos."""
    table = save_results(tmp_path / "people.parquet", found)
    report(ReportOptions(table, tmp_path / "page.html", workers=1, replace=True))
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.goto((tmp_path / "page.html").as_uri())
    return tab


@pytest.fixture(params=["inside", "beside"])
def shown(
    browser: Any, tmp_path: Path, results: Path, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """The page, open; at the end nothing was complained of, and nothing was fetched but the page's
    own files."""
    report(ReportOptions(results, tmp_path / "r.html", pictures=request.param, workers=1))
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda wanted: asked.append(wanted.url))
    tab.on("dialog", lambda box: said.append(f"dialog: {box.message}"))
    tab.goto((tmp_path / "r.html").as_uri())
    tab.wait_for_selector("#pyramid svg")
    yield tab
    tab.close()
    ours = ((tmp_path / "r.html").as_uri(), (tmp_path / "r_pictures").as_uri() + "/", "data:")
    assert [address for address in asked if not address.startswith(ours)] == []
    assert said == []


def count(tab: Any) -> str:
    tab.wait_for_timeout(200)
    text: str = tab.inner_text("#count")
    return text


def test_the_page_works(shown: Any) -> None:
    """One test, since a browser is slow to start: figures, filters, sorting, keyboard, the viewer,
    links."""
    assert count(shown) == "6 photos, 4 people"
    assert (
        shown.locator("#figures > div").filter(has_text="median age").locator("dd").inner_text()
        == "31"
    )
    assert shown.locator("#failures svg").count() == 1
    assert shown.locator("#gallery .photo img").count() == 4
    assert shown.evaluate(
        "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )

    shown.fill("#search", "TRIP sky")
    assert count(shown) == "1 of 6 photos, 0 people"
    shown.click("#reset")
    assert count(shown) == "6 photos, 4 people"
    for field, value, expected in (
        ("#gender", "male", "2 of 6 photos, 2 people"),
        ("#status", "error", "1 of 6 photos, 0 people"),
        ("#status", "no_usable_crop", "1 of 6 photos, 2 people"),
        ("#folder", "trip", "3 of 6 photos, 1 person"),
    ):
        shown.select_option(field, value)
        assert count(shown) == expected
        shown.click("#reset")
    shown.fill("#from", "30")
    shown.fill("#to", "40")
    assert count(shown) == "1 of 6 photos, 1 person"
    shown.click("#reset")
    shown.locator("#sure").fill("90")
    assert count(shown) == "2 of 6 photos, 2 people"
    shown.click("#reset")

    shown.select_option("#sort", "young")
    count(shown)
    first = shown.locator("#gallery button").first
    assert first.get_attribute("aria-label") == "trip/b.jpg: male, about 8"
    first.focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("Enter")
    assert shown.inner_text("#viewer-title") == "a.jpg"
    assert "not judged" in shown.inner_text("#details")
    link = shown.locator("#details a")
    assert link.get_attribute("href").endswith("/my%20photos/a.jpg")
    shown.keyboard.press("ArrowRight")
    assert shown.inner_text("#viewer-title") == HOSTILE
    assert (
        shown.locator("#details a")
        .get_attribute("href")
        .endswith("/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.jpg")
    )
    shown.keyboard.press("Escape")
    shown.wait_for_function(
        "name => document.activeElement.getAttribute('aria-label')?.startsWith(name)", arg=HOSTILE
    )

    shown.locator("#gallery button").filter(has_text="secret").click()
    assert shown.locator("#details a").count() == 0
    shown.keyboard.press("Escape")
    shown.click("#theme")
    assert shown.evaluate("document.documentElement.dataset.theme") == "dark"
    shown.wait_for_selector("#pyramid svg")
    shown.set_viewport_size({"width": 360, "height": 700})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360


def test_years_are_steps_with_nothing_where_few_people_are(browser: Any, tmp_path: Path) -> None:
    found = [
        Result(
            Photo("/p", f"{year}/{number}.jpg"),
            80,
            64,
            datetime(year, 6, 1 + number),
            [(FACE, prediction(age, "male", 0.9))],
        )
        for year, people in ((2014, 5), (2015, 4), (2017, 6))
        for number, age in enumerate((10, 20, 30, 40, 50, 60)[:people])
    ]
    tab = opened(browser, tmp_path, found, 1280)
    tab.wait_for_selector("#years svg")
    steps = tab.locator("#years .mark-rule.role-mark line")
    said = [steps.nth(place).get_attribute("aria-label") for place in range(steps.count())]
    assert [re.findall("year: .*median age: [0-9]+", text)[0] for text in said] == [
        "year: 2014; people: 5; median age: 30",
        "year: 2017; people: 6; median age: 35",
    ]
    assert tab.locator("#years .mark-rect.role-mark path").count() == 2
    assert tab.locator("#years .mark-symbol.role-mark path").count() == 15
    tab.select_option("#folder", "2015")
    tab.wait_for_function("!document.querySelector('#years .mark-rule.role-mark line')")
    assert tab.locator("#years .mark-symbol.role-mark path").count() == 4
    tab.close()
