"""The page in a real browser: headless Chromium, from disk."""

import json

import pytest

from liteproof.report import html
from tests.report import chromium, large

pytestmark = pytest.mark.slow

EVIL = "<script>window.ran=1</script><img src=x onerror=window.ran=1>"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(html.document(large(("digits", EVIL), ("host", "pi"))))
    return path.as_uri()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    browser = chromium.start(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def page(chrome, report):
    """The report, freshly opened on a light screen of a laptop's width."""
    chromium.prefer(chrome, "light")
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.get("about:blank")
    chrome.get_log("browser")
    chromium.requests(chrome)
    chrome.get(report)
    chrome.execute_script("localStorage.clear()")
    return chrome


def js(page, code, *arguments):
    return page.execute_script(f"return {code}", *arguments)


def visible(page, selector):
    found = f"[...document.querySelectorAll({json.dumps(selector)})]"
    return js(page, f"{found}.filter(e => !e.hidden && !e.closest('[hidden]')).length")


def column(page, number):
    """The texts of a column of the table of variants, as shown."""
    rows = "[...document.querySelectorAll('#cases tbody tr')].filter(r => !r.hidden)"
    return js(page, f"{rows}.map(r => r.cells[{number}].innerText.split('\\n')[0].trim())")


def choose(page, **values):
    """Set fields of the filter, and wait until it has been applied."""
    page.execute_async_script(
        """const [values, done] = arguments, form = document.getElementById('filter');
        for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
        form.dispatchEvent(new Event('input', {bubbles: true}));
        setTimeout(done, 300);""",
        values,
    )


def header(page, text):
    buttons = page.find_elements("css selector", "#cases th[data-sort] button")
    return next(button for button in buttons if button.text.replace("\n", "").strip(" ↕↑↓\u2060") == text)


def test_opens_without_a_word_on_the_console(page):
    assert page.get_log("browser") == []


def test_asks_nothing_of_any_network(page, report):
    asked = [url for url in chromium.requests(page) if not url.startswith("data:")]
    assert asked == [report]


def test_names_do_nothing(page):
    assert js(page, "window.ran") is None
    assert js(page, "document.querySelectorAll('script').length") == 1
    assert js(page, "document.querySelectorAll('img').length") == 0
    assert EVIL in js(page, "document.querySelector('#decision').textContent")


def test_sorts_by_number_and_back(page):
    for direction, order in (("ascending", sorted), ("descending", lambda v: sorted(v, reverse=True))):
        header(page, "latency_p50_ms").click()
        shown = [float(text) for text in column(page, 8) if text != "—"]
        assert shown == order(shown)
        assert js(page, "document.querySelector('#cases th[aria-sort]').getAttribute('aria-sort')") == direction


def test_what_has_no_value_stays_at_the_end(page):
    for _ in range(2):
        header(page, "latency_p50_ms").click()
        shown = column(page, 8)
        assert {*shown[-2:]} == {"—"}
        assert "—" not in shown[:-2]


def test_sorts_verdicts_by_gravity(page):
    header(page, "verdict").click()
    shown = js(page, "[...document.querySelectorAll('#cases tbody tr')].map(r => r.cells[3].textContent.trim())")
    shown = [text.split()[-1] for text in shown]
    order = ["FAIL", "UNMEASURED", "PROVISIONAL", "PASS"]
    assert shown == sorted(shown, key=order.index)
    assert len(set(shown)) > 1


def test_sorts_by_keyboard_and_says_so(page):
    from selenium.webdriver.common.keys import Keys

    header(page, "variant").send_keys(Keys.ENTER)
    natural = ["dynamic_range", "float16", "float32", "int4", "int8", "int8_float_io", "int16x8", "uint8"]
    assert list(dict.fromkeys(column(page, 1))) == natural
    assert js(page, "document.getElementById('announce').textContent") == "Sorted by variant, ascending"


def test_one_sorted_column_at_a_time(page):
    header(page, "variant").click()
    header(page, "model").click()
    assert js(page, "document.querySelectorAll('#cases th[aria-sort]').length") == 1


def test_filters_every_table_and_gate(page):
    choose(page, variant="int4", target="pi", model="digits")
    assert column(page, 1) == ["int4"]
    assert visible(page, ".model") == 1
    assert visible(page, "#gates article") == 2
    assert visible(page, ".model tbody tr[data-row]") == 13
    assert js(page, "document.querySelector('.model details').open")
    assert js(page, "document.querySelector('#filter output').textContent") == "1 variants and 13 checks match"


def test_filters_by_verdict_and_words(page):
    choose(page, verdict="FAIL", text="latency P95")
    metrics = "document.querySelectorAll('.model tr[data-row]:not([hidden]) td:nth-of-type(2) a')"
    checks = js(page, f"[...{metrics}].map(a => a.textContent)")
    assert set(checks) == {"latency_p95_ms"}
    assert len(checks) == 4


def test_clearing_brings_all_back(page):
    before = visible(page, "[data-row]")
    choose(page, text="no such words")
    assert visible(page, "[data-row]") == 0
    page.find_element("css selector", "#filter button[type=reset]").click()
    page.execute_async_script("setTimeout(arguments[0], 100)")
    assert visible(page, "[data-row]") == before


def test_link_to_a_check_opens_what_it_is_in(page, report):
    anchor = "check-digits-int8-host-accuracy"
    assert not js(page, f"document.getElementById('{anchor}').closest('details').open")
    page.get(f"{report}#{anchor}")
    assert js(page, f"document.getElementById('{anchor}').closest('details').open")
    top = js(page, f"document.getElementById('{anchor}').getBoundingClientRect().top")
    assert 0 <= top <= js(page, "innerHeight")


def test_link_brings_back_what_was_filtered_away(page):
    choose(page, variant="int4")
    page.execute_script("location.hash = '#check-digits-int8-host-accuracy'")
    page.execute_async_script("setTimeout(arguments[0], 100)")
    assert js(page, "document.getElementById('check-digits-int8-host-accuracy').closest('[hidden]')") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page, scheme):
    """WCAG 2 AA: a contrast of 4.5 for text; the plots' text counts as well."""
    chromium.prefer(page, scheme)
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    weak = js(page, CONTRAST)
    assert weak == []
    dark = sum(js(page, "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) < 3 * 64
    assert dark == (scheme == "dark")


# Text of every kind on the page: its colour against the first background behind it that is not transparent.
CONTRAST = """(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1})
    .getContext('2d', {willReadFrequently: true});
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
                            return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
                                 return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + below[i] * (1 - top[3] / 255));
  const behind = (e) => { const c = e ? rgba(getComputedStyle(e).backgroundColor) : [255, 255, 255, 255];
                          return !e ? c : c[3] === 255 ? c : over(c, behind(e.parentElement)); };
  const seen = new Set(), weak = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (e.closest('script, style, title, desc, .hidden, .skip, option')) continue;
    const color = e.closest('svg') ? getComputedStyle(e).fill : getComputedStyle(e).color;
    const pair = [light(rgba(color)), light(behind(e.closest('svg') ?? e))].sort((a, b) => b - a);
    const kind = `${e.tagName}.${e.getAttribute('class') ?? ''} ${color}`;
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5 && !seen.has(kind)) weak.push(kind);
    seen.add(kind);
  }
  return weak;
})()"""


def test_theme_is_the_readers_choice(page):
    background = "getComputedStyle(document.body).backgroundColor"
    light = js(page, background)
    button = page.find_element("id", "theme")
    button.click()
    button.click()
    assert button.text == "Theme: dark"
    assert js(page, background) != light


def test_everything_that_does_something_has_a_name_and_shows_focus(page):
    nameless = js(
        page,
        """[...document.querySelectorAll('button, input, select, a[href], [role=region], svg')].filter(e =>
             !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML.slice(0, 80))""",
    )
    assert nameless == []
    page.find_element("id", "theme").send_keys("")
    assert js(page, "getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_tables_have_captions_and_headed_rows(page):
    assert js(page, "[...document.querySelectorAll('table')].filter(t => !t.caption).length") == 0
    assert (
        js(page, "[...document.querySelectorAll('tbody tr')].filter(r => !r.querySelector('th[scope=row]')).length")
        == 0
    )


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_page_is_never_wider_than_the_screen(page, width):
    override = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", override)
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert js(page, "document.documentElement.scrollWidth") <= width


def test_paper_shows_every_check(page):
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert js(page, "document.querySelectorAll('details:not([open])').length") == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert js(page, "document.querySelectorAll('details:not([open])').length") == 2


def test_without_script_everything_is_shown(page, report):
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.get(report)
        assert not page.find_element("id", "filter").is_displayed()
        assert page.find_element("css selector", "#cases tbody tr").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
