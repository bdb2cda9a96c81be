"""A scan of one photo does not wait for libraries that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.photos import assets

NEEDLESS = (
    "scipy", "pandas", "torch", "torchvision", "timm", "matplotlib", "ultralytics", "facexlib",
    "nncf", "ray", "fsspec", "polars", "vl_convert", "xlsxwriter", "pyexiv2",
)  # fmt: skip


def test_a_plain_scan_imports_only_what_it_needs(tmp_path: Path) -> None:
    photo = assets() / "zidane.jpg"
    code = (
        "import sys; from mivolo_cli.__main__ import main\n"
        f"sys.argv = ['mivolo', 'scan', {str(photo)!r}, '-o', {str(tmp_path / 'a.parquet')!r},"
        f" '-o', {str(tmp_path / 'a.csv')!r}, '--quiet']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        f"print(sorted(set({NEEDLESS!r}) & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
    assert len((tmp_path / "a.csv").read_text("utf-8").splitlines()) > 2, "nobody was found"


def test_dataframes_are_still_to_be_had() -> None:
    code = (
        "import sys, pyarrow as pa; from mivolo_cli.cli.imports import spare_pandas\n"
        "spare_pandas(); rows = [{'age': 1.5}, {'age': None}]\n"
        "table = pa.Table.from_pylist(rows, schema=pa.schema([('age', pa.float64())]))\n"
        "assert 'pandas' not in sys.modules\n"
        "frame = table.to_pandas(); assert list(frame.age)[0] == 1.5\n"
        "assert pa.array(frame.age).to_pylist() == [1.5, None]\n"
        "assert pa.Table.from_pandas(frame).to_pylist() == table.to_pylist()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
