"""Cut entries out of YAML text and leave every other character, comments too, as it is.

A round trip through a parser would lay out the whole file anew; here its marks only say where an
entry begins and ends.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Item:
    """One entry of a collection: from its key or first character on; `slot`: where its value is."""

    step: str | int
    start: int
    slot: int
    end: int
    value: Node


def cut(text: str, gone: Collection[Path_], replaced: Mapping[Path_, str] | None = None) -> str:
    """Return YAML text without the entries at the paths `gone`, and with other scalars.

    A collection of which every entry goes stays, empty.  A path that the text does not have is
    left out of account.

    Args:
        text: YAML that has been parsed without problems.
        gone: paths of keys and indexes, as `("tools", "files.read")`.
        replaced: scalars to put in the place of others, as YAML.
    """
    work = _Cut(text, set(gone), replaced or {})
    work.collection(YAML(typ="rt", pure=True).compose(text), (), 0)
    for start, end, new in sorted(work.edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


class _Cut:
    def __init__(self, text: str, gone: set[Path_], replaced: Mapping[Path_, str]) -> None:
        self.text, self.gone, self.replaced = text, gone, replaced
        self.edits: list[tuple[int, int, str]] = []

    def collection(self, node: Node, path: Path_, slot: int) -> None:
        """Note the edits of a collection and of all in it; `slot`: where it may begin."""
        items = self._items(node)
        going = [(*path, item.step) in self.gone for item in items]
        flow = isinstance(node, CollectionNode) and bool(node.flow_style)
        if items and all(going) and not flow:
            empty = " {}" if isinstance(node, MappingNode) else " []"
            end = len(self.text[: _content_end(node)].rstrip())  # a block of text ends a line
            self.edits.append((slot, end, empty))
            return
        if any(going):
            spans = _flow_spans(items, going) if flow else _block_spans(self.text, items, going)
            self.edits += [(start, end, "") for start, end in spans]
        for item, goes in zip(items, going, strict=True):
            here = (*path, item.step)
            if not goes and here in self.replaced:
                start = item.value.start_mark.index
                self.edits.append((start, item.end, self.replaced[here]))
            elif not goes:
                self.collection(item.value, here, item.slot)

    def _items(self, node: Node) -> list[_Item]:
        if isinstance(node, MappingNode):
            return [
                _Item(
                    key.value, _start(key), self.text.index(":", _index(key)) + 1, _index(value),
                    value,
                )
                for key, value in node.value
            ]  # fmt: skip
        if isinstance(node, SequenceNode):
            return [
                _Item(number, _start(value), _start(value), _index(value), value)
                for number, value in enumerate(node.value)
            ]
        return []


def _flow_spans(items: list[_Item], going: list[bool]) -> Iterator[tuple[int, int]]:
    """An entry up to the next one; those after the last that stays, from that one's end on."""
    kept = [number for number, goes in enumerate(going) if not goes]
    last = kept[-1] if kept else -1
    for number, item in enumerate(items[: last + 1]):
        if going[number]:
            yield item.start, items[number + 1].start
    if last + 1 < len(items):
        yield (items[last].end if kept else items[0].start), items[-1].end


def _block_spans(text: str, items: list[_Item], going: list[bool]) -> Iterator[tuple[int, int]]:
    """Whole lines: from the entry's own to its last, without the comments that follow it."""
    for item, goes in zip(items, going, strict=True):
        if goes:
            start = text.rfind("\n", 0, item.start) + 1
            yield start, _last_line_end(text, item)


def _last_line_end(text: str, item: _Item) -> int:
    """Return where the last line of an entry ends: its content, not what its parser skipped."""
    end = max(_content_end(item.value), item.start + 1)
    newline = text.find("\n", end - 1 if text[end - 1 : end] == "\n" else end)
    return len(text) if newline < 0 else newline + 1


def _content_end(node: Node) -> int:
    """Where a node's last scalar or bracket ends; a block's own mark lies at the next token."""
    if not isinstance(node, MappingNode | SequenceNode) or node.flow_style or not node.value:
        return _index(node)
    last = node.value[-1]
    return _content_end(last[1] if isinstance(node, MappingNode) else last)


def _start(node: Any) -> int:
    found: int = node.start_mark.index
    return found


def _index(node: Any) -> int:
    found: int = node.end_mark.index
    return found
