"""The house stays as it was meant: sizes, imports, pins, and no package of ours installed anywhere."""

import ast
import importlib.metadata
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("api", "bench", "ops", "shared", "worker")


def code() -> list[Path]:
    return [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]


def lengths() -> dict[str, int]:
    """Lines of each function, without its docstring."""
    found = {}
    for file in code():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                doc = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
                found[f"{file.relative_to(ROOT)}:{node.name}"] = node.end_lineno - node.lineno + 1 - doc
    return found


def test_functions_are_short() -> None:
    sizes = sorted(lengths().values())
    assert statistics.median(sizes) <= 8
    assert sizes[int(len(sizes) * 0.9)] <= 25
    assert [name for name, size in lengths().items() if size > 60] == []


def test_files_are_short_or_say_why_not() -> None:
    long = [file for file in code() if file.read_text().count("\n") > 250]
    unexplained = [
        f
        for f in long
        if not re.search(r"in one file", ast.get_docstring(ast.parse(f.read_text())).split("\n")[0])
    ]
    assert unexplained == []


def test_make_finds_every_test_of_a_stage(unseen: list[str]) -> None:
    """A stage's files are those in which its marker is written: elsewhere it would leave tests out unsaid."""
    assert unseen == []


def test_no_package_of_ours_is_installed() -> None:
    """An installed ``shared`` could be overwritten by any other distribution of that name."""
    installed = importlib.metadata.packages_distributions()
    assert [name for name in (*ROOMS, "infra", "tests") if name in installed] == []


def test_the_api_brings_in_neither_arrays_nor_networks() -> None:
    foreign = ("numpy", "cv2", "torch", "httpx", "rich", "grpc", "google.auth")
    script = f"import sys, api.app; print([m for m in {foreign} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_everything_that_is_asked_for_is_pinned_with_a_reason() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    asked = {name for group in groups.values() for name in group if isinstance(name, str)}
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    reasoned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in pins
        if re.search(r"==\S+  # \w", line)
    }
    assert asked == reasoned


def test_everything_that_is_installed_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    tools = {"pip", "setuptools", "wheel"}
    names = {d.metadata["Name"].lower().replace("_", "-") for d in importlib.metadata.distributions()} - tools
    # PyPI's torch brings CUDA and names its versions itself.
    ours = {name for name in names if not re.match(r"nvidia-|cuda-|triton$", name)}
    assert [name for name in sorted(ours) if f"{name}==" not in pins] == []


def test_the_environment_is_read_where_settings_are_made() -> None:
    readers = [str(f.relative_to(ROOT)) for f in code() if "os.environ" in f.read_text()]
    # The bench says where its fake of Cloud Storage is; Google's client reads that by itself.  And it has a
    # worker of its own, for gunicorn to build.
    ours = ["api/app.py", "ops/up.py", "worker/app.py"]
    assert sorted(readers) == sorted([*ours, "bench/cloud.py", "bench/five_ms.py"])


def test_nobody_asks_what_browser_it_is() -> None:
    """Field report 16: a mobile path with its own bugs."""
    assert [f for f in code() if re.search(r"user_agent|USER_AGENT|User-Agent", f.read_text())] == []


def test_every_incident_of_the_field_that_is_our_business_has_a_test() -> None:
    """Deployment, metrics and webhooks have issues of their own."""
    later = {7, 8, 26, 30, 31}
    text = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = set()
    for listed in re.findall(r"[Ff]ield[ _]report[ _]([\d, _andto]+)", text):
        for first, last in re.findall(r"(\d+)(?:[ _]to[ _](\d+))?", listed):
            named |= set(range(int(first), int(last or first) + 1))
    assert set(range(1, 39)) - named - later == set()
