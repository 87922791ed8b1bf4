"""What a name looks like: names of one look may be taken for each other, by people or servers."""

import unicodedata
from functools import lru_cache

LONGEST = 512
"""Characters of a name that are looked at; no name of a tool or an argument is so long."""

# Letters that are drawn as Latin ones in either case, beside what NFKD and folding make alike.
_PAIRS = (
    "аa вb еe гr һh іi јj кk ӏl мm нh оo пn рp ԛq сc ѕs тt уy ԝw хx ьb ԁd "  # noqa: RUF001  (Cyrillic)
    "αa βb γy εe ζz ηh ιi κk μm νv οo ρp τt υu χx ωw ϲc ϳj "  # noqa: RUF001  (Greek)
    "օo սu ոn հh ցg զq քp ıi ȷj ɑa ɡg ɩi ɪi ʟl ꞁl ʋv ᴏo ᴜu ᴠv ᴡw ᴢz"  # noqa: RUF001  (others)
)
_DRAWN_AS = {ord(pair[0]): pair[1] for pair in _PAIRS.split()}
_JOINS = str.maketrans("", "", " _-./:\\+~@#")


@lru_cache(maxsize=8192)
def look_of(name: str) -> str:
    """Return one text for all names that look like `name`.

    Alike are names that differ by case, width or other compatibility forms (NFKC), by marks on
    letters, by what is not seen (spaces, zero-width and control characters), by letters that
    are drawn alike, or by what joins words (`_`, `-`, `.`, `/`, `:`).
    """
    text = unicodedata.normalize("NFKD", name[:LONGEST]).casefold()
    text = unicodedata.normalize("NFKD", text)
    if not text.isascii():
        seen = (c for c in text if unicodedata.category(c)[0] not in "CZM")
        text = "".join(seen).translate(_DRAWN_AS)
    return "".join(c for c in text.translate(_JOINS) if c.isprintable())


def is_plain(name: str) -> bool:
    """Whether a name holds only what is seen: no control, private or invisible character."""
    return bool(name) and name.isprintable() and name == name.strip()
