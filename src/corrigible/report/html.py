"""A page as one file: its frame, its style, and the few elements that every page is made of.

No script, no font, no picture from elsewhere: the page asks for nothing, and its own policy
forbids a browser to run or load anything.  Every text goes through `visible`: what a manifest, a
tool or an agent wrote is shown, never obeyed.  The same parts give the same bytes.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from corrigible.case.leaves import percent
from corrigible.evidence import Estimate

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
NOT_TESTED = "not tested"

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d0d7de; --back: #fff;
  --panel: #f6f8fa; --good: #1a7f37; --bad: #c4201d; --warn: #8a5300; --none: #59636e;
  --a: #0a5fb4; --b: #bc4c00; --c: #8250df; --d: #1a7f37; --e: #a40e6a; --f: #57606a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #3a424c;
  --back: #0d1117; --panel: #161b22; --good: #57d364; --bad: #ff7b72; --warn: #e3b341;
  --none: #9aa4af; --a: #6cb6ff; --b: #ffa657; --c: #c6a5ff; --d: #57d364; --e: #ff9bce;
  --f: #b1bac4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 1120px; background: var(--back);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; } p { margin: .4rem 0; max-width: 78ch; }
a { color: var(--a); } code { font: .92em ui-monospace, monospace; }
.soft { color: var(--soft); } .small { font-size: .87rem; }
.first { border: 1px solid var(--line); border-left-width: 6px; border-radius: 6px;
  background: var(--panel); padding: 1rem 1.2rem; margin: 1rem 0; }
.first .word { font-size: 1.7rem; font-weight: 700; margin: 0; }
.first .number { font-size: 1.15rem; margin: .3rem 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.none { color: var(--none); } .first.good { border-left-color: var(--good); }
.first.bad { border-left-color: var(--bad); } .first.warn { border-left-color: var(--warn); }
.first.none { border-left-color: var(--none); }
.first.good p:not(.word), .first.bad p:not(.word), .first.warn p:not(.word),
.first.none p:not(.word) { color: var(--ink); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { font-weight: 600; color: var(--soft); } td.number { white-space: nowrap; }
tr:target { background: var(--panel); outline: 2px solid var(--a); }
details { margin: .3rem 0; } summary { cursor: pointer; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .87rem; max-width: 78ch; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif;
  fill: var(--ink); } svg .soft { fill: var(--soft); } svg .grid { stroke: var(--line); }
svg .limit { stroke: var(--ink); stroke-dasharray: 5 4; } svg .now { stroke: var(--soft);
  stroke-dasharray: 2 3; } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .s0 { stroke: var(--a); } svg .s1 { stroke: var(--b); stroke-dasharray: 7 3; }
svg .s2 { stroke: var(--c); stroke-dasharray: 2 2; } svg .s3 { stroke: var(--d);
  stroke-dasharray: 9 3 2 3; } svg .s4 { stroke: var(--e); stroke-dasharray: 4 4; }
svg .s5 { stroke: var(--f); stroke-dasharray: 1 3; } svg .line { fill: none; stroke-width: 1.8; }
svg .allow { stroke: var(--bad); } svg .approve { stroke: var(--warn); stroke-dasharray: 6 3; }
svg .deny { stroke: var(--good); stroke-dasharray: 2 3; } svg .serves { stroke: var(--soft); }
svg .node { fill: var(--panel); stroke: var(--line); } svg .over { fill: var(--bad); }
svg .within { fill: var(--good); } svg .open { fill: var(--back); stroke: var(--ink); }
svg .filled { fill: var(--ink); } svg .whisker { stroke: var(--ink); }
svg .r0 { fill: #2da44e; } svg .r1 { fill: #7cb342; } svg .r2 { fill: #c0a000; }
svg .r3 { fill: #e08600; } svg .r4 { fill: #d1401f; } svg .r5 { fill: #8f1d2c; }
@media print { :root { --ink: #000; --soft: #333; --line: #999; --back: #fff; --panel: #fff; }
  body { padding: 0; max-width: none; font-size: 11px; } details { break-inside: avoid; }
  a { color: inherit; text-decoration: none; } h2 { break-after: avoid; }
  .first, figure, tr { break-inside: avoid; } .wide { overflow: visible; } }
""".strip()

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def visible(text: object) -> str:
    """Return a text for HTML: markup is escaped, and what a reader could not see is named."""
    shown = (
        f"⟨U+{ord(char):04X}⟩" if unicodedata.category(char) in _HIDDEN and char != "\n" else char
        for char in str(text)
    )
    return escape("".join(shown), quote=True)


def page(title: str, body: Iterable[str]) -> str:
    """Return the whole page; `body` is HTML whose texts went through `visible`."""
    return "\n".join([
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{visible(title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        "</head>",
        "<body>",
        *body,
        "</body>",
        "</html>",
        "",
    ])  # fmt: skip


def element(tag: str, text: object, kind: str = "") -> str:
    """Return an element that holds one text."""
    own = f' class="{kind}"' if kind else ""
    return f"<{tag}{own}>{visible(text)}</{tag}>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, ids: Sequence[str] = ()) -> str:
    """Return a table; `rows` hold HTML, `ids` an anchor for each row."""
    lines = ['<div class="wide"><table>', "<thead><tr>"]
    lines += [f'<th scope="col">{visible(head)}</th>' for head in heads]
    lines.append("</tr></thead><tbody>")
    for number, row in enumerate(rows):
        anchor = f' id="{visible(ids[number])}"' if ids else ""
        lines.append(f"<tr{anchor}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def details(summary: str, inner: Iterable[str]) -> str:
    """Return a part that opens on a click and is open in print; `summary` and `inner` are HTML."""
    return "\n".join(["<details>", f"<summary>{summary}</summary>", *inner, "</details>"])


def figure(svg: str, caption: str) -> str:
    """Return a picture with what it shows said below it."""
    return f"<figure>{svg}<figcaption>{visible(caption)}</figcaption></figure>"


def listed(items: Iterable[str]) -> str:
    """Return a list; the items are HTML."""
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def as_estimate(plain: Mapping[str, Any] | None) -> Estimate:
    """Return the estimate that a document holds; not measured where it holds none."""
    if plain is None or plain["value"] is None:
        return Estimate(None, None, None, 0 if plain is None else plain["n"], "not measured")
    method = plain.get("method", "as the document says")
    return Estimate(plain["value"], plain["low"], plain["high"], plain["n"], method)


def share(estimate: Estimate, link: str = "") -> str:
    """Return a share with its interval and n; `link` is the anchor of the record behind it."""
    if estimate.value is None:
        return f'<span class="none">{NOT_TESTED}</span>'
    words = (
        f"{percent(estimate.value)} "
        f'<span class="soft small">[{percent(estimate.at_least)}, {percent(estimate.at_most)}]'
        f" n={estimate.n:,}</span>"
    )
    return f'<a href="#{visible(link)}">{words}</a>' if link else words
