"""Every option says what it affects, and a scan's fingerprint follows."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline.components import Components
from mivolo_cli.pipeline.options import Affects, InferenceOptions
from mivolo_cli.runtime.engines import choose_engine
from mivolo_cli.scan import fingerprint, store

PLAIN = InferenceOptions(model="m", detector="d", device="cpu", engine="openvino", workers=2)
OTHER: dict[str, Any] = {
    "model": "mivolo-v2",
    "detector": "yolo",
    "boxes": Path("boxes.csv"),
    "device": "cuda",
    "engine": "torch",
    "precision": "bf16",
    "int8_samples": Path("people"),
    "compile": True,
    "use": "face",
    "flip": True,
    "full_resolution": True,
    "min_face_score": 0.5,
    "min_person_score": 0.25,
    "min_face": 12.0,
    "level": "on",
    "any_way_up": False,
    "batch_size": 7,
    "memory": "1GB",
    "max_pixels": 10**8,
    "workers": 99,
}
"""For each option a value that PLAIN does not have."""


def names(*kinds: Affects) -> list[str]:
    """The options of these kinds, found here anew."""
    return [
        option.name for option in fields(InferenceOptions) if option.metadata["affects"] in kinds
    ]


def opened(
    options: InferenceOptions, model: str = "1" * 64, detector: str = "2" * 64
) -> Components:
    """As `open_components` makes them of these options, without opening anything."""
    spec = ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 100.0, 50.0, "fake")
    engine = choose_engine(options.engine, options.device, options.precision)
    key = str(options.int8_samples) if options.precision == "int8" else ""
    parts = SimpleNamespace(
        predictor=SimpleNamespace(spec=spec),
        engine=SimpleNamespace(name=engine, int8_key=key),
        detector=SimpleNamespace(name=options.detector, sha256=detector),
        model_sha256=model,
        level=False,
    )
    return cast(Components, parts)


def made(options: InferenceOptions, **hashes: str) -> str:
    """The fingerprint of a scan with these options, and with files of these hashes."""
    return fingerprint.metadata(options, opened(options, **hashes))[store.FINGERPRINT]


def test_every_option_says_what_it_affects() -> None:
    for option in fields(InferenceOptions):
        assert isinstance(option.metadata.get("affects"), Affects), option.name
    assert sum(len(names(kind)) for kind in Affects) == len(fields(InferenceOptions))
    assert all(names(kind) for kind in Affects)


def test_every_option_has_another_value_here() -> None:
    assert list(OTHER) == [option.name for option in fields(InferenceOptions)]
    assert all(getattr(PLAIN, name) != value for name, value in OTHER.items())


@pytest.mark.parametrize("kind", Affects)
def test_options_are_given_by_what_they_affect(kind: Affects) -> None:
    options = InferenceOptions(**OTHER)
    assert options.affecting(kind) == {name: OTHER[name] for name in names(kind)}


def test_options_of_several_kinds_keep_the_order_of_their_definition() -> None:
    options = InferenceOptions(**OTHER)
    assert list(options.affecting(*reversed(Affects))) == list(OTHER)
    assert options.affecting(*Affects) == OTHER
    both = options.affecting(Affects.SPEED, Affects.CONTENT)
    assert list(both) == [
        "model",
        "detector",
        "boxes",
        "compile",
        "batch_size",
        "memory",
        "workers",
    ]
    assert options.affecting() == {}


@pytest.mark.parametrize("name", names(Affects.RESULTS))
def test_what_affects_results_changes_the_fingerprint(name: str) -> None:
    assert made(replace(PLAIN, **{name: OTHER[name]})) != made(PLAIN)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", names(Affects.SPEED))
def test_what_affects_nothing_but_the_pace_does_not(name: str, precision: str) -> None:
    plain = replace(PLAIN, precision=precision)
    assert made(replace(plain, **{name: OTHER[name]})) == made(plain)


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize("name", names(Affects.ROUNDING))
def test_rounding_does_not_count_in_fp32(name: str, precision: str) -> None:
    plain = replace(PLAIN, engine="auto", precision=precision)
    assert made(replace(plain, **{name: OTHER[name]})) == made(plain)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("device", "bf16"),
        ("device", "fp16"),
        ("engine", "bf16"),
        ("engine", "fp16"),
        ("int8_samples", "int8"),
    ],
)
def test_rounding_counts_below_fp32(name: str, precision: str) -> None:
    """By the engine that was opened, and by its graph of int8."""
    plain = replace(PLAIN, precision=precision, engine="auto")
    assert made(replace(plain, **{name: OTHER[name]})) != made(plain)
    assert name in names(Affects.ROUNDING)


def test_the_same_engine_counts_as_the_same_below_fp32() -> None:
    """However it was asked for; and photos for int8 are of no use to bf16."""
    plain = replace(PLAIN, precision="bf16")
    assert made(replace(plain, engine="auto")) == made(plain)
    assert made(replace(plain, int8_samples=Path("people"))) == made(plain)


def test_of_files_the_content_counts_and_not_where_they_are() -> None:
    assert made(replace(PLAIN, model="elsewhere/m.safetensors")) == made(PLAIN)
    assert made(replace(PLAIN, boxes=Path("elsewhere/boxes.csv"))) == made(PLAIN)
    assert made(PLAIN, model="3" * 64) != made(PLAIN)
    assert made(PLAIN, detector="3" * 64) != made(PLAIN)


def test_the_settings_of_a_table_are_those_that_affect_results() -> None:
    about = fingerprint.metadata(PLAIN, opened(PLAIN))
    assert about["settings"] == (
        '{"any_way_up": true, "flip": null, "full_resolution": false, "level": "auto", '
        '"max_pixels": 0, "min_face": 0.0, "min_face_score": null, "min_person_score": null, '
        '"precision": "auto", "use": "both"}'
    )
    assert about["model"] == "fake" and about["detector"] == "d"
    assert (about["model_sha256"], about["detector_sha256"]) == ("1" * 64, "2" * 64)
