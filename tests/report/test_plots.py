import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure

from liteproof.checks import Verdict
from liteproof.report import inline_svg, plots
from tests.report import check, large

TITLES = ["Size against top1_agreement", "top1_agreement", "Latency", "sqnr_db by layer"]


@pytest.fixture(scope="module")
def drawn():
    return list(plots.of_model(large(targets=("host", "pi")).checks, "digits", "classification"))


def test_every_plot_that_the_checks_give_something_for(drawn):
    assert [plot.title for plot in drawn] == TITLES


def test_plots_are_small_and_themed(drawn):
    for plot in drawn:
        assert len(plot.svg) < 40_000
        assert re.findall(r"(?:fill|stroke): #\w+", plot.svg) == []
        assert "var(--" in plot.svg


def test_plots_have_no_fonts_and_no_styles_of_their_own(drawn):
    for plot in drawn:
        assert "font-family" not in plot.svg
        assert "<style" not in plot.svg


def test_references_stay_within_a_plot(drawn):
    for plot in drawn:
        root = ET.fromstring(plot.svg)
        ids = {e.get("id") for e in root.iter() if e.get("id")}
        used = {e.get("href")[1:] for e in root.iter("use")}
        assert used <= ids
        assert all(name.startswith(plot.name) for name in ids)


def test_description_has_the_numbers(drawn):
    text = ET.fromstring(drawn[1].svg).find("desc").text
    assert "float32 · host: 1.0000 (0.9936 to 1.0000), limit 0.9750" in text
    assert "int4 · pi: not measured, limit 0.9750" in text


def test_what_was_not_measured_says_so(drawn):
    for plot in drawn[1:3]:
        assert "not measured" in [e.text for e in ET.fromstring(plot.svg).iter("text")]


def test_names_that_are_markup_or_formulas_stay_text():
    found = [replace(c, variant=name) for c in (check(), check("size_ratio", 0.3)) for name in ("<b>", "$x^2$")]
    texts = [e.text for p in plots.of_model(found, "m", "classification") for e in ET.fromstring(p.svg).iter("text")]
    assert {"<b>", "$x^2$"} <= {name for text in texts for name in (text or "").split("\n")}


def test_regression_is_shown_by_its_cosine():
    found = [check("cosine_similarity", 0.999, 0.99, interval=None)]
    assert [plot.title for plot in plots.of_model(found, "m", "regression")] == ["cosine_similarity"]


def test_nothing_measured_draws_nothing():
    assert list(plots.of_model([check(value=None, verdict=Verdict.UNMEASURED)], "m", "classification")) == []


@pytest.mark.parametrize(("times", "scale"), [((1.0, 2.0), ""), ((0.01, 20.0), " (logarithmic)")])
def test_far_apart_times_get_a_logarithmic_axis(times, scale):
    found = [
        check("latency_p50_ms", value, None, None, variant=f"v{n}", interval=None) for n, value in enumerate(times)
    ]
    plot = next(plots.latencies(found, "n", "m"))
    assert f"milliseconds for one inference{scale}" in plot.svg


def test_times_of_zero_can_be_drawn():
    assert next(plots.latencies([check("latency_p50_ms", 0.0, None, None)], "n", "m")).svg


def test_layers_that_are_not_numbers_leave_a_gap():
    found = [check("sqnr_db", 30.0, None, None, evidence={"layers": [["a", 40.0], ["b", None], ["c", 20.0]]})]
    assert "worst at c (20.0 dB)" in next(plots.drift(found, "n", "m")).svg


def test_inline_keeps_what_is_referred_to_only():
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().plot([1, 2], marker="o", color=inline_svg.PASS)
    svg = inline_svg.inline(figure, "name", title="t", description="d")
    assert "axes_1" not in svg
    assert re.search(r'id="name-m\w+"', svg)
    assert "var(--pass)" in svg


def test_layers_that_all_equal_float32s_are_not_drawn():
    found = [check("sqnr_db", 200.0, None, None, evidence={"layers": [["a", None], ["b", None]]})]
    assert not list(plots.drift(found, "plot-drift", "digits"))
