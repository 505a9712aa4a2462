"""The law of the house, read from the syntax trees.

A module imports only from its own floor or those below; thought does no I/O; only some
doors start processes, and only one leads into the ledger. Each law is a function over
(module, source), so that it can be seen to fail.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

import madrox_nb

HOUSE = Path(madrox_nb.__file__).parent

FLOORS = {
    0: "errors events",
    1: "activity briefs budget conditions conversation cost_history density environment fences figures "
    "fold folds grammar greeting harness headed logbook mcp_servers plans prices queueing redact roles "
    "rules signatures spans steps teamwork tree turns views wording",
    2: "arrivals clients config dashboard evidence exchange files guard guarding hand inventory keeper "
    "keeping ledger library listening local logfile logs nodes offspring orphans painted pane parcels "
    "past portal preferences presets printed profiles runtime screen tokens transport wires workspace "
    "worktrees",
    3: "adoption approvals background births comeback dwellings equipment full_disk hearing idleness jobs "
    "joining limits lives mail manager processes reunion revival runner shares signals summaries teams "
    "tickets unfinished",
    4: "asking bridge caller calls cli demo display disturbances doctor doing ending errands following "
    "frames gate handles in_person instance_manager magics notebook orchestrator_config parts protocol "
    "pump ready_prompts rehearse replays resources rest run saved server stdio subscriptions testing "
    "tools understudy values widgets",
}
FLOOR = {module: floor for floor, modules in FLOORS.items() for module in modules.split()}
FLOOR[""] = 4  # the package itself: a face that finds the others when they are asked for

PACKAGES = {"", "cli", "frames", "harness", "magics", "notebook", "parts", "rehearse", "rest", "tools"}
ALONE = {"guard", "keeper", "rehearse"}
"""They run in processes of their own, where the package may not be found."""
DOORS = {"guard", "local", "rehearse.servers"}
"""They start processes; the last one in an agent's own process, and what it starts ends with that."""


def words(text):
    return set(text.split())


OUTSIDE_OF_THOUGHT = words(
    "IPython anywidget asyncio concurrent fcntl ipywidgets multiprocessing os pexpect pty select"
    " selectors shutil signal socket subprocess tempfile threading time"
)
HEAVY = words("anywidget genai_prices ipywidgets mcp pandas playwright pyte traitlets")
MAY_BE_HEAVY = {"frames": {"pandas"}, "widgets": {"anywidget", "traitlets"}}
PROCESS_MODULES = words("multiprocessing pty subprocess")
PROCESS_STARTERS = words(
    "PopenSpawn ProcessPoolExecutor create_subprocess_exec create_subprocess_shell forkpty popen"
    " posix_spawn posix_spawnp startfile subprocess_exec subprocess_shell system"
)
OWN_STARTERS = {("os", "exec"), ("os", "fork"), ("os", "spawn"), ("pexpect", "spawn"), ("pexpect", "run")}
"""These words mean a process only there; their variants differ in the last letters (`execvpe`)."""
VAGUE = ("helper", "util", "common", "misc", "manager2", "comprehensive")


# what a module says

parsed = cache(ast.parse)


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All of a module's syntax tree, for one law after the other."""
    return tuple(ast.walk(parsed(source)))


def room(module: str) -> str:
    """`harness.claude` is in the room `harness`."""
    return module.partition(".")[0]


