"""`docs/python.md` against the package: every public name is there, as it is, and no other.

The first column of its tables has the names. A heading in code says whose they are (a class of
`alphaflops`, or a module), any other that they are of `alphaflops` itself.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from space_profiles import FAST

import alphaflops as af
from alphaflops import _core, errors, fitting, spaces, table
from alphaflops.measuring.measured import shapes_of
from alphaflops.measuring.validation import validate
from alphaflops.table import columns

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")])
TEXT = (DOCS / "python.md").read_text("utf-8")
STUBS = ast.parse(Path(af.__file__).with_name("_core.pyi").read_text("utf-8"))
CLASSES = ("Graph", "WorkTable", "Training", "PeakMemory", "Report", "Profile", "Fit", "Adapted")
SPACES = ("SearchSpace", "CompiledSpace")
MODULES = (
    *("zoo", "frontends", "profiles", "table", "fitting", "adapting", "spaces", "cuda"),
    "errors",
)
#: Of which there are attributes that no class has.
MADE = {
    "Report": lambda: af.estimate("mlp", FAST),
    "Profile": lambda: FAST,
    "SearchSpace": spaces.fbnet,
    "CompiledSpace": lambda: spaces.fbnet().compile(FAST),
}


def in_code(cell):
    return re.findall(r"`([^`]+)`", cell)


def rows_under(lines):
    """Cells of the tables' rows, without those of headers."""
    cells = [[c.strip() for c in line[1:-1].split("|")] for line in lines if line.startswith("|")]
    rules = [i for i, row in enumerate(cells) if row[0] == "---"]
    return [row for i, row in enumerate(cells) if i not in rules and i + 1 not in rules]


def sections():
    found, heading = {}, ""
    for line in TEXT.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            assert heading not in found
        found.setdefault(heading, []).append(line)
    return {heading: rows_under(lines) for heading, lines in found.items()}


SECTIONS = sections()
WORDS = SECTIONS.pop("The Python interface")
TABLES = {heading: SECTIONS.pop(heading) for heading in list(SECTIONS) if "Columns" in heading}
OWN = [row for heading, rows in SECTIONS.items() if "`" not in heading for row in rows]


def spans(rows):
    return [span for row in rows for span in in_code(row[0])]


def names(rows):
    return {span.partition("(")[0] for span in spans(rows)}


def public(cls):
    of_tuples = dir(tuple) if issubclass(cls, tuple) else ()
    found = {*dir(cls), *getattr(cls, "__dataclass_fields__", ())} - {*of_tuples}
    return {name for name in found if not name.startswith("_")}


def normal(call):
    """Parameters of a call as the page writes it, or of a function in a stub, without types."""
    function = ast.parse(f"def {call}: pass").body[0] if isinstance(call, str) else call
    function.args.args = [a for a in function.args.args if a.arg not in {"self", "cls"}]
    for argument in (*function.args.args, *function.args.kwonlyargs):
        argument.annotation = None
    return ast.unparse(function.args)


def signature(value):
    given = inspect.signature(value).parameters.values()
    return normal(f"f{inspect.Signature([p.replace(annotation=p.empty) for p in given])}")


def stubbed(name, of=STUBS):
    return next(node for node in of.body if getattr(node, "name", "") == name)


def is_of_core(value):
    return getattr(value, "__module__", "") == "alphaflops._core"


def assert_signatures(rows, owner):
    """`owner` is a class or a module; a row of its own name is its constructor."""
    for span in spans(rows):
        dotted, called, parameters = span.partition("(")
        module, _, name = dotted.rpartition(".")
        is_own = name == owner.__name__
        holder = importlib.import_module(module) if module else owner
        value = owner if is_own else getattr(holder, name, None)
        takes = callable(value) and (inspect.isroutine(value) or bool(called))
        assert bool(called) == takes, f"{span}: parameters, where it takes any, are on the page"
        if not takes:
            continue
        if is_of_core(owner):
            right = normal(stubbed("__init__" if is_own else name, stubbed(owner.__name__)))
        elif is_of_core(value):
            right = normal(stubbed(name))
        else:
            right = signature(value)
        assert normal(f"f({parameters}") == right, span


# Names


def test_every_name_of_the_package_and_no_other():
    dotted = {name for name in names(OWN) if "." in name}
    assert names(OWN) - dotted == set(af.__all__)
    assert_signatures(OWN, af)


@pytest.mark.parametrize("name", CLASSES + SPACES)
def test_every_name_of_a_class_and_no_other(name):
    cls = getattr(spaces if name in SPACES else af, name)
    expected = public(cls)
    if name in MADE:
        expected |= {own for own in vars(MADE[name]()) if not own.startswith("_")}
    rows = SECTIONS[f"`{name}`"]
    assert names(rows) - {name} == expected
    assert_signatures(rows, cls)


