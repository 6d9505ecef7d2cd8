"""The page's two languages: every text has both, and each is shown where it is asked for."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chromium import person, tab
from tests.servers import Script, serving

STATIC = Path(__file__).parents[2] / "static"
DICTIONARIES = sorted(path.stem for path in (STATIC / "js/words").glob("*.js"))
# What each dictionary has: for every text, a function's arity or the kind of value that it is.
SHAPES = """async (names) => {
  const kind = (value) => typeof value === "function" ? value.length
    : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, of]) => [key, kind(of)]))
    : typeof value;
  const shapes = {};
  for (const name of names) {
    const dictionary = await import(`/static/js/words/${name}.js`);
    for (const [words, value] of Object.entries(dictionary)) shapes[words] = kind(value);
  }
  return shapes;
}"""
OWN_WORDS = re.compile(r"""["'`>](?:[A-Z][a-z]+|[a-z]+ [a-z]+)[a-z ,.…?!]*["'`<]""")
NO_WORDS = re.compile(r"^\s*//|/\*\*|import |console\.|Error\(|[!=]== \"|@media|min-width")

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Texts(HTMLParser):
    """Every text of an HTML page that a person is shown or told."""

    def __init__(self, page: str) -> None:
        """Read the page."""
        super().__init__()
        self.found: set[str] = set()
        self.feed((STATIC / page).read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what is told by attributes."""
        self.found |= {
            value for name, value in attrs if name in {"aria-label", "placeholder", "title", "alt"} and value
        }

    def handle_data(self, data: str) -> None:
        """Take what stands between tags."""
        self.found |= {data.strip()} - {""}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def spoken(browser: Browser, redis_of_run: str) -> dict[str, Any]:
    """The dictionaries' shapes, as a page in each language has them."""
    shapes: dict[str, Any] = {}
    async with serving(redis_of_run, Script()) as node:
        for language in ("en", "de"):
            async with person(browser, locale=language) as somebody, tab(somebody, node.http) as here:
                shapes[language] = await here.page.evaluate(SHAPES, DICTIONARIES)
    return shapes


async def test_both_languages_say_the_same(spoken: dict[str, Any]) -> None:
    """Every text of one is in the other, with the same numbers and names in it."""
    english, german = spoken["en"], spoken["de"]
    assert len(english) >= len(DICTIONARIES)
    for name in english.keys() - {"errors"}:
        assert english[name] == german[name], name
    assert english["errors"].keys() <= german["errors"].keys()


async def test_the_html_is_translated(spoken: dict[str, Any]) -> None:
    """All that stands in it, and nothing else."""
    stands = Texts("index.html").found | Texts("sign-in.html").found
    assert stands - set(spoken["de"]["german"]) == {"Chat", "Token", "This page needs JavaScript."}
    assert set(spoken["de"]["german"]) - stands == set()


async def test_no_view_has_words_of_its_own() -> None:
    """They stand in words/, where both languages are."""
    for path in sorted((STATIC / "js").rglob("*.js")):
        if path.parent.name == "words" or path.stem in {"language", "errors", "connection"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            own = None if NO_WORDS.search(line) else OWN_WORDS.search(re.sub(r"(className|rel): [^,}]*", "", line))
            assert own is None, f"{path.name}:{number} {line}"


@pytest.mark.parametrize(
    ("locale", "title", "send", "hint"),
    [
        ("de-AT", "Neue Unterhaltung", "Senden", "Enter sendet, Umschalt + Enter beginnt eine neue Zeile."),
        ("fr-FR", "New conversation", "Send", "Enter sends, Shift + Enter begins a new line."),
    ],
)
async def test_the_page_speaks_what_the_browser_asks_for(
    browser: Browser, redis_url: str, model: Script, locale: str, title: str, send: str, hint: str
) -> None:
    """German or English, from its first word; English for anybody else."""
    async with serving(redis_url, model) as node, person(browser, locale=locale) as ada, tab(ada, node.http) as here:
        await expect(here.page.locator("#title")).to_have_text(title)
        await expect(here.button(send)).to_be_visible()
        await expect(here.page.locator("#composer-hint")).to_have_text(hint)
        await expect(here.page.locator("html")).to_have_attribute("lang", locale[:2] if send == "Senden" else "en")
        await here.say("Hallo")
        await here.expect_text(0, "You said: Hallo")
        await expect(here.page.locator("#title")).to_have_text("Hallo")
