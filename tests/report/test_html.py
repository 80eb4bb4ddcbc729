"""The page as a file: complete, escaped, asking nothing of any network. What a browser makes of it: test_browser."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from liteproof.checks import Verdict
from liteproof.report import html, writer
from liteproof.report.page import page_of
from tests.report import check, large, results

EVIL = '<script>alert("1")</script>'


class Document(HTMLParser):
    """Elements with their attributes, ids, and text outside of style and script."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.ids, self.words, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        self.inside = tag

    def handle_endtag(self, tag):  # noqa: ARG002 - as the parser calls it
        self.inside = None

    def handle_data(self, data):
        if self.inside not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def values(self, name):
        return [attributes[name] for _, attributes in self.elements if attributes.get(name)]


def page(found):
    return Document(html.document(found).decode())


@pytest.fixture(scope="module")
def whole():
    return html.document(large(("digits", EVIL), ("host", "pi"), complete=False)).decode()


@pytest.fixture(scope="module")
def document(whole):
    return Document(whole)


def test_names_are_only_text(document, whole):
    assert EVIL not in whole
    assert EVIL in document.text
    assert [tag for tag, _ in document.elements].count("script") == 1


def test_every_text_of_a_check_is_escaped():
    found = check(
        value=0.9, verdict=Verdict.FAIL, margin=-0.05, suite=EVIL, test=EVIL, detail=EVIL, causes=(EVIL,), next=EVIL,
        evidence={"flips": {EVIL: 3}},
    )  # fmt: skip
    text = html.document(results(found)).decode()
    assert "<script>alert" not in text
    assert Document(text).text.count(EVIL) >= 5


def test_nothing_is_loaded_from_anywhere(document):
    links = [*document.values("href"), *document.values("src")]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert [tag for tag, _ in document.elements if tag in ("iframe", "object", "embed", "img", "base")] == []