@pytest.mark.parametrize("name", MODULES)
def test_every_name_of_a_module_and_no_other(name):
    module = importlib.import_module(f"alphaflops.{name}")
    rows = SECTIONS[f"`alphaflops.{name}`"]
    assert names(rows) - set(af.__all__) == set(module.__all__) - set(af.__all__)
    assert_signatures(rows, module)
    for row in rows:
        for each in names([row]):
            value = getattr(module, each)
            if inspect.isclass(value) and f"`{each}`" not in SECTIONS and name != "errors":
                assert public(value) <= {span.partition("(")[0] for span in in_code(row[1])}


def test_no_section_is_left_out():
    checked = {f"`{name}`" for name in CLASSES + SPACES}
    checked |= {f"`alphaflops.{name}`" for name in MODULES}
    assert {heading for heading in SECTIONS if "`" in heading} == checked


def test_words_are_those_of_the_core():
    words = {row[0].partition(",")[0]: in_code(row[1]) for row in WORDS}
    for label, known in {
        "element types": _core.DTYPES,
        "kinds of launches": _core.KINDS,
        "passes": _core.PASSES,
    }.items():
        assert words[label] == [f'"{word}"' for word in known]


def test_what_is_said_of_rows_of_a_report():
    (said,) = (row[2] for row in SECTIONS["`Report`"] if row[0] == "`prediction`")
    report = af.estimate("mlp", FAST)
    fields = {name for name in dir(report.prediction) if not name.startswith("_")}
    assert fields <= {*in_code(said)}
    for name in ("time_s", "time_lo_s", "time_hi_s", "alpha", "distance"):
        assert getattr(report.prediction, name).shape == (len(report.layers),)
    words = {row[0].partition(",")[0]: row[1] for row in WORDS}
    for column, label in (("kind", "kinds of launches"), ("passes", "passes")):
        named = [in_code(words[label])[i].strip('"') for i in getattr(report.work, column)]
        assert named == report.layers[column.replace("passes", "pass")].tolist()


def test_errors_are_what_the_page_says():
    for row in SECTIONS["`alphaflops.errors`"]:
        cls = getattr(errors, *in_code(row[0]))
        others = {base.__name__ for base in cls.__bases__ if base not in (errors.Error, Exception)}
        assert set(in_code(row[1])) == others
        assert issubclass(cls, errors.Error)


# Columns


def dtypes(heading):
    """What the page says of columns, by name in its order."""
    return {name: row[1] for row in TABLES[f"Columns of {heading}"] for name in in_code(row[0])}


def dtypes_of(array):
    return {
        name: "text" if array.dtype[name].kind == "U" else array.dtype[name].name
        for name in array.dtype.names
    }


def test_columns_of_a_report():
    said, layers = dtypes("`Report.layers`"), af.estimate("mlp", FAST).layers
    assert said == dtypes_of(layers)
    assert list(said) == list(af.Report.COLUMNS)


@pytest.mark.usefixtures("five_samples")
def test_columns_of_a_measured_table():
    said = dtypes("a measured table")
    shapes = af.sample_shapes(2, like=[af.zoo.build("mlp")])
    measured = dtypes_of(af.measure(shapes, budget_s=5.0))
    assert {name: said[name] for name in measured} == measured
    known = {*columns.INTEGERS, *columns.TEXTS, *columns.FLOATS, *columns.OPTIONAL_INTEGERS}
    assert set(said) == known | {"time_s", "steal_s", "unstable", *table.PROVENANCE}
    first = set(list(said)[: list(said).index("pass") + 1])
    assert set(shapes.dtype.names) == first - {"h_out", "w_out"}
    assert set(shapes_of(shapes).dtype.names) == first | {"backend", "device"}  # next_shapes


def test_columns_of_a_validation():
    said = dtypes("what `validate` gives")
    rows = validate([af.zoo.build("mlp")], FAST, repeats=1)
    energy = {name: "float64" for name in said if name.endswith("_j")}
    assert said == dtypes_of(rows) | energy


def test_columns_of_an_evaluation():
    space = spaces.fbnet()
    said = dtypes("what `evaluate` gives")
    assert said == dtypes_of(space.compile(FAST).evaluate(space.sample(1, 0), spaces.METRICS))


def test_forms_are_seven():
    assert len(fitting.FORMS) == 7
    assert "[seven forms]" in TEXT


# Links


def anchors(path):
    """Of headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target
