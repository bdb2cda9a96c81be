import argparse
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.models import SMALL
from safetensors import safe_open

from mivolo_cli.errors import OutputError, WeightsError
from mivolo_cli.model import checkpoint, registry
from mivolo_cli.model.architecture import MiVOLO, create_model
from mivolo_cli.model.intervals import Band, GenderScale, Intervals
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.model.variants import SIZES

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "model.json").read_text())
AGES = {"min_age": 1, "max_age": 95, "avg_age": 48.0, "no_gender": False}


REAL = dict(SIZES)


@pytest.fixture(scope="module", autouse=True)
def small_size() -> Iterator[None]:
    """Makes `mivolo_xs` much smaller, so that these tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "xs", SMALL)
        yield


@pytest.fixture(scope="module")
def tiny(small_size: None) -> MiVOLO:
    torch.manual_seed(0)
    return create_model("mivolo_xs_32").eval()


@pytest.fixture(scope="module")
def spec(tiny: MiVOLO) -> ModelSpec:
    return checkpoint.spec_of(tiny, "tiny", 0.0, 100.0)


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path / "home"))


def write(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def same(loaded: torch.nn.Module, model: torch.nn.Module) -> bool:
    theirs, ours = loaded.state_dict(), model.state_dict()
    return theirs.keys() == ours.keys() and all(
        torch.equal(theirs[name], ours[name]) for name in ours
    )


def other(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(value) for name, value in state.items()}


def test_a_published_checkpoint_becomes_a_model_ready_to_predict(
    tmp_path: Path, tiny: MiVOLO
) -> None:
    file = write(tmp_path / "published.pth.tar", {"state_dict": tiny.state_dict(), **AGES})
    model, spec = checkpoint.load(file)
    assert same(model, tiny) and not model.training
    assert (spec.variant, spec.in_chans, spec.num_classes, spec.input_size) == (
        "mivolo_xs_32",
        6,
        3,
        32,
    )
    assert (spec.min_age, spec.max_age, spec.avg_age) == (1, 95, 48)
    assert (spec.name, spec.inputs) == ("published", "face+body")


def layouts(state: dict[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    numbers = {"min_age": np.float64(1), "max_age": np.int64(95), "avg_age": np.float32(48)}
    return {
        "wrapped": {
            "state_dict": {f"module.{name}": value for name, value in state.items()},
            **AGES,
        },
        "smoothing": {
            "state_dict": {**state, "fds.weight": torch.ones(3), "x.fds.y": torch.ones(1)},
            **AGES,
        },
        "average first": {"state_dict": other(state), "state_dict_ema": state, **AGES},
        "empty average": {"state_dict": state, "state_dict_ema": None, **AGES},
        "numpy ages": {"state_dict": state, **numbers},
        "arguments": {"state_dict": OrderedDict(state), "args": argparse.Namespace(lr=1), **AGES},
        "no average age": {"state_dict": state, "min_age": 1, "max_age": 95},
        "half": {
            "state_dict": {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
            **AGES,
        },
        "no counters": {
            "state_dict": {k: v for k, v in state.items() if "num_batches" not in k},
            **AGES,
        },
    }


@pytest.mark.parametrize("layout", list(layouts({})))
def test_every_layout_of_a_checkpoint_gives_the_same_model(tmp_path: Path, layout: str) -> None:
    torch.manual_seed(1)
    tiny = create_model("mivolo_xs_32")
    tiny.load_state_dict(
        {name: value.half().to(value.dtype) for name, value in tiny.state_dict().items()}
    )
    model, spec = checkpoint.load(write(tmp_path / "file", layouts(tiny.state_dict())[layout]))
    assert same(model, tiny)
    assert all(value.dtype == torch.float32 for value in model.parameters())
    assert (spec.min_age, spec.max_age, spec.avg_age) == (1, 95, 48)


@pytest.mark.parametrize(
    ("in_chans", "num_classes", "inputs"), [(3, 3, "face"), (3, 1, "face"), (6, 1, "face+body")]
)
def test_channels_and_outputs_are_read_from_the_weights(
    tmp_path: Path, in_chans: int, num_classes: int, inputs: str
) -> None:
    model = create_model("mivolo_xs_48", in_chans, num_classes)
    about = AGES | {
        "no_gender": num_classes == 3,
        "with_persons_model": in_chans == 3,
    }  # both wrong
    loaded, spec = checkpoint.load(
        write(tmp_path / "x.pth", {"state_dict": model.state_dict(), **about})
    )
    assert same(loaded, model)
    assert (spec.in_chans, spec.num_classes, spec.input_size, spec.inputs) == (
        in_chans,
        num_classes,
        48,
        inputs,
    )


def test_files_of_old_pytorch_are_read(tmp_path: Path, tiny: MiVOLO) -> None:
    content = {"state_dict": tiny.state_dict(), **AGES}
    file = write(tmp_path / "old.pth", content, _use_new_zipfile_serialization=False)
    assert file.read_bytes()[:1] == b"\x80"
    assert same(checkpoint.load(file)[0], tiny)


def test_v2_is_recognised_whatever_it_is_called(tmp_path: Path) -> None:
    model = create_model("mivolo_d1_384")
    state = {
        f"mivolo.model.{name}": value.half()
        for name, value in model.state_dict().items()
        if value.ndim
    }
    safetensors.torch.save_file(state, tmp_path / "x.bin")
    loaded, spec = checkpoint.load(tmp_path / "x.bin")
    assert (spec.variant, spec.input_size, spec.in_chans) == ("mivolo_d1_384", 384, 6)
    assert (spec.min_age, spec.max_age, spec.avg_age) == (0, 122, 61)
    assert torch.equal(loaded.head.weight, model.head.weight.half().float())


def test_a_config_beside_the_file_says_its_ages(tmp_path: Path, tiny: MiVOLO) -> None:
    state = {f"mivolo.model.{name}": value for name, value in tiny.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    assert checkpoint.load(tmp_path / "model.safetensors")[1].max_age == 122
    (tmp_path / "config.json").write_text('{"min_age": 10, "max_age": 50, "other": true}')
    ages = checkpoint.load(tmp_path / "model.safetensors")[1]
    assert (ages.min_age, ages.max_age, ages.avg_age) == (10, 50, 30)
    for broken in ("{", '{"min_age": "young", "max_age": 50}', '{"min_age": 60, "max_age": 50}'):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(WeightsError):
            checkpoint.load(tmp_path / "model.safetensors")


def skeleton(name: str, input_size: int) -> dict[str, tuple[int, ...]]:
    """A few shapes by which a size can be told."""
    size = SIZES[name]
    shapes = {
        "pos_embed": (1, input_size // 16, input_size // 16, size.widths[1]),
        "head.weight": (3, size.widths[3]),
    }
    if size.backbones is None:
        shapes["patch_embed.conv1.0.weight"] = (size.stem_width, 3, 7, 7)
    else:
        shapes["patch_embed.conv1.conv_stem.weight"] = (32, 3, 3, 3)
    stages = (0, 2, 3, 4) if size.backbones is None else (0, 1, 2, 3)
    for stage, layers, width in zip(stages, size.layers, size.widths, strict=True):
        shapes |= {f"network.{stage}.{block}.norm1.weight": (width,) for block in range(layers)}
    return shapes | ({"cls_token": (1, 1, size.widths[3])} if size.class_attention else {})


@pytest.mark.parametrize("name", list(SIZES))
@pytest.mark.parametrize("input_size", [224, 384])
def test_every_size_is_told_by_its_shapes(
    monkeypatch: pytest.MonkeyPatch, name: str, input_size: int
) -> None:
    monkeypatch.setitem(SIZES, "xs", REAL["xs"])
    assert checkpoint.detect(skeleton(name, input_size)).variant == f"mivolo_{name}_{input_size}"


@pytest.mark.parametrize("case", list(GOLDEN["shapes"]))
def test_published_shapes_are_told(case: str) -> None:
    variant, in_chans, num_classes = case.split("/")
    layout = checkpoint.detect(
        {name: tuple(shape) for name, shape in GOLDEN["shapes"][case].items()}
    )
    assert layout == checkpoint.Layout(variant, int(in_chans), int(num_classes), 224)


def damaged(state: dict[str, torch.Tensor]) -> dict[str, tuple[dict[str, torch.Tensor], str]]:
    without = {name: value for name, value in state.items() if not name.startswith("network.3.1.")}
    wide = torch.zeros(state["norm.weight"].shape[0] + 1)
    return {
        "missing": (
            {k: v for k, v in state.items() if k != "norm.weight"},
            "1 missing (norm.weight)",
        ),
        "extra": (state | {"surprise": torch.ones(2)}, "1 unexpected (surprise)"),
        "shape": (state | {"norm.weight": wide}, f"norm.weight {tuple(wide.shape)} instead of"),
        "type": (
            state | {"norm.weight": torch.ones_like(state["norm.weight"]).long()},
            "of torch.int64 instead of",
        ),
        "block": (without, "missing (network.3.1.norm1.weight, network.3.1.norm1.bias"),
        "no model": (
            {"conv1.weight": torch.ones(1), "fc.weight": torch.ones(1)},
            "lacks pos_embed, head.weight",
        ),
        "outputs": (state | {"head.weight": torch.ones(1000, 24)}, "1000 outputs"),
        "grid": (
            state | {"pos_embed": torch.ones(1, 2, 3, 24)},
            "pos_embed has the shape (1, 2, 3, 24)",
        ),
        "huge": (state | {"pos_embed": torch.ones(1).expand(1, 99999, 99999, 24)}, "pos_embed"),
        "mixed": (
            {(f"module.{k}" if "head" in k else k): v for k, v in state.items()},
            "lacks head.weight",
        ),
    }


@pytest.mark.parametrize("case", list(damaged({"norm.weight": torch.ones(1)})))
def test_a_wrong_checkpoint_is_refused_with_the_names_that_do_not_fit(
    tmp_path: Path, tiny: MiVOLO, case: str
) -> None:
    state, complaint = damaged(tiny.state_dict())[case]
    with pytest.raises(WeightsError) as error:
        checkpoint.load(write(tmp_path / "wrong.pth", {"state_dict": state, **AGES}))
    assert complaint in str(error.value) and "wrong.pth" in str(error.value)


def test_a_bare_state_dict_is_refused_with_the_ages_it_lacks(tmp_path: Path, tiny: MiVOLO) -> None:
    bare = write(tmp_path / "bare.pth", tiny.state_dict())
    with pytest.raises(WeightsError, match="it lacks min_age and max_age"):
        checkpoint.load(bare)
    with pytest.raises(WeightsError, match="it lacks max_age"):
        checkpoint.load(
            write(tmp_path / "half.pth", {"state_dict": tiny.state_dict(), "min_age": 3})
        )
    (tmp_path / "config.json").write_text('{"min_age": 1, "max_age": 95}')
    assert checkpoint.load(bare)[1].avg_age == 48


@pytest.mark.parametrize(
    "content", [[1, 2], {"epoch": 3}, {}, {"state_dict": {"a": 1}}, {1: torch.ones(1)}, "text"]
)
def test_other_contents_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError):
        checkpoint.load(write(tmp_path / "other.pth", content))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x80", b"a table, perhaps", b"\xff" * 8 + b"{", b"\x80\x02}q\x00."],
)
def test_files_that_are_no_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="file.safetensors"):
        checkpoint.load(file)


def test_a_saved_web_page_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.pth.tar").write_text("\n<!DOCTYPE html><title>Download anyway?</title>")
    with pytest.raises(WeightsError, match="is a web page"):
        checkpoint.load(tmp_path / "model.pth.tar")


@pytest.mark.parametrize("form", ["safetensors", "zip", "old"])
def test_truncated_and_altered_files_are_refused(
    tmp_path: Path, tiny: MiVOLO, spec: ModelSpec, form: str
) -> None:
    whole, file = tmp_path / "whole", tmp_path / "file"
    if form == "safetensors":
        checkpoint.save(tiny, spec, whole)
    else:
        write(
            whole,
            {"state_dict": tiny.state_dict(), **AGES},
            _use_new_zipfile_serialization=form == "zip",
        )
    content = whole.read_bytes()
    for length in (9, 100, 3000, len(content) // 2, len(content) - 10):
        file.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            checkpoint.load(file)
    rng = np.random.default_rng(0)
    for _ in range(40):
        altered = np.frombuffer(content[:2000], np.uint8).copy()
        altered[rng.integers(0, 2000, 5)] = rng.integers(0, 256, 5)
        file.write_bytes(altered.tobytes() + content[2000:])
        try:
            checkpoint.load(file)
        except WeightsError:
            continue


class Trap:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.witness}'",)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_a_booby_trap_does_not_go_off(tmp_path: Path, tiny: MiVOLO, form: str) -> None:
    witness, file = tmp_path / "went-off", tmp_path / "trap.pth.tar"
    content = {"state_dict": tiny.state_dict(), **AGES, "args": Trap(witness)}
    if form == "pickle":
        file.write_bytes(pickle.dumps(Trap(witness)))
    else:
        write(file, content, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError, match="trap.pth.tar"):
        checkpoint.load(file)
    assert not witness.exists()
    if form == "pickle":
        pickle.loads(file.read_bytes())
        assert witness.exists(), "the trap would not have worked anyway"


def test_saved_in_full_precision_it_comes_back_equal(
    tmp_path: Path, tiny: MiVOLO, spec: ModelSpec
) -> None:
    described = replace(spec, card={"data": "faces"}, avg_age=40.0)
    checkpoint.save(tiny, described, tmp_path / "model.safetensors", dtype="fp32")
    model, read = checkpoint.load(tmp_path / "model.safetensors")
    assert read == described
    assert same(model, tiny)
    batch = torch.rand(2, 6, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model(batch), tiny(batch))
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_half_precision_rounds_the_weights_and_nothing_else(
    tmp_path: Path, tiny: MiVOLO, spec: ModelSpec
) -> None:
    checkpoint.save(tiny, spec, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as source:
        assert source.get_tensor("head.weight").dtype == torch.float16
        assert source.get_tensor("patch_embed.conv1.1.running_var").dtype == torch.float32
        assert source.get_tensor("patch_embed.conv1.1.num_batches_tracked").dtype == torch.int64
    model, _ = checkpoint.load(tmp_path / "model.safetensors")
    assert torch.equal(model.head.weight, tiny.head.weight.half().float())
    variance = "patch_embed.conv1.1.running_var"
    assert torch.equal(model.get_buffer(variance), tiny.get_buffer(variance))


def test_saving_twice_gives_equal_bytes(tmp_path: Path, tiny: MiVOLO, spec: ModelSpec) -> None:
    for name in ("a", "b"):
        checkpoint.save(tiny, spec, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_in_another_memory_format_is_saved(tmp_path: Path, spec: ModelSpec) -> None:
    model = create_model("mivolo_xs_32").to(memory_format=torch.channels_last)
    checkpoint.save(model, spec, tmp_path / "model.safetensors", dtype="fp32")
    assert same(checkpoint.load(tmp_path / "model.safetensors")[0], model)


def test_values_that_do_not_fit_are_not_saved(tmp_path: Path, spec: ModelSpec) -> None:
    model = create_model("mivolo_xs_32")
    torch.nn.init.constant_(model.head.bias, 1e6)
    with pytest.raises(WeightsError, match="head.bias"):
        checkpoint.save(model, spec, tmp_path / "model.safetensors")
    checkpoint.save(model, spec, tmp_path / "model.safetensors", dtype="fp32")
    torch.nn.init.constant_(model.head.bias, float("nan"))
    with pytest.raises(WeightsError, match="head.bias"):
        checkpoint.save(model, spec, tmp_path / "model.safetensors", dtype="fp32")


def test_what_cannot_be_written_leaves_no_trace(
    tmp_path: Path, tiny: MiVOLO, spec: ModelSpec
) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        checkpoint.save(tiny, spec, tmp_path / "nowhere" / "model.safetensors")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        checkpoint.save(tiny, spec, tmp_path / "taken")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_spec_of_another_model_is_refused(tmp_path: Path, tiny: MiVOLO, spec: ModelSpec) -> None:
    single = replace(spec, in_chans=3, inputs="face")
    with pytest.raises(WeightsError, match="3 channels"):
        checkpoint.save(tiny, single, tmp_path / "model.safetensors")
    state = {name: value.contiguous() for name, value in tiny.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", single.to_metadata())
    with pytest.raises(WeightsError, match="3 channels"):
        checkpoint.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "header", ["", "{", "[]", "3", '{"variant": "mivolo_xs_32"}', "[" * 100_000]
)
def test_a_broken_description_is_refused(header: str) -> None:
    with pytest.raises(WeightsError, match="description"):
        ModelSpec.from_metadata({"mivolo": header})


def test_fields_of_later_versions_are_ignored(spec: ModelSpec) -> None:
    values = json.loads(spec.to_metadata()["mivolo"])
    assert ModelSpec.from_metadata({"mivolo": json.dumps(values | {"colour": "blue"})}) == spec


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("name", ["head.weight", "norm.bias", "pos_embed"])
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, tiny: MiVOLO, spec: ModelSpec, name: str, value: float
) -> None:
    """1e300 is finite in 64 bits, which the model does not have."""
    state = {key: weight.clone() for key, weight in tiny.state_dict().items()}
    state[name] = state[name].double()
    state[name].view(-1)[0] = value
    ours = tmp_path / "ours.safetensors"
    safetensors.torch.save_file(state, ours, metadata=spec.to_metadata())
    for file in (write(tmp_path / "a.pth", {"state_dict": state, **AGES}), ours):
        with pytest.raises(WeightsError, match=f"not finite numbers: {name}") as caught:
            checkpoint.load(file)
        assert str(file) in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "resnet50"},
        {"input_size": 64},
        {"in_chans": 4},
        {"inputs": "face"},
        {"num_classes": 2},
        {"min_age": 100.0},
        {"max_age": float("inf")},
        {"max_age": 1e9},
        {"min_age": -50.0, "max_age": -1.0},
        {"avg_age": float("nan")},
    ],
)
def test_specs_that_make_no_sense_are_refused(spec: ModelSpec, change: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="tiny"):
        replace(spec, **change)


def test_a_variant_may_leave_out_its_usual_size() -> None:
    size = SIZES["xs"].input_size
    spec = ModelSpec("mivolo_xs", 6, 3, size, 0.0, 100.0, 50.0, "short")
    assert spec.input_size == size


def test_outputs_become_years_and_nobody_is_younger_than_nothing(spec: ModelSpec) -> None:
    years = spec.years(np.array([0.0, 0.25, -0.9], np.float32))
    assert years.tolist() == [50.0, 75.0, 0.0]
    assert years.dtype == np.float32


def test_a_name_is_looked_up_and_a_path_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: MiVOLO, spec: ModelSpec
) -> None:
    file = tmp_path / "mine.safetensors"
    checkpoint.save(tiny, spec, file)
    monkeypatch.setattr(registry, "find", {"mivolo-v2": file}.__getitem__)
    assert same(checkpoint.load("mivolo-v2")[0], checkpoint.load(file)[0])
    assert registry.model_file("mivolo-v2") == registry.model_file(str(file)) == file


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mivolo-v3", "did you mean mivolo-v2"),
        ("nothing/like/it.pth", "weights list"),
        ("retinaface-resnet50", "models"),
    ],
)
def test_what_is_no_model_is_refused_with_a_way_on(name: str, hint: str) -> None:
    with pytest.raises(WeightsError) as error:
        checkpoint.load(name)
    assert hint in error.value.hint


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        checkpoint.load(tmp_path)


def test_the_fusion_is_read_from_the_weights(tmp_path: Path) -> None:
    for fusion in ("attention", "concatenation"):
        model = create_model("mivolo_xs_32", fusion=fusion)
        checkpoint.save(
            model, checkpoint.spec_of(model, fusion, 0, 100), tmp_path / "model.safetensors"
        )
        loaded, _ = checkpoint.load(tmp_path / "model.safetensors")
        assert loaded.get_submodule("patch_embed.map").fusion == fusion


def test_intervals_and_gender_scales_travel_with_the_model(tmp_path: Path) -> None:
    intervals = Intervals({"face": [Band([10.0, 20.0], [-3.0, -4.0], [5.0, 6.0])]})
    model = create_model("mivolo_xs_32")
    scales = {"face": GenderScale([10.0], [0.7])}
    spec = checkpoint.spec_of(model, "some", 0, 100)
    spec = replace(spec, intervals=intervals, gender_scales=scales)
    checkpoint.save(model, spec, tmp_path / "model.safetensors")
    loaded = checkpoint.load(tmp_path / "model.safetensors")[1]
    assert loaded.intervals == intervals and loaded.gender_scales == scales


@pytest.mark.parametrize("level", [True, False])
def test_a_model_says_whether_it_wants_heads_levelled(tmp_path: Path, level: bool) -> None:
    model = create_model("mivolo_xs_32")
    spec = replace(checkpoint.spec_of(model, "some", 0, 100), level=level)
    checkpoint.save(model, spec, tmp_path / "model.safetensors")
    assert checkpoint.load(tmp_path / "model.safetensors")[1].level is level


def test_models_of_earlier_versions_want_no_heads_levelled(spec: ModelSpec) -> None:
    assert spec.level is False
    values = json.loads(replace(spec, level=True).to_metadata()["mivolo"])
    assert values.pop("level") is True
    assert ModelSpec.from_metadata({"mivolo": json.dumps(values)}) == spec


def test_a_single_input_may_be_the_body(tmp_path: Path) -> None:
    model = create_model("mivolo_xs_32", in_chans=3)
    spec = checkpoint.spec_of(model, "bodies", 0, 100, inputs="body")
    checkpoint.save(model, spec, tmp_path / "model.safetensors")
    assert checkpoint.load(tmp_path / "model.safetensors")[1].inputs == "body"
