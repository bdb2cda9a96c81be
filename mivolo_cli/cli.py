"""The command line: parse, call a verb, print, exit. Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .errors import BadInput, MivoloError, OutputError

if TYPE_CHECKING:
    from .scan import Progress, ScanOptions

FAILED_PHOTOS = 3
INTERRUPTED = 130
NOT_IDENTITY = "Ages are how old people look, not identity documents; they are least reliable under 5 and over 65."

app = typer.Typer(
    name="mivolo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Estimate age and gender of every person in a photo collection.",
    epilog="Start with: mivolo demo",
)
weights_app = typer.Typer(no_args_is_help=True, help="Models and detectors: which there are, fetch, add, verify.")
app.add_typer(weights_app, name="weights")

FIND, MODEL, RESULT = "Which photos", "Detector and model", "Results"
Model = Annotated[
    str, typer.Option("--model", help="auto, a name of `mivolo weights list`, or a file.", rich_help_panel=MODEL)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or fp16.", rich_help_panel=MODEL)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=RESULT)]


def main() -> None:
    """The program: errors become one line and a hint on standard error, and their exit code."""
    try:
        app()
    except MivoloError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def program(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Estimate age and gender of every person in a photo collection."""
    if version:
        typer.echo(f"mivolo {__version__}")
        raise typer.Exit


