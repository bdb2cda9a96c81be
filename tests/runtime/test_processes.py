"""Networks in processes that were forked: refused at once instead of a wait without end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.photos import draw_scene, save_photo

from mivolo_cli.errors import MivoloError
from mivolo_cli.runtime.processes import _Owner

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
FORK = """
import os, signal, sys
from mivolo_cli import Mivolo
from mivolo_cli.errors import MivoloError

model, photo, before, inside = sys.argv[1:]
opened = Mivolo(model=model, device="cpu") if before != "nothing" else None
if before == "used":
    opened.predict(photo)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.alarm(900)
try:
    again = Mivolo(model=model, device="cpu") if inside == "new" else opened
    print(len(again.predict(photo)))
except MivoloError as error:
    print(error, error.hint)
sys.stdout.flush()
os._exit(0)
"""


def test_a_process_owns_what_it_opened_and_its_children_do_not() -> None:
    owner, unused = _Owner(), _Owner()
    owner.require()
    owner.require()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            unused.require()
            owner.require()
        except MivoloError as error:
            code = 7 if "spawn" in error.hint else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "inside", "expected"),
    [
        ("nothing", "new", "1\n"),
        ("opened", "same", "forked"),
        ("used", "new", "forked"),
    ],
)
def test_a_mivolo_in_a_forked_worker_works_or_says_what_to_do(
    tmp_path: Path, tiny_model: Path, before: str, inside: str, expected: str
) -> None:
    photo = save_photo(tmp_path / "a.jpg", pixels=draw_scene(150, 110))
    command = [sys.executable, "-c", FORK, str(tiny_model), str(photo), before, inside]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert ("spawn" in done.stdout) == (expected == "forked")
