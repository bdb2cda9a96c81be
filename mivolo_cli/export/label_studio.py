"""Label Studio tasks with predictions: boxes in percent, age and gender per region, face and body
linked.

Format: https://labelstud.io/guide/predictions. The matching labelling interface is written next to
the tasks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..atomic import new_folder
from ..records import Box, Prediction, Result
from ..tables.results import Results
from .common import Exported, Settings, boxes, failed_note, name, readable, write_json

SUFFIX = ""
INTERFACE = """\
<View>
  <Image name="image" value="$image" zoom="true"/>
  <RectangleLabels name="box" toName="image">
    <Label value="person" background="#2693ff"/>
    <Label value="face" background="#ffa51e"/>
  </RectangleLabels>
  <Number name="age" toName="image" perRegion="true" min="0" max="122"/>
  <Choices name="gender" toName="image" perRegion="true" choice="single-radio">
    <Choice value="female"/>
    <Choice value="male"/>
  </Choices>
</View>
"""


def write(results: Results, target: Path, settings: Settings) -> Exported:
    """Write a folder with tasks.json and interface.xml."""
    version = results.made_by.get("model", "mivolo")
    tasks, people = [], 0
    for result in readable(results):
        path = name(result.photo, results)
        people += len(result.people)
        data = {"image": settings.url + quote(path), "path": path}
        tasks.append({"data": data, "predictions": [_prediction(result, version)]})
    with new_folder(target) as folder:
        write_json(tasks, folder / "tasks.json")
        (folder / "interface.xml").write_text(INTERFACE, encoding="utf-8")
    notes = (
        f"use {target / 'interface.xml'} as the project's labelling interface",
        *failed_note(results),
    )
    return Exported((target / "tasks.json", target / "interface.xml"), len(tasks), people, notes)


def _prediction(result: Result, version: str) -> dict[str, Any]:
    """Return a prediction. The photo's score is that of its least certain person, so that sorting
    by score shows what to check first."""
    regions: list[dict[str, Any]] = []
    linked: dict[int, str] = {}
    for index, kind, box, prediction in boxes(result.people):
        key = hashlib.sha256(
            f"{result.photo.root}\0{result.photo.path}\0{index}\0{kind}".encode()
        ).hexdigest()[:10]
        regions += _region(key, kind, box, prediction, result)
        if index in linked:
            regions.append(
                {"type": "relation", "from_id": linked[index], "to_id": key, "direction": "right"}
            )
        linked[index] = key
    sure = [
        found.gender_score for _, found in result.people if found and found.gender_score is not None
    ]
    return {"model_version": version, "score": min(sure, default=0.0), "result": regions}


def _region(
    key: str, kind: str, box: Box, prediction: Prediction | None, result: Result
) -> list[dict[str, Any]]:
    frame = {"id": key, "to_name": "image", "image_rotation": 0}
    frame |= {"original_width": result.width, "original_height": result.height}
    place = {
        "x": 100 * box.x1 / result.width,
        "y": 100 * box.y1 / result.height,
        "width": 100 * (box.x2 - box.x1) / result.width,
        "height": 100 * (box.y2 - box.y1) / result.height,
        "rotation": 0,
    }
    answers: list[tuple[str, str, str, Any, float | None]] = [
        ("box", "rectanglelabels", "rectanglelabels", [kind], box.score)
    ]
    if prediction is not None:
        if prediction.age is not None:
            answers.append(("age", "number", "number", prediction.age, None))
        if prediction.gender is not None:
            answers.append(
                ("gender", "choices", "choices", [prediction.gender], prediction.gender_score)
            )
    return [
        {**frame, "from_name": field, "type": type_, "value": {**place, key_: value}}
        | ({} if score is None else {"score": score})
        for field, type_, key_, value, score in answers
    ]
