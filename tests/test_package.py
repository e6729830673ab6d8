"""The installed package: import cost, stubs, C++ package, wheel contents."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest
from costs import REUSE
from space_profiles import device

import alphaflops as af
from alphaflops import _core

REPOSITORY = Path(__file__).parents[1]


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout


def test_import_loads_numpy_and_the_core_and_nothing_else():
    code = (
        "import sys, numpy; before = set(sys.modules); import alphaflops;"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    loaded = run_python(code).split()
    tops = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert tops == {"alphaflops"}
    heavy = {"sqlite3", "csv", "json", "alphaflops.report", "alphaflops.cli"}
    assert heavy.isdisjoint(loaded)


def test_every_lazy_name_resolves():
    for name in af.__all__:
        assert getattr(af, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'estimat'"):
        af.estimat  # noqa: B018


def test_names_survive_importing_their_modules():
    # A submodule's name must not hide a function of the package.
    code = (
        "import alphaflops.fitting, alphaflops.measuring.campaign, alphaflops.report;"
        "import alphaflops as af;"
        "print(callable(af.fit), callable(af.measure), callable(af.estimate), callable(af.alpha))"
    )
    assert run_python(code).split() == ["True"] * 4


def test_version_is_the_same_everywhere():
    stated = re.search(r"VERSION (\d+\.\d+\.\d+)", (REPOSITORY / "CMakeLists.txt").read_text())
    assert stated is not None
    assert af.__version__ == stated[1] == metadata.version("alphaflops")


def test_stubs_match_the_extensions():
    pytest.importorskip("mypy", reason="mypy's stubtest compares .pyi files with modules")
    modules, more = ["alphaflops._core", "alphaflops._cuda_plan"], ["--ignore-unused-allowlist"]
    if importlib.util.find_spec("alphaflops._cuda") is not None:  # only in builds with CUDA
        modules, more = [*modules, "alphaflops._cuda"], []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy.stubtest", *modules, *more),
            *("--ignore-positional-only", "--allowlist", "stubtest_allowlist.txt"),
            *("--mypy-config-file", "stubtest.ini"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY / "tests",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_py_typed_and_profiles_are_installed():
    package = resources.files("alphaflops")
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()
    assert (package / "_cuda_plan.pyi").is_file()
    assert (package / "profiles" / "quadro-t2000.json").is_file()


def test_device_headers_are_installed_once():
    kernels = resources.files("alphaflops") / "cuda" / "kernels"
    if not kernels.is_dir():
        pytest.skip("the package runs from its source tree")
    in_tree = {path.name for path in (REPOSITORY / "cuda" / "kernels").glob("*.cuh")}
    assert {path.name for path in kernels.iterdir()} == in_tree
    assert "device.cuh" in in_tree


def test_errors_are_one_hierarchy_and_builtins():
    for name, builtin in {
        "ShapeError": ValueError,
        "OverflowError": OverflowError,
        "UnsupportedError": ValueError,
        "ProfileError": ValueError,
        "IoError": OSError,
    }.items():
        assert issubclass(getattr(_core, name), (af.Error, builtin))
        assert issubclass(getattr(_core, name), builtin)
        assert issubclass(getattr(_core, name), af.Error)


def test_consumer_project_builds_against_the_installed_package(tmp_path, cmake, cmake_dir):
    source = REPOSITORY / "tests" / "cpp" / "consumer"
    configure = [cmake, "-S", source, "-B", tmp_path, f"-Dalphaflops_DIR={cmake_dir}"]
    for command in (configure, [cmake, "--build", tmp_path]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    graph = af.Graph("consumer")
    image = graph.input([1, 3, 224, 224])
    graph.relu(graph.batch_norm(graph.conv2d(image, 64, kernel=7, stride=2, padding=3)))
    cold = device(provenance={"backend": "made up", "mode": "eager"})
    warm = af.Profile.from_dict(cold.data | {"weight_reuse": REUSE})
    assert af.estimate(graph, warm).time_s < af.estimate(graph, cold).time_s
    for profile, launches in ((af.load_profile("quadro-t2000"), 1), (warm, 3)):
        profile.save(tmp_path / "profile.json")
        out = subprocess.run(
            [tmp_path / "consumer", tmp_path / "profile.json"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        values = dict(line.split() for line in out.splitlines())
        report = af.estimate(graph, profile)
        assert int(values["launches"]) == len(report.layers) == launches
        assert int(values["macs"]) == report.macs
        assert float(values["time_s"]) == float(values["estimate_s"]) == report.time_s

    missing = subprocess.run(
        [tmp_path / "consumer", tmp_path / "none.json"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert "none.json" in missing.stderr


def test_the_cuda_component_is_there_or_says_why(tmp_path, cmake, cmake_dir):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(consumer LANGUAGES CXX)\n"
        "find_package(alphaflops 0.1 REQUIRED COMPONENTS cuda)\n"
        "add_executable(consumer main.cpp)\n"
        "target_link_libraries(consumer PRIVATE alphaflops::cuda)\n"
    )
    (tmp_path / "main.cpp").write_text(
        "#include <alphaflops/cuda/plan/plans.hpp>\n#include <alphaflops/cuda/src/device.hpp>\n"
        "#include <alphaflops/cuda/src/error.hpp>\n#include <alphaflops/cuda/src/program.hpp>\n"
        "int main() {\n  using namespace alphaflops::cuda;\n"
        "  const auto found = plans(Problem{}, Target{});\n"
        "  try {\n    Program(0).append(found.at(0).launches, Addresses{});\n"
        "  } catch (const DeviceError&) {  // no GPU\n"
        "  } catch (const alphaflops::ShapeError&) {  // no addresses\n  }\n}\n"
    )
    has_cuda = (Path(cmake_dir) / "alphaflops-cuda-targets.cmake").is_file()
    configure = [cmake, "-S", tmp_path, "-B", tmp_path / "build", f"-Dalphaflops_DIR={cmake_dir}"]
    done = subprocess.run(configure, capture_output=True, text=True, check=False)
    if not has_cuda:
        assert done.returncode != 0
        assert "built without CUDA" in " ".join(done.stderr.split())
        return
    assert done.returncode == 0, done.stderr
    build = subprocess.run(
        [cmake, "--build", tmp_path / "build"], capture_output=True, text=True, check=False
    )
    assert build.returncode == 0, build.stdout + build.stderr
    assert subprocess.run([tmp_path / "build" / "consumer"], check=False).returncode == 0


def test_a_part_of_another_project_builds_no_kernels_and_installs_nothing(tmp_path, cmake):
    lists = (
        "cmake_minimum_required(VERSION 3.20)\nproject(host LANGUAGES CXX)\n{}"
        f'add_subdirectory("{REPOSITORY.as_posix()}" alphaflops)\n'
    )
    (tmp_path / "CMakeLists.txt").write_text(lists.format(""))
    build = tmp_path / "build"
    subprocess.run([cmake, "-S", tmp_path, "-B", build], capture_output=True, check=True)
    cache = (build / "CMakeCache.txt").read_text()
    assert re.search(r"^ALPHAFLOPS_CUDA:\w+=OFF$", cache, re.MULTILINE)
    assert re.search(r"^ALPHAFLOPS_INSTALL:BOOL=OFF$", cache, re.MULTILINE)
    rules = (build / "alphaflops" / "cmake_install.cmake").read_text()
    assert "file(INSTALL" not in rules

    wanted = "set(ALPHAFLOPS_INSTALL ON)\nset(CMAKE_INSTALL_INCLUDEDIR headers)\n"
    (tmp_path / "CMakeLists.txt").write_text(lists.format(wanted))
    subprocess.run([cmake, "-S", tmp_path, "-B", build], capture_output=True, check=True)
    rules = (build / "alphaflops" / "cmake_install.cmake").read_text()
    assert "/headers" in rules
    assert "/include" not in re.sub(r"FILES \S+", "", rules)


def test_cmake_dir_prints_one_existing_folder(cmake_dir):
    assert (Path(cmake_dir) / "alphaflops-config.cmake").is_file()
    assert json.dumps(cmake_dir).count("\\n") == 0
