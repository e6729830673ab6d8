"""Pictures of a fit: drawn from rows held out, written whole, or one error."""

from __future__ import annotations

import builtins
import warnings

import numpy as np
import pytest
from measurements import ALPHA_FLOOR, shapes, timed, with_column
from typer.testing import CliRunner

import alphaflops as af
from alphaflops.cli import app
from alphaflops.errors import IoError, MissingExtraError, UnsupportedError
from alphaflops.fitting import fit
from alphaflops.table import work_table, write_table


@pytest.fixture(scope="module")
def fitted():
    return fit(timed(shapes(60, 1), ALPHA_FLOOR, noise=0.05))


@pytest.fixture
def quiet():
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of matplotlib's own imports
        yield


@pytest.fixture
def no_matplotlib(monkeypatch):
    real = builtins.__import__

    def without(name, *more, **options):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", without)


def test_held_out_predictions_are_what_the_errors_are_of(fitted):
    held_out = fitted.held_out
    assert set(held_out.predicted_s) == set(fitted.forms)
    for form, predicted_s in held_out.predicted_s.items():
        error = np.nanmean(np.abs(predicted_s / held_out.time_s - 1))
        assert error == pytest.approx(fitted.forms[form].cv.mape, rel=1e-12)
    assert len(held_out.rows) == 60


def test_a_fit_is_drawn(fitted, quiet, tmp_path):
    path = tmp_path / "fit.png"
    figure = fitted.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    times, alpha, *residuals = figure.axes
    drawn = np.concatenate([points.get_offsets() for points in times.collections[1:]])
    held_out = fitted.held_out.predicted_s[fitted.selected]
    wanted = np.stack([fitted.held_out.time_s, held_out], axis=1) * 1e3
    rank = [np.lexsort(np.asarray(points).T) for points in (drawn, wanted)]
    np.testing.assert_allclose(np.asarray(drawn)[rank[0]], wanted[rank[1]])
    assert {line.get_label() for line in alpha.lines} >= {"K = 1×1", "K = 3×3", "K = 5×5"}
    assert len(residuals) == 5
    assert {axes.get_xlabel() for axes in residuals} >= {"MACs", "channels in", "channels out"}


def test_another_form_is_drawn(fitted, quiet):
    assert "macs: 60 held-out rows" in fitted.plot(form="macs").get_suptitle()
    with pytest.raises(UnsupportedError, match="'cubic'"):
        fitted.plot(form="cubic")


@pytest.mark.parametrize("name", ["picture.nothing", "absent/picture.png"])
def test_a_picture_that_cannot_be_written(fitted, quiet, tmp_path, name):
    with pytest.raises(IoError, match=r"picture"):
        fitted.plot(tmp_path / name)


def test_kinds_look_different(quiet):
    drawn = af.sample_shapes(120)
    fitted = fit(with_column(drawn, "time_s", 1e-6 + 2e-11 * work_table(drawn).macs))
    legend = fitted.plot().axes[0].get_legend()
    kinds = [text.get_text() for text in legend.get_texts() if "rows" in text.get_text()]
    points = [each for each in legend.legend_handles if hasattr(each, "get_offsets")]
    looks = {(*each.get_facecolor()[0], len(each.get_paths()[0].vertices)) for each in points}
    assert len(kinds) > 7  # more than there are colours
    assert len(looks) == len(kinds)


def test_without_matplotlib_the_extra_is_named(fitted, no_matplotlib, tmp_path):
    with pytest.raises(MissingExtraError, match=r"alphaflops\[plot\]"):
        fitted.plot(tmp_path / "fit.png")


def test_command_line(quiet, tmp_path):
    table, picture = tmp_path / "times.csv", tmp_path / "fit.svg"
    write_table(timed(shapes(20, 1), ALPHA_FLOOR, noise=0.05), table)
    done = CliRunner().invoke(app, ["fit", str(table), "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    assert "<svg" in picture.read_text()[:2000]