def test_style_refers_to_nothing_outside():
    style = (html.TEMPLATES / "report.css").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(|https?:", style)


def test_policy_lets_only_our_script_run(document):
    policy = next(a["content"] for _, a in document.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_ids_are_unique_and_every_link_leads_somewhere(document):
    assert len(document.ids) == len(set(document.ids))
    targets = {link[1:] for link in document.values("href") if link.startswith("#")}
    assert targets - set(document.ids) == set()


def test_plots_are_named_for_those_who_do_not_see_them(document):
    plots = [attributes for tag, attributes in document.elements if tag == "svg"]
    assert len(plots) == 8
    for plot in plots:
        assert plot["role"] == "img"
        assert set(plot["aria-labelledby"].split()) <= set(document.ids)


def test_every_check_has_an_anchor_that_lasts(document):
    assert "check-digits-int8-host-top1_agreement" in document.ids
    assert sum(name.startswith("check-") for name in document.ids) == len(large(("a", "b"), ("host", "pi")).checks)


def test_anchors_of_equal_checks_differ():
    document = page(results(check(), check()))
    assert {"check-digits-int8-host-top1_agreement", "check-digits-int8-host-top1_agreement-2"} <= set(document.ids)


def test_decision_comes_first(whole):
    order = [whole.index(f'<section id="{name}"') for name in ("decision", "cases", "gates", "models", "environment")]
    assert order == sorted(order)


def test_missed_gate_says_all(document):
    for part in ("does not load", "the runtime is older than the file's operators: it has 11",
                 "liteproof inspect int4.tflite", "acceptance/test_loads.py::test_loads[digits-int4-pi]"):  # fmt: skip
        assert part in document.text


def test_what_one_reason_left_unmeasured_is_one_entry(document):
    assert "10 metrics not measured: top1_agreement, accuracy" in document.text


def test_a_run_that_was_cut_off_says_so_at_the_top(document):
    assert "This run was cut off: 376 of 416 tests ran." in document.text
    assert "cut off" not in page(results()).text


def test_cases_that_were_never_judged_are_listed():
    found = results(check(), complete=False)
    other = {"int4": {"file": "int4.tflite", "bytes": 1, "recipe": "int4", "sha256": None}}
    models = {"digits": {**found.models["digits"], "variants": {**found.models["digits"]["variants"], **other}}}
    document = page(replace(found, models=models))
    assert "1 of 1 accepted, 1 not judged" in document.text
    assert "the run was cut off before it" in document.text


def test_waivers_and_metrics_that_do_not_apply_are_listed():
    found = results()
    waiver = {"rule": "bias_scale", "tensor": None, "reason": "the vendor rewrites it", "until": "2027-03-31"}
    variant = {**found.models["digits"]["variants"]["int8"], "waivers": [waiver]}
    variant["not_applicable"] = {"speedup": "this is the float32 one", "weight_error_lsb": "this is the float32 one"}
    text = page(replace(found, models={"digits": {**found.models["digits"], "variants": {"int8": variant}}})).text
    assert "the vendor rewrites it" in text
    assert "2027-03-31" in text
    assert "speedup, weight_error_lsb this is the float32 one" in text
    assert "Not judged" not in text


def test_metrics_that_do_not_apply_for_one_reason_are_one_row():
    found = results()
    variant = {**found.models["digits"]["variants"]["int8"], "not_applicable": {
        name: f"{name} needs [service] in model.toml" for name in ("service_error", "service_p50_ms")
    }}  # fmt: skip
    text = page(replace(found, models={"digits": {**found.models["digits"], "variants": {"int8": variant}}})).text
    assert "service_error, service_p50_ms needs [service] in model.toml" in text


def test_the_command_can_be_typed_again():
    found = results()
    narrowed = replace(found, run=replace(found.run, command=("-m", "not timing", "--models=my models")))
    assert "pytest -m 'not timing' '--models=my models'" in page(narrowed).text


def test_what_was_done_to_the_samples_is_told():
    found = results()
    evaluation = {
        "file": "models/digits/photos", "samples": 200, "sha256": "1" * 64, "arrays_sha256": "2" * 64,
        "made_from": [{"file": "models/digits/photos", "sha256": "3" * 64}],
        "preprocessing": {"samples": 200, "stratify": True, "resize": [96, 96], "scale": {"x": [0.5]}},
    }  # fmt: skip
    text = page(replace(found, models={"digits": {**found.models["digits"], "evaluation": evaluation}})).text
    assert "evaluation: 200 drawn, in proportion to the classes; resized to 96 × 96, x × 0.5" in text
    assert "3" * 64 in text
    assert "2" * 64 in text


def test_environment_shows_every_fact_of_every_target(document):
    for fact in ("Raspberry Pi 4 Model B", "tflite_runtime 2.14.0", "ai_edge_litert 2.3.0", "device: governor"):
        assert fact in document.text


def test_differences_from_the_accepted_baseline():
    found = results(check(value=0.99))
    accepted = {"int8": {"host": {"top1_agreement": 0.97}}}
    text = page(replace(found, models={"digits": {**found.models["digits"], "accepted": accepted}})).text
    assert "0.9700 0.9900 ↑ +0.0200 better" in text


def test_an_unknown_metric_is_shown_as_it_is():
    assert "my_own_metric" in page(results(check("my_own_metric"))).text


def test_a_run_without_any_check_is_a_page_all_the_same():
    assert "0 of 0 accepted" in page(replace(results(), checks=(), models={}, verdicts={}, targets={})).text


def test_same_results_give_the_same_bytes():
    found = large(variants=("int8", "int4"))
    assert html.document(found) == html.document(found)


def test_without_the_extra_the_other_reports_are_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = writer.write(results(), tmp_path)
    assert {path.name for path in folder.iterdir()} == {"results.json", "junit.xml", "summary.md"}
    assert writer.left_out() == (
        'report.html left out (matplotlib not installed): pip install "liteproof[report]", then: liteproof report RUN'
    )


def test_with_the_extra_nothing_is_left_out():
    assert writer.left_out() is None


def test_outcomes_of_a_decision():
    decision = page_of(large(targets=("pi",))).decisions[0]
    assert [outcome.variant for outcome in decision.blocked] == ["int16x8", "int4"]
    assert [text.short for text in decision.blocked[1].blocking] == ["does not load", "10 metrics not measured"]
