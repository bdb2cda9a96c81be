"""The page of a report: data as JSON, embedded assets, and a content security policy that lets the
browser load nothing else.

Results are never written as HTML: the page's script reads JSON and turns it into text.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
from base64 import b64encode
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, TextIO
from urllib.parse import quote

from ..records import Box, Failure, Person, Prediction, Result, archive_of, stays_inside
from ..storage import is_url, open_file
from ..tables.results import Results
from ..version import __version__

MARK = "<!doctype html>\n<!-- A report of mivolo -->\n"
"""The beginning of a page, which identifies our reports."""
PLACE_OF_PICTURES = "<!-- pictures -->\n"
SCRIPTS = ("labels.js", "saving.js", "page.js")
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {style}; img-src {images}; "
    "base-uri 'none'; form-action 'none'"
)


def is_ours(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return file.read(len(MARK)) == MARK.encode()
    except OSError:
        return False


def summarise(
    results: Results,
    title: str,
    home: Path,
    pictures: str,
    folder: Path | None = None,
    missing: Collection[int] = (),
) -> dict[str, Any]:
    """Return the data for the page's script; links are relative to `home`, the page's folder.

    `missing` are the numbers of the pictures that are known not to be in `folder`.
    """
    roots = results.roots if pictures != "none" else [""] * len(results.roots)
    return {
        "title": title,
        "made": datetime.now().strftime("%Y-%m-%d %H:%M"),
        "version": __version__,
        "model": results.made_by.get("model"),
        "detector": results.made_by.get("detector"),
        "pictures": pictures,
        "folder": quote(folder.name) if folder else None,
        "roots": [link(root, home) for root in roots],
        "urls": [root if is_url(root) else None for root in roots],
        "photos": list(_photos(results, missing)),
    }


def link(root: str, home: Path) -> str | None:
    """Return the page's link to a scanned folder: a relative address without scheme and host."""
    if not os.path.isabs(root) or root.startswith(("//", "\\\\")):
        return None
    try:
        return f"./{quote(Path(os.path.relpath(root, home.absolute())).as_posix())}/"
    except ValueError:  # on another drive
        return None


def write_head(file: TextIO, data: dict[str, Any]) -> None:
    """Write everything before the pictures."""
    scripts, style = (_bundle(), _script()), _asset("page.css")
    images = "data: 'self' file:" if data["pictures"] == "beside" else "data:"
    policy = POLICY.format(scripts=" ".join(map(_hash, scripts)), style=_hash(style), images=images)
    values = {"policy": policy, "style": style, "title": html.escape(data["title"])}
    values |= {"data": as_script(data), "charts": as_script(json.loads(_asset("charts.json")))}
    file.write(MARK + Template(_template()[0]).substitute(values))


def write_inside(file: TextIO, pictures: Iterator[tuple[int, bytes | None]]) -> list[int]:
    """Write each picture in an element of its own that the browser does not parse; return the
    numbers of missing ones."""
    missing = []
    for number, picture in pictures:
        if picture is None:
            missing.append(number)
        else:
            coded = b64encode(picture).decode()
            file.write(f'<script type="text/plain" id="picture-{number}">{coded}</script>\n')
    return missing


def write_end(file: TextIO) -> None:
    file.write(Template(_template()[1]).substitute(bundle=_bundle(), script=_script()))


def as_script(value: Any) -> str:
    """Return JSON that cannot end the script element around it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _photos(results: Results, missing: Collection[int]) -> Iterator[dict[str, Any]]:
    """Yield each photo with short keys; `p` is the number of its picture, `r` its root, or -1 if
    its path leads outside of it. Photos that are `archived`, in a tar or Parquet file, are not
    linked."""
    roots = {root: number for number, root in enumerate(results.roots)}
    number = 0
    for result in results:
        path = result.photo.path
        row: dict[str, Any] = {
            "path": path,
            "r": roots[result.photo.root] if stays_inside(path) else -1,
        }
        row |= {"archived": True} if archive_of(path)[1] else {}
        if isinstance(result, Failure):
            yield row | {"error": result.code, "message": result.message, "people": []}
            continue
        taken = result.taken_at.strftime("%Y-%m-%dT%H:%M") if result.taken_at else None
        row |= {"w": result.width, "h": result.height, "taken": taken}
        row |= {} if number in missing else {"p": number}
        yield row | {
            "people": [_person(person, prediction, result) for person, prediction in result.people]
        }
        number += 1


def _person(person: Person, prediction: Prediction | None, result: Result) -> dict[str, Any]:
    boxes = {
        kind: _percent(box, result)
        for kind, box in (("face", person.face), ("body", person.body))
        if box
    }
    if prediction is None:
        return boxes
    said = {
        "age": prediction.age,
        "low": prediction.age_low,
        "high": prediction.age_high,
        "gender": prediction.gender,
        "sure": prediction.gender_score,
        "used": prediction.used,
    }
    return boxes | {key: value for key, value in said.items() if value is not None}


def _percent(box: Box, result: Result) -> list[float]:
    """Return left, top, width and height in percent of the photo's sides."""
    width, height = max(result.width, 1), max(result.height, 1)
    sides = (box.x1 / width, box.y1 / height, (box.x2 - box.x1) / width, (box.y2 - box.y1) / height)
    return [round(100 * side, 2) for side in sides]


def _template() -> list[str]:
    return _asset("page.html").split(PLACE_OF_PICTURES)


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _script() -> str:
    return "\n".join(map(_asset, SCRIPTS))


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # optional, according to its documentation
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
