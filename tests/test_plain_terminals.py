"""Where no page is: IPython and Python at a terminal, Jupyter's console, and what is made of a notebook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from cells import notebook_of

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
MAGIC = "In \\[\\d+\\]: "
PROGRAMS = {
    "ipython": ([BIN / "ipython", "--simple-prompt", "--no-banner", "--colors=NoColor"], MAGIC),
    "console": ([BIN / "jupyter-console", "--simple-prompt"], MAGIC),
    "python": ([sys.executable, "-q", "-i"], ">>> "),
}
OPEN = "from madrox_nb import Madrox; m = Madrox()"
BAD = ("Traceback", "Error", "LiveView", "object at 0x", "\x1b")

Ask = Callable[[str], str]


def quieten(place: Path, patch: pytest.MonkeyPatch) -> None:
    """Jupyter and IPython have their homes there, and nothing colours."""
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        patch.setenv(name, str(place / name.lower()))
    patch.setenv("ORCHESTRATOR_PORT", "0")
    patch.setenv("TERM", "dumb")
    patch.chdir(place)


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quieten(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def ask(request: pytest.FixtureRequest, quiet: Path) -> Iterator[Ask]:
    """Type a line; returns what is said until the next prompt. Nothing bad is ever said."""
    argv, prompt = PROGRAMS[request.param]
    size = {"dimensions": (50, 120), "encoding": "utf-8", "echo": False}
    child = pexpect.spawn(str(argv[0]), list(argv[1:]), timeout=90, env=dict(os.environ), **size)
    child.expect(prompt)

    def typed(line: str) -> str:
        child.sendline(line)
        child.expect(prompt)
        said = re.sub(r"^Out\[\d+\]: ", "", child.before.replace("\r", ""), flags=re.MULTILINE).strip()
        assert [] == [word for word in BAD if word in said], said
        return said

    yield typed
    child.sendline("exit()")
    child.expect(pexpect.EOF)
    child.close()
    assert 0 == child.exitstatus


@pytest.mark.parametrize("ask", ["ipython", "console"], indirect=True)
def test_magics_and_views_read_as_text_at_a_terminal(ask: Ask) -> None:
    ask("%load_ext madrox_nb")
    ask(OPEN)
    ask("lead = %madrox spawn lead --harness rehearsal")

    tree = ask("%madrox tree").splitlines()
    assert "1 agent: 1 idle" == tree[1]
    assert "lead   ○ idle  general  rehearsal           –          –" == tree[-1]
    assert tree == ask("m").splitlines() == ask("m.widget()").splitlines()
    assert "Madrox: Costs" == ask("%madrox view costs").splitlines()[0]
    assert "hello" == ask("%madrox send lead /say hello").splitlines()[-1]
    assert "hi" == ask('lead.send("/say hi")').splitlines()[-1]
    assert "Madrox: Costs" == ask("print(m.widget('costs'))").splitlines()[0]


@pytest.mark.parametrize("ask", ["python"], indirect=True)
def test_a_python_without_ipython_reads_the_same(ask: Ask) -> None:
    ask(OPEN)
    ask("lead = m.spawn('lead', harness='rehearsal')")

    assert "<Madrox: 1 agent>" == ask("m")
    assert ask("m.tree") == ask("m.widget()")
    assert "Madrox: Costs" == ask("m.widget('costs')").splitlines()[0]
    assert "hi" == ask("print(lead.send('/say hi'))")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook that `jupyter execute` has run."""
    import nbformat  # it costs a second, which the tests that need none don't pay

    path = tmp_path_factory.mktemp("executed") / "n.ipynb"
    cells = ("%load_ext madrox_nb", OPEN, "lead = m.spawn('lead', harness='rehearsal')", "m")
    nbformat.write(notebook_of([*cells, "%madrox view costs"]), path)
    with pytest.MonkeyPatch.context() as patch:
        quieten(path.parent, patch)
        subprocess.run([BIN / "jupyter-execute", "--inplace", path], check=True, capture_output=True)
    return path


@pytest.mark.xdist_group("converted")
@pytest.mark.parametrize("into", ["html", "markdown", "latex"])
def test_an_executed_notebook_is_converted_with_what_its_views_said(
    executed: Path, quiet: Path, into: str
) -> None:
    (quiet / "n.ipynb").write_bytes(executed.read_bytes())
    subprocess.run([BIN / "jupyter-nbconvert", "--to", into, "n.ipynb"], check=True, capture_output=True)
    suffix = {"html": "html", "markdown": "md", "latex": "tex"}[into]
    made = (quiet / f"n.{suffix}").read_text(encoding="utf-8")

    assert "1 agent: 1 idle" in made
    assert "price from" in made.lower()
    assert "LiveView(" not in made
    assert "object at 0x" not in made
