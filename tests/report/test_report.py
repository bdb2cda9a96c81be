"""Reports: files that are made and replaced, and the page as a browser shows it."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
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
    assert (made.photos, made.people, made.not_judged) == (6, 3, 1)
    assert (made.missing, made.folder) == (1, None)
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
    assert count(shown) == "6 photos, 3 people, 1 not judged"
    assert (
        shown.locator("#figures > div").filter(has_text="median age").locator("dd").inner_text()
        == "31"
    )
    apart = " ".join(shown.inner_text("#apart").split())
    assert apart == "not judged 1 without people 2 unreadable 1"
    assert "3" in shown.locator("#figures > div").filter(has_text="people").inner_text().split()
    assert shown.locator("#failures svg").count() == 1
    assert shown.locator("#gallery .photo img").count() == 4
    assert shown.evaluate(
        "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )

    shown.fill("#search", "TRIP sky")
    assert count(shown) == "1 of 6 photos, 0 people"
    shown.click("#reset")
    assert count(shown) == "6 photos, 3 people, 1 not judged"
    for field, value, expected in (
        ("#gender", "male", "2 of 6 photos, 2 people"),
        ("#status", "error", "1 of 6 photos, 0 people"),
        ("#status", "no_usable_crop", "1 of 6 photos, 1 person, 1 not judged"),
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
    tab.wait_for_function("() => !document.querySelector('#years .mark-rule.role-mark line')")
    assert tab.locator("#years .mark-symbol.role-mark path").count() == 4
    tab.close()


def group() -> list[Any]:
    """Rows of people whose heads stand above the feet of others, at both edges too, and somebody
    without a box."""
    people: list[Any] = []
    for line in range(3):
        for place in range(5):
            left, top = 5.0 + 190 * place, 4.0 + 200 * line
            who = Person(Box(left, top, left + 40, top + 50), Box(left - 5, top, left + 50, 599))
            people.append((who, prediction(30 + place, "male", 0.9)))
    people.append((Person(None, None), prediction(30, "male", 0.9)))
    return people


OVERLAPS = """(frame) => {
  const rects = (kind) => [...frame.querySelectorAll(kind)]
    .filter((element) => getComputedStyle(element).visibility === "visible")
    .map((element) => element.getBoundingClientRect());
  const [labels, faces, whole] = [rects(".tag"), rects(".box.face"), frame.getBoundingClientRect()];
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const inside = ({ left, top, right, bottom }) => left > whole.left - 1 && top > whole.top - 1
    && right < whole.right + 1 && bottom < whole.bottom + 1;
  return {
    labels: labels.length,
    outside: labels.filter((label) => !inside(label)).length,
    onFaces: labels.filter((label) => faces.some((face) => meet(label, face))).length,
    onLabels: labels.filter((label, at) => labels.slice(at + 1).some((o) => meet(label, o))).length,
  };
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_stay_off_faces_and_each_other(browser: Any, tmp_path: Path, width: int) -> None:
    root = tmp_path / "photos"
    for name in ("a.jpg", "b.jpg"):
        save_photo(root / name)
    found = [
        Result(Photo(str(root), "a.jpg"), 1000, 600, None, group()),
        Result(Photo(str(root), "b.jpg"), 1000, 600, None, group()[:3]),
    ]
    tab = opened(browser, tmp_path, found, width)
    tab.wait_for_function("() => document.querySelector('.photo .tag')?.style.left")
    free = {"outside": 0, "onFaces": 0, "onLabels": 0}
    for number, people in enumerate((15, 3)):
        frame = tab.locator("#gallery .photo").nth(number).element_handle()
        assert tab.evaluate(OVERLAPS, frame) == free | {"labels": people}
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.locator("#gallery button").first.click()
    tab.wait_for_function("() => document.querySelector('#stage .tag')?.style.left")
    frame = tab.locator("#stage .photo").element_handle()
    assert tab.evaluate(OVERLAPS, frame) == free | {"labels": 15}
    tab.keyboard.press("Escape")
    tab.set_viewport_size({"width": 700, "height": 700})
    tab.wait_for_timeout(300)
    frame = tab.locator("#gallery .photo").first.element_handle()
    assert tab.evaluate(OVERLAPS, frame) == free | {"labels": 15}
    tab.close()


def test_unreliable_ages_look_different(browser: Any, tmp_path: Path) -> None:
    body = Person(None, Box(40, 30, 70, 60))
    people: list[Any] = [(FACE, prediction(age, "male", 0.9)) for age in (4.4, 4.6, 65.4, 65.6, 30)]
    people += [(body, Prediction(30, "male", 0.9, "body")), (FACE, None)]
    people.append((body, Prediction(None, None, None, "body", 20, 60)))
    tab = opened(browser, tmp_path, [Result(Photo("/p", "a.jpg"), 80, 64, None, people)], 1280)
    tags = tab.locator("#gallery .tag")
    texts = [text.split()[-1] for text in tags.all_text_contents()]
    assert texts == ["~4", "5", "65", "~66", "30", "~30", "?", "~20–60"]
    looks = [tags.nth(at).evaluate("tag => getComputedStyle(tag).outlineStyle") for at in range(8)]
    assert [look == "dashed" for look in looks] == [text[0] == "~" for text in texts]
    tab.locator("#gallery button").click()
    assert tab.inner_text("#details").count("age unreliable") == 4
    tab.close()


def test_the_filtered_list_is_saved(browser: Any, tmp_path: Path) -> None:
    root = tmp_path / "my photos"
    found = [
        Result(Photo(str(root), "=a,b.jpg"), 80, 64, datetime(2019, 5, 1), [
            (FACE, Prediction(31.26, "female", 0.981, "face", 25.5, 40.25)), (FACE, None),
        ]),
        Result(Photo(str(root), "trip/ü.jpg"), 80, 64, None, [(FACE, prediction(8, "male", 0.6))]),
        Result(Photo(str(root), "trip/x.tar/sky.jpg"), 80, 64),
        Result(Photo(str(root), "line\nbreak.jpg"), 80, 64),
        Result(Photo(str(root), "../secret.jpg"), 80, 64),
        Failure(Photo(str(root), "trip/c.jpg"), "truncated", "the end is missing"),
    ]  # fmt: skip
    tab = opened(browser, tmp_path, found, 390)

    def saved(button: str) -> str:
        with tab.expect_download() as waiting:
            tab.click(button)
        return Path(waiting.value.path()).read_bytes().decode()

    names = ["=a,b.jpg", "trip/c.jpg", "trip/x.tar/sky.jpg", "trip/ü.jpg"]
    paths = saved("#save-paths")
    assert sorted(paths.splitlines()) == [f"{root}/{name}" for name in names]
    assert tab.inner_text("#saved").startswith("4 paths saved as photos.txt; 2 left out")
    tab.fill("#search", "trip")
    count(tab)
    assert sorted(saved("#save-paths").splitlines()) == [f"{root}/{name}" for name in names[1:]]
    tab.fill("#search", "")
    count(tab)
    text = saved("#save-table")
    assert text.startswith("\ufeff")
    rows = list(csv.DictReader(StringIO(text[1:])))
    assert len(rows) == 7 and tab.inner_text("#saved") == "7 lines saved as people.csv"
    (woman,) = [row for row in rows if row["gender"] == "female"]
    assert woman == {
        "path": f"{root}/=a,b.jpg", "taken_at": "2019-05-01T00:00", "person": "0", "used": "face",
        "age": "31.26", "age_low": "25.5", "age_high": "40.25", "gender": "female",
        "gender_score": "0.981", "status": "ok", "error": "",
    }  # fmt: skip
    assert [row["status"] for row in rows].count("no_usable_crop") == 1
    assert [row["error"] for row in rows if row["status"] == "error"] == ["truncated"]
    tab.evaluate("document.querySelector('#more').open = true")
    tab.fill("#from", "30")
    count(tab)
    assert [row["age"] for row in csv.DictReader(StringIO(saved("#save-table")))] == ["31.26"]
    tab.close()


def test_without_pictures_the_list_has_names_alone(browser: Any, tmp_path: Path) -> None:
    table = save_results(tmp_path / "people.parquet", [Result(Photo("/p", "=1+1.jpg"), 80, 64)])
    report(ReportOptions(table, tmp_path / "page.html", pictures="none"))
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.goto((tmp_path / "page.html").as_uri())
    for button, expected in (("#save-paths", "=1+1.jpg\n"), ("#save-table", "'=1+1.jpg,")):
        with tab.expect_download() as waiting:
            tab.click(button)
        assert expected in Path(waiting.value.path()).read_text("utf-8")
    tab.close()
