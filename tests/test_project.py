"""What the repository says about itself is true: workflows, hooks, make targets, citation,
packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from mivolo_cli import __version__

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = ("README.md", "CONTRIBUTING.md", "RELEASING.md", ".github/pull_request_template.md")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def jobs(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return read["jobs"]


def commands(file: Path) -> list[str]:
    steps = [step for job in jobs(file).values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()]


def made(text: str) -> set[str]:
    """Targets that lines of a shell, or words in backticks, give to make."""
    lines = re.findall(r"(?:^|`)\s*make ([a-z ]+?)(?=\s{2,}|\s*[#`]|$)", text, re.M)
    return {target for line in lines for target in line.split()}


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_targets_of_make(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert made(text) and made(text) <= TARGETS


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    code = "\n".join(
        file.read_text("utf-8")
        for wing in ("mivolo_cli", "tests")
        for file in (ROOT / wing).rglob("*.py")
    )
    words = {word for word in re.findall(r"`([^`\n<>]+)`", text) if " " not in word}
    paths = {word for word in words if re.search(r"\w/|\.(py|md|json|toml)$", word)}
    assert len(paths) > 15 and len(words) > 30
    for path in paths - {"mivolo.toml"}:
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "mivolo_cli")), path
    for word in words - paths:
        name = word.partition("[")[0].strip("-.").rpartition(".")[2]
        assert re.search(rf"\b{re.escape(name)}", code), word
    for program, file in re.findall(r"\.venv/bin/(\S+) -m pytest (\S+)", text):
        assert program == "python" and (ROOT / file).is_file()


def test_workflows_and_ci_run_targets_of_make() -> None:
    lines = [line for file in WORKFLOWS for line in commands(file)]
    used = made("\n".join([*lines, (ROOT / ".ci" / "run").read_text("utf-8")]))
    assert {"check", "lint", "types", "site", "package"} <= used <= TARGETS
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert ".ci/run" in lines


def test_workflows_need_jobs_that_are_there() -> None:
    assert len(WORKFLOWS) == 4
    for file in WORKFLOWS:
        for job in jobs(file).values():
            assert job.get("needs", next(iter(jobs(file)))) in jobs(file)
            assert all(("run" in step) != ("uses" in step) for step in job["steps"])


def test_the_matrix_runs_fast_tests_on_every_version_that_is_promised() -> None:
    job = jobs(ROOT / ".github" / "workflows" / "tests.yml")["fast"]
    promised = [
        words[-1]
        for line in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"3\.\d+", (words := line.split(" :: "))[-1])
    ]
    assert job["strategy"]["matrix"]["python"] == promised
    assert len(job["strategy"]["matrix"]["os"]) == 3
    (selection,) = re.findall(r"^FAST := (.*)$", MAKEFILE, re.M)
    (processes,) = re.findall(r"^PARALLEL := (.*)$", MAKEFILE, re.M)
    assert job["steps"][-1]["run"] == f"python -m pytest {processes} {selection}"


def test_fast_tests_leave_out_every_mark() -> None:
    (selection,) = re.findall(r'^FAST := -m "(.*)"$', MAKEFILE, re.M)
    marks = [line.split(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    assert selection == " and ".join(f"not {mark}" for mark in marks)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^  make (\w+) +(\S.*)$", shown.stdout, re.M))
    assert set(listed) == TARGETS
    assert set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[0].split()) == TARGETS


def test_hooks_run_tools_of_the_environment() -> None:
    read = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    words = [hook["entry"].split() for repo in read["repos"] for hook in repo["hooks"]]
    assert len(words) == 3
    dev = " ".join(PROJECT["project"]["optional-dependencies"]["dev"])
    for program, *_ in words:
        assert Path(program).parent == Path(".venv/bin")
        assert Path(program).name in dev


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == __version__
    assert cited["license"] == PROJECT["project"]["license"].split()[0]
    (paper,) = cited["references"]
    assert paper["doi"].endswith(paper["url"].rpartition("/")[2])


def test_the_changelog_is_of_this_version_and_kept_in_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.M)
    assert released[0] == __version__ and released == sorted(released, reverse=True)
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.M)
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    headings = re.findall(r"^### (.*)$", text, re.M)
    assert headings and set(headings) <= set(kinds)


def test_every_dependency_has_a_reason() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.split(r"[<>=!]", requirement)[0]
        if name != "numpy":  # the arrays of all the others
            assert re.search(rf"\b{name}\b", text), name


def test_the_lock_has_a_version_within_bounds_of_every_requirement() -> None:
    lines = (ROOT / "requirements-dev.lock").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    extras = PROJECT["project"]["optional-dependencies"]
    (of_dev,) = [
        asked.extras
        for asked in map(Requirement, extras["dev"])
        if asked.extras and asked.name == "mivolo-cli"
    ]
    chosen = [*PROJECT["project"]["dependencies"], *extras["dev"]]
    chosen += [asked for extra in of_dev for asked in extras[extra]]
    wanted = [asked for asked in map(Requirement, chosen) if asked.name != "mivolo-cli"]
    assert len(wanted) > 40
    for asked in wanted:
        versions = [str(pin.specifier)[2:] for pin in pins if pin.name == asked.name]
        assert versions and all(asked.specifier.contains(v) for v in versions), asked


def test_issue_forms_have_what_the_site_asks_of_them() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml"))
    assert len(forms) == 2
    for form in forms:
        read = yaml.safe_load(form.read_text("utf-8"))
        assert read["name"] and read["description"]
        asked = [field for field in read["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in asked}) == len(asked)
        assert all(field["attributes"]["label"] for field in asked)


def test_the_source_distribution_has_what_the_tests_read() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"tests", "docs", ".github", ".ci", "Makefile", "mkdocs.yml", "/*.md"} <= set(included)
    for pattern in included:
        assert list(ROOT.glob(pattern.lstrip("/"))), pattern


def test_coverage_measures_the_package(tmp_path: Path) -> None:
    """As `make coverage` does, with one small file of tests."""
    pytest.importorskip("pytest_cov")
    options = ["--cov", "--cov-report=term", "-p", "no:cacheprovider", "-n0", "tests/test_boxes.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env=os.environ | {"COVERAGE_FILE": str(tmp_path / "data")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (covered,) = re.findall(r"^mivolo_cli[/\\]boxes\.py .* (\d+)%$", run.stdout, re.M)
    assert int(covered) > 50