@app.command(
    epilog="""Examples:

mivolo scan ~/Pictures -o people.parquet

mivolo scan ~/Pictures -o people.csv --annotate annotated

find . -name '*.jpg' | mivolo scan - -o people.csv"""
)
def scan(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; - reads a list from standard input.")],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", help="Table to write: .parquet, .csv, .jsonl; repeatable.", rich_help_panel=RESULT
        ),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also draw boxes and labels into pictures in DIR.", rich_help_panel=RESULT),
    ] = None,
    model: Model = "auto",
    detector: Annotated[
        str, typer.Option(help="auto, embedded, given, yolo, retinaface, or a file.", rich_help_panel=MODEL)
    ] = "auto",
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Your own boxes (CSV or Parquet), for the detector `given`.", rich_help_panel=MODEL
        ),
    ] = None,
    use: Annotated[
        str, typer.Option(help="What the model looks at: face, body or both.", rich_help_panel=MODEL)
    ] = "both",
    device: Device = "auto",
    precision: Precision = "fp32",
    batch_size: Annotated[int, typer.Option(min=1, help="People per batch of the model.", rich_help_panel=MODEL)] = 32,
    workers: Annotated[
        int, typer.Option(min=0, help="Threads that decode photos; 0 means one a core.", rich_help_panel=MODEL)
    ] = 0,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only these, as '2024/**' or '*.jpg'.", rich_help_panel=FIND),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Not these files and folders.", rich_help_panel=FIND)
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Hidden files and folders, too.", rich_help_panel=FIND)
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Find the people in photos, and estimate the age and gender of each."""
    from .scan import ScanOptions

    listed = list(map(str, paths)) == ["-"]
    options = ScanOptions(
        paths=_paths_from_stdin() if listed else paths,
        listed=listed,
        outputs=output or [],
        annotate=annotate,
        model=model,
        detector=detector,
        boxes=boxes,
        use=_use(use),
        device=device,
        precision=precision,
        batch_size=batch_size,
        workers=workers or os.cpu_count() or 1,
        include=include or [],
        exclude=exclude or [],
        hidden=hidden,
    )
    progress = _scan(options, quiet)
    if progress.failed:
        raise typer.Exit(FAILED_PHOTOS)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the table and the annotated pictures.")] = Path("mivolo-demo"),
) -> None:
    """The main job on two photographs that come with the ultralytics package; nothing to prepare."""
    from .scan import ScanOptions
    from .sinks import read_table

    photos = _demo_photos()
    _make_folder(out)
    tables = [out / "people.parquet", out / "people.csv"]
    _scan(ScanOptions(paths=photos, outputs=tables, annotate=out / "annotated"), quiet=False)
    typer.echo()
    for line in _people_lines(read_table(tables[0]).to_pylist()):
        typer.echo(line)


@app.command()
def info() -> None:
    """Versions, devices, and what `auto` chooses here, with the reasons."""
    from importlib.metadata import PackageNotFoundError, version

    from . import auto, weights

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    packages = (
        "torch",
        "torchvision",
        "timm",
        "openvino",
        "ultralytics",
        "facexlib",
        "pillow",
        "pillow-heif",
        "pyarrow",
    )
    device = auto.choose_device("auto")
    model, detector = auto.choose_model("auto", device.name), auto.choose_detector("auto", None, device.name)
    licence = weights.get(model.name).licence
    _print_pairs(
        [
            ("mivolo", __version__),
            ("python", f"{sys.version.split()[0]} on {sys.platform}"),
            *((package, installed(package)) for package in packages),
            ("", ""),
            ("device", f"{device.name} ({device.reason})"),
            ("detector", f"{detector.name} ({detector.reason})"),
            ("model", f"{model.name} ({model.reason})"),
            ("", f"licence: {licence}"),
            ("processors", f"{os.cpu_count()}"),
            ("weights", f"{weights.folder()} (shipped), {weights.user_folder()} (yours)"),
            ("network", "used by `mivolo weights fetch` alone"),
        ]
    )


@app.command(name="eval")
def evaluate(
    data: Annotated[
        list[Path], typer.Argument(help="Labelled pictures: Parquet files in the Hugging Face convention.")
    ],
    predictions: Annotated[
        Path | None, typer.Option(metavar="RESULTS", help="Measure this table of a scan instead of running the model.")
    ] = None,
    model: Model = "auto",
    device: Device = "auto",
    precision: Precision = "fp32",
) -> None:
    """Measure a model, or the results of a scan, on labelled data: MAE, CS@5, gender accuracy."""
    from . import auto
    from .evaluate import EvalOptions
    from .evaluate import evaluate as run

    chosen = auto.choose_device(device).name
    name = auto.choose_model(model, chosen).name
    found = run(EvalOptions(data, predictions, name, chosen, precision))
    typer.echo(f"{'data':<24} {'shows':<6} {'people':>7} {'answered':>9} {'MAE':>7} {'CS@5':>8} {'gender':>8}")
    for item in found:
        score = item.score
        answered = 1 - score.refused / score.people if score.people else 0.0
        age = "-" if score.mae is None else f"{score.mae:.2f}"
        typer.echo(
            f"{item.data:<24} {item.crop:<6} {score.people:>7} {answered:>9.1%} {age:>7} "
            f"{_percent(score.cs5):>8} {_percent(score.gender_accuracy):>8}"
        )


@app.command()
def train(
    data: Annotated[
        list[Path], typer.Argument(help="Labelled pictures: Parquet files in the Hugging Face convention.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model, its log and checkpoint.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML file of settings; see weights/recipes.")] = None,
    validation: Annotated[list[Path] | None, typer.Option(help="Labelled pictures to measure on; repeatable.")] = None,
    init: Annotated[str | None, typer.Option(help="Start from this model (name or file).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    device: Device = "auto",
) -> None:
    """Train a model on labelled faces and bodies."""
    from . import auto
    from .train import TrainOptions, read_recipe
    from .train import train as run

    options = TrainOptions(
        data=data,
        out=out,
        recipe=read_recipe(recipe, epochs=epochs),
        validation=validation or [],
        device=auto.choose_device(device).name,
        init=init,
        resume=resume,
    )
    model = run(options, report=lambda row: typer.echo("  ".join(f"{k} {_short(v)}" for k, v in row.items())))
    typer.echo(f"model: {model}")


@weights_app.command("list")
def weights_list() -> None:
    """All known weights: where they are and under which licence."""
    from . import weights

    for row in weights.status():
        size = "" if row.bytes is None else f"{row.bytes / 1e6:.1f} MB"
        place = "embedded" if row.entry.embedded else "not here" if row.path is None else str(row.path)
        typer.echo(f"{row.entry.name:<22} {row.entry.kind:<9} {size:>10}  {place}")
        typer.echo(f"{'':<22} licence: {row.entry.licence}")


@weights_app.command("verify")
def weights_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names of `mivolo weights list`; default: all.")] = None,
) -> None:
    """Compare the files here with their registered hashes."""
    from . import weights

    checked = weights.verify(names)
    for entry, outcome in checked:
        typer.echo(f"{entry.name:<22} {outcome}")
    if any(outcome == "mismatch" for _, outcome in checked):
        raise typer.Exit(BadInput.exit_code)


@weights_app.command("add")
def weights_add(
    file: Annotated[Path, typer.Argument(help="A file of weights that you have.")],
    name: Annotated[str | None, typer.Option(help="The name to use it by.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow a pickle, which can run any code, from now on.")
    ] = False,
) -> None:
    """Check a local file of weights and keep a copy under a name."""
    from . import fetch

    entry = fetch.add(file, name=name, trust=trust)
    typer.echo(f"added {entry.name} ({entry.kind}), sha256 {entry.sha256}")


@weights_app.command("fetch")
def weights_fetch(
    name: Annotated[str, typer.Argument(help="A name of `mivolo weights list`.")],
    offline: Annotated[bool, typer.Option("--offline", help="Refuse to use the network.")] = False,
) -> None:
    """Download published weights; the licence is shown first."""
    from tqdm import tqdm

    from . import fetch, weights

    entry = weights.get(name)
    typer.echo(f"{entry.name} from {entry.url or 'nowhere'}")
    typer.echo(f"licence: {entry.licence} {entry.licence_url}".rstrip())
    with tqdm(unit="B", unit_scale=True, disable=None) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = fetch.fetch(name, offline=offline, progress=show)
    typer.echo(f"here: {path}")


def _scan(options: ScanOptions, quiet: bool) -> Progress:
    """Run with a progress bar, and say at the end what happened."""
    from tqdm import tqdm

    from .scan import scan

    with tqdm(desc="scan", unit=" photos", disable=True if quiet else None, dynamic_ncols=True) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_postfix(people=progress.people, failed=progress.failed, refresh=False)
            bar.update(progress.photos - bar.n)

        try:
            progress = scan(options, show)
        except KeyboardInterrupt:
            bar.close()
            typer.echo("stopped: no table was written, and what stood there before is unchanged", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if not quiet:
        for line in _summary(options, progress):
            typer.echo(line)
    return progress


def _summary(options: ScanOptions, progress: Progress) -> list[str]:
    pace = progress.photos / max(progress.seconds, 1e-9)
    lines = [f"{_count(progress.photos, 'photo')} in {progress.seconds:.1f} s ({pace:.1f} photos/s)"]
    lines += [f"  {_count(progress.people, 'person', 'people')} found"]
    if progress.no_usable_crop:
        lines += [f"  {progress.no_usable_crop} of them too small or hidden to judge"]
    lines += [f"  {_count(progress.no_people, 'photo')} without people"] if progress.no_people else []
    if progress.failed:
        codes = ", ".join(f"{count} {code}" for code, count in progress.failures.most_common())
        lines += [f"  {_count(progress.failed, 'photo')} could not be read: {codes} (column `error` of the table)"]
    lines += [f"table: {path}" for path in options.outputs]
    lines += [f"annotated pictures: {options.annotate}"] if options.annotate else []
    return [*lines, *(f"note: {note}" for note in progress.notes), NOT_IDENTITY]


def _people_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{'photo':<14} {'person':<6} {'age':>4}  {'gender':<14} seen from"]
    for row in rows:
        age = "-" if row["age"] is None else f"{row['age']:.0f}"
        gender = "-" if row["gender"] is None else f"{row['gender']} ({row['gender_score']:.0%})"
        lines.append(f"{row['path']:<14} {row['person']!s:<6} {age:>4}  {gender:<14} {row['used'] or row['status']}")
    return lines


def _demo_photos() -> list[Path]:
    """Two photos inside the ultralytics package, which is not imported for it."""
    from importlib.util import find_spec

    spec = find_spec("ultralytics")
    folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or []]
    photos = [folder / "assets" / name for folder in folders for name in ("bus.jpg", "zidane.jpg")]
    if not photos or not all(photo.is_file() for photo in photos):
        raise BadInput(
            "the demo's photos, bus.jpg and zidane.jpg of ultralytics, are not here", hint="pip install ultralytics"
        )
    return photos


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}", hint="choose another with --out"
        ) from error


def _paths_from_stdin() -> list[Path]:
    """One path a line, or separated by NUL bytes as `find -print0` writes them."""
    data = sys.stdin.buffer.read()
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [Path(os.fsdecode(name)) for name in names if name]


def _use(value: str) -> Any:
    if value not in ("face", "body", "both"):
        raise BadInput(f"--use cannot be {value!r}", hint="use face, body or both")
    return value


def _print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    for name, value in pairs:
        typer.echo(f"{name:<12} {value}".rstrip())


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