def imports(module: str, nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """(top, inside, line) of all it imports: `top` as in sys.modules, `inside` the room of ours."""
    here = module if module in PACKAGES else module.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, rest = alias.name.partition(".")
                yield top, room(rest), node.lineno
        elif isinstance(node, ast.ImportFrom):
            parts = [part for part in here.split(".") if part][: -(node.level - 1) or None]
            named = ".".join([*parts, *filter(None, [node.module])]) if node.level else node.module
            if not node.level:
                top, _, named = named.partition(".")
            else:
                top = "madrox_nb"
            for alias in node.names:
                yield top, room(named or alias.name), node.lineno


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
            continue
        yield node
        todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        todo += [
            line
            for each in ast.iter_child_nodes(node)
            if isinstance(each, ast.ExceptHandler)
            for line in each.body
        ]


def name_of(node: ast.AST) -> str:
    """The last word of `a.b.c`, or `c`."""
    return getattr(node, "attr", getattr(node, "id", ""))


# the laws


def floors(module, source):
    """A module imports only from its own floor or those below."""
    if room(module) not in FLOOR:
        yield f"{module} has no floor: add it to FLOORS in tests/test_house.py and to docs/design.md"
        return
    for top, inside, line in imports(module, nodes(source)):
        if top != "madrox_nb" or inside.startswith("__") or not inside:
            continue
        if inside not in FLOOR:
            yield f"{module}:{line} imports {inside}, which has no floor: add it to FLOORS"
        elif FLOOR[inside] > FLOOR[room(module)]:
            below = FLOOR[room(module)]
            yield f"{module}:{line} stands on floor {below} and imports {inside} from {FLOOR[inside]}"


def thought(module, source):
    """Floors 0 and 1 touch neither clock nor file, thread or socket."""
    if FLOOR.get(room(module), 9) > 1:
        return
    for top, _, line in imports(module, nodes(source)):
        if top in OUTSIDE_OF_THOUGHT:
            yield f"{module}:{line} is thought and imports {top}"
    for node in nodes(source):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{module}:{node.lineno} is thought and awaits"
        elif isinstance(node, ast.Call) and name_of(node.func) in ("open", "now", "utcnow", "today"):
            yield f"{module}:{node.lineno} is thought and calls {name_of(node.func)}()"


def processes(module, source):
    """Only nodes and guard start processes."""
    if room(module) in DOORS or module in DOORS:
        return
    for top, _, line in imports(module, nodes(source)):
        if top in PROCESS_MODULES:
            yield f"{module}:{line} imports {top}; only nodes and guard start processes"
    for node in nodes(source):
        if isinstance(node, ast.ImportFrom):
            owner, named = node.module or "", [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            owner, named = name_of(node.value), [node.attr]
        else:
            continue
        for name in named:
            if name in PROCESS_STARTERS or (owner.partition(".")[0], name.rstrip("vuple")) in OWN_STARTERS:
                yield f"{module}:{node.lineno} uses {name}; only nodes and guard start processes"


def ledger(module, source):
    """Only `Manager.record` appends to the ledger: nobody else so much as names `….ledger.append`."""
    allowed = {
        id(node)
        for owner in parsed(source).body
        if module == "manager" and isinstance(owner, ast.ClassDef) and owner.name == "Manager"
        for method in owner.body
        if isinstance(method, ast.FunctionDef) and method.name == "record"
        for node in ast.walk(method)
    }
    for node in nodes(source):
        if not isinstance(node, ast.Attribute) or id(node) in allowed:
            continue
        if node.attr in ("append", "_write") and name_of(node.value) in ("ledger", "_ledger"):
            yield f"{module}:{node.lineno} reaches for ledger.{node.attr}; only Manager.record writes it"


def alone(module, source):
    """guard, keeper and rehearse know only the standard library, and each other."""
    if room(module) not in ALONE:
        return
    for top, inside, line in imports(module, nodes(source)):
        ours = top == "madrox_nb" and inside in ALONE
        if not ours and top not in sys.stdlib_module_names and top not in ALONE:
            yield f"{module}:{line} runs alone and imports {top}{inside and '.' + inside}"


def light(module, source):
    """Importing the package loads nothing heavy."""
    for statement in at_import(parsed(source)):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for top, _, line in imports(module, [statement]):
                if top in HEAVY - MAY_BE_HEAVY.get(room(module), set()):
                    yield f"{module}:{line} imports {top} before anybody needs it: import it where it is used"


def silent(module, source):
    """The package does not print: it returns, shows or logs."""
    if room(module) in ALONE:
        return
    for node in nodes(source):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{module}:{node.lineno} prints"


def vocabulary(module, source):
    """A module is named for what it is."""
    for vague in VAGUE:
        if vague in module.lower():
            yield f"{module}: {vague!r} says nothing; name it for what it is"


LAWS = [floors, thought, processes, ledger, alone, light, silent, vocabulary]


# the house


@cache
def modules():
    """(module, source) of each."""
    paths = sorted(HOUSE.rglob("*.py"))
    parts = (path.relative_to(HOUSE).with_suffix("").parts for path in paths)
    names = (".".join(part for part in each if part != "__init__") for each in parts)
    return tuple(zip(names, (path.read_text(encoding="utf-8") for path in paths), strict=True))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_house_keeps_its_law(law):
    assert [] == [broken for module, source in modules() for broken in law(module, source)]


def test_the_whole_house_is_looked_at():
    seen = {module for module, _ in modules()}

    assert {"", "events", "tree", "manager", "harness", "harness.rehearsal", "rehearse.turn", "guard"} <= seen


# each law is seen to fail


@pytest.mark.parametrize(
    ("law", "module", "source", "named"),
    [
        (floors, "events", "from .tree import Tree", "tree from 1"),
        (floors, "tree", "from . import ledger", "ledger from 2"),
        (floors, "ledger", "from madrox_nb.manager import Manager", "manager from 3"),
        (floors, "ledger", "import madrox_nb.manager", "manager from 3"),
        (floors, "ledger", "def f():\n    from .manager import Manager", "ledger:2"),
        (floors, "tree", "if TYPE_CHECKING:\n    from .ledger import Entry", "tree:2"),
        (floors, "harness", "from ..library import role", "library from 2"),
        (floors, "harness.claude", "from .. import library", "library from 2"),
        (floors, "harness.claude", "from ..library import role", "library from 2"),
        (floors, "rehearse.turn", "from ..new import x", "new, which has no floor"),
        (floors, "newroom", "", "newroom has no floor: add it"),
        (floors, "tree", "from .newroom import x", "newroom, which has no floor"),
        (thought, "tree", "import asyncio", "imports asyncio"),
        (thought, "harness.claude", "import os.path", "imports os"),
        (thought, "folds", "from time import monotonic", "imports time"),
        (thought, "events", "def f():\n    import threading", "events:2"),
        (thought, "prices", "from concurrent.futures import Future", "imports concurrent"),
        (thought, "tree", "now = datetime.now()", "calls now()"),
        (thought, "tree", "text = open('x')", "calls open()"),
        (thought, "harness.claude", "async def f(): ...", "awaits"),
        (processes, "manager", "import subprocess", "imports subprocess"),
        (processes, "transport", "from subprocess import Popen", "imports subprocess"),
        (processes, "runner", "import pty", "imports pty"),
        (processes, "transport", "import os\nos.fork()", "uses fork"),
        (processes, "transport", "from os import posix_spawn", "uses posix_spawn"),
        (processes, "transport", "os.execvpe('x', [], {})", "uses execvpe"),
        (processes, "cli", "os.system('ls')", "uses system"),
        (processes, "transport", "pexpect.spawn('bash')", "uses spawn"),
        (processes, "transport", "from pexpect.pty_spawn import spawn", "uses spawn"),
        (processes, "runner", "await asyncio.create_subprocess_exec('ls')", "uses create_subprocess_exec"),
        (processes, "runner", "loop.subprocess_shell(P, 'ls')", "uses subprocess_shell"),
        (ledger, "mail", "self.ledger.append(entry, line)", "mail:1 reaches for ledger.append"),
        (ledger, "runner", "core._ledger.append(e, l)", "ledger.append"),
        (ledger, "manager", "def record(self):\n    self.ledger.append(e, l)", "manager:2"),
        (
            ledger,
            "manager",
            "class Manager:\n    def act(self):\n        self.ledger.append(e, l)",
            "manager:3",
        ),
        (ledger, "notebook", "write = m.ledger.append", "ledger.append"),
        (ledger, "teams", "ledger._write(b'')", "ledger._write"),
        (alone, "guard", "import psutil", "imports psutil"),
        (alone, "guard", "from .errors import MadroxError", "imports madrox_nb.errors"),
        (alone, "guard", "from madrox_nb import events", "imports madrox_nb"),
        (alone, "rehearse.turn", "from ..events import Event", "imports madrox_nb.events"),
        (alone, "rehearse.__main__", "def f():\n    import orjson", "rehearse.__main__:2"),
        (light, "manager", "import pandas as pd", "imports pandas"),
        (light, "frames", "import mcp", "imports mcp"),
        (
            light,
            "server",
            "try:\n    from mcp.server import Server\nexcept ImportError:\n    pass",
            "server:2",
        ),
        (light, "prices", "try:\n    pass\nexcept ValueError:\n    import genai_prices", "prices:4"),
        (light, "widgets", "class W:\n    import ipywidgets", "imports ipywidgets"),
        (silent, "manager", "print('here')", "manager:1 prints"),
        (silent, "notebook", "show = print", "prints"),
        (vocabulary, "file_utils", "", "'util' says nothing"),
        (vocabulary, "harness.helpers", "", "'helper' says nothing"),
    ],
)
def test_a_broken_law_is_named(law, module, source, named):
    broken = list(law(module, source))

    assert broken
    assert named in broken[0]


@pytest.mark.parametrize(
    ("law", "module", "source"),
    [
        (floors, "tree", "from .events import Event\nfrom . import errors"),
        (floors, "manager", "from . import __version__, library"),
        (floors, "harness.claude", "from . import Harness\nfrom ..events import Event"),
        (floors, "tree", "import orjson"),
        (floors, "", "def f():\n    from .magics import load"),
        (thought, "ledger", "import os, threading"),
        (thought, "events", "ts = datetime.fromisoformat(text)"),
        (processes, "local", "import subprocess"),
        (processes, "guard", "os.fork()"),
        (processes, "transport", "from pexpect.expect import Expecter"),
        (processes, "runner", "node.spawn(spec); loop.run_forever()"),
        (processes, "rehearse.turn", "os.kill(os.getpid(), 9)"),
        (processes, "harness.claude", "self.brief.fork"),
        (ledger, "manager", "class Manager:\n    def record(self):\n        self.ledger.append(e, l)"),
        (ledger, "mail", "waiters.append(x)"),
        (alone, "keeper", "from .guard import Guard"),
        (alone, "keeper", "from guard import Guard"),
        (alone, "rehearse.turn", "from .client import Client\nfrom . import VERSION"),
        (alone, "rehearse.__main__", "from rehearse.turn import Agent"),
        (alone, "manager", "import psutil"),
        (light, "manager", "def f():\n    import pandas"),
        (light, "frames", "import pandas"),
        (light, "notebook", "if TYPE_CHECKING:\n    import pandas"),
        (silent, "rehearse.turn", "print('I am an agent')"),
        (vocabulary, "portal", ""),
    ],
)
def test_what_the_law_allows_is_not_held_against_anybody(law, module, source):
    assert [] == list(law(module, source))


def test_importing_the_package_loads_next_to_nothing():
    program = "import sys, madrox_nb; print(*sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in said.stdout.split()}

    assert ["madrox_nb"] == [name for name in said.stdout.split() if name.startswith("madrox_nb")]
    assert not loaded & {*HEAVY, "IPython", "asyncio", "orjson", "uvicorn", "psutil"}
