"""What `pip install .` brings: everything that runs, without Node and without the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from madrox_nb.widgets import LIBRARIES, LiveView

TOP = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_holds_roles_widgets_and_the_programs_that_are_started_by_path(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(TOP)]
    subprocess.run([*build, "--wheel-dir", str(tmp_path)], check=True, timeout=120)
    [wheel] = tmp_path.glob("madrox_nb-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")

    roles = {f"madrox_nb/prompts/{path.name}" for path in (TOP / "prompts").glob("*.md")}
    assert 11 == len(roles)
    assert roles <= names
    assert {f"madrox_nb/notebooks/{path.name}" for path in (TOP / "notebooks").glob("*.ipynb")} <= names
    teams = {f"madrox_nb/templates/{path.name}" for path in (TOP / "templates").glob("*.md")}
    assert 15 == len(teams)
    assert teams <= names
    assert str(LiveView._esm)
    assert {
        f"madrox_nb/{name}" for name in ("static/loader.js", "static/THIRD_PARTY.txt", "guard.py", "py.typed")
    } <= names
    assert {f"madrox_nb/static/{library}.js" for library in LIBRARIES} <= names
    assert "madrox_nb/rehearse/__main__.py" in names
    shipped = {f"madrox_nb/profiles/{path.name}" for path in (TOP / "madrox_nb/profiles").glob("*.toml")}
    assert 8 == len(shipped)
    assert shipped <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "widgets/"))]

    code = (
        "from madrox_nb import library, Madrox; import tempfile;"
        "print(library.role('qa_engineer').name, library.packaged('prompts'));"
        "m = Madrox(home=tempfile.mkdtemp(), port=0, harnesses=('rehearsal',));"
        "print(m.spawn('lead').send('hello').ok); m.close()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.splitlines() == [f"testing_specialist {tmp_path / 'site/madrox_nb/prompts'}", "True"], (
        ran.stderr
    )
