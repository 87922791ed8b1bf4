"""What every test of a page uses: a parser that balances, hostile texts, a browser."""

import shutil
import subprocess
from html.parser import HTMLParser

HOSTILE = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
VOID = {"meta", "br", "img", "link", "hr"}


class Balance(HTMLParser):
    """Every element that opens closes, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.wrong, self.ids, self.links = [], [], [], set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.ids.add(given.get("id"))
        self.links.add(given.get("href"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def parsed(text):
    found = Balance()
    found.feed(text)
    assert (found.wrong, found.open) == ([], [])
    return found


def opened_in_a_browser(text, folder):
    """What a browser makes of a page: its elements once everything that may run has run."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2000", "--dump-dom",
        file.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
