"""The rules that gsn2x 4.3 holds a file against (its `doc/src/checks.md`), in its own numbering.

Written from its documentation and `validation.rs`, since it comes as a Rust program alone.
"""

from ruamel.yaml import YAML

PREFIXES = (("CG", "CounterGoal"), ("G", "Goal"), ("CSn", "CounterSolution"), ("Sn", "Solution"),
            ("S", "Strategy"), ("C", "Context"), ("A", "Assumption"),
            ("J", "Justification"))  # fmt: skip
ARGUED = {"Goal", "Strategy"}
SUPPORTS = {
    "Goal": {"Goal", "CounterGoal", "Solution", "CounterSolution", "Strategy"},
    "Strategy": {"Goal", "CounterGoal", "Solution", "CounterSolution", "Strategy"},
    "CounterGoal": {"CounterGoal", "CounterSolution"},
}
CONTEXTS = {"Justification", "Assumption", "Context"}
KNOWN = {"text", "supportedBy", "inContextOf", "undeveloped", "url", "classes", "nodeType",
         "rankIncrement", "horizontalIndex", "charWrap", "acp", "challenges", "defeated",
         "defeatedRelation"}  # fmt: skip


def loaded(text):
    return YAML(typ="safe", pure=True).load(text)


def broken_rules(elements):  # noqa: C901  (one branch a rule)
    """Return what gsn2x would warn of or refuse, as `V04 G/x: …`."""
    found = []
    types = {i: e.get("nodeType") or type_of(i) for i, e in elements.items()}
    for id_, element in elements.items():
        kind, below = types[id_], listed(element.get("supportedBy"))
        around = listed(element.get("inContextOf"))
        if kind is None:
            found.append(f"V01 {id_}: of no known type")
        if kind in ARGUED and not below and not element.get("undeveloped"):
            found.append(f"V02 {id_}: nothing supports it, and it is not marked")
        if below and element.get("undeveloped"):
            found.append(f"V03 {id_}: marked undeveloped, and supported")
        found += [
            f"V04 {id_}: supported by {end}, a {types[end]}"
            for end in below
            if end in types and types[end] not in SUPPORTS.get(kind, set())
        ]
        found += [
            f"V04 {id_}: in context of {end}, a {types[end]}"
            for end in around
            if end in types and (kind not in ARGUED or types[end] not in CONTEXTS)
        ]
        for ends in (below, around):
            if len(set(ends)) < len(ends):
                found.append(f"V05 {id_}: names an element twice")
            found += [f"V06 {id_}: names itself" for end in ends if end == id_]
        if type_of(id_) not in (None, kind):
            found.append(f"V08 {id_}: its id says {type_of(id_)}")
        for ends in (element.get("acp") or {}).values():
            if not {id_, *below, *around}.issuperset(listed(ends)):
                found.append(f"V09 {id_}: a claim point stands on {ends}")
        challenged = element.get("challenges")
        if challenged is not None and kind not in {"CounterGoal", "CounterSolution"}:
            found.append(f"V12 {id_}: challenges, and is no counter element")
        if challenged is not None and (challenged == id_ or challenged not in elements):
            found.append(f"C13/C14 {id_}: challenges {challenged}")
        by = [i for i, e in elements.items() if e.get("challenges") == id_]
        if element.get("defeated") and not by:
            found.append(f"V10 {id_}: defeated, and nothing challenges it")
        found += [f"C03 {id_}: {end} does not exist" for end in (*below, *around)
                  if end not in elements]  # fmt: skip
        found += [f"additional {id_}: {key} is no text" for key, value in element.items()
                  if key not in KNOWN and not isinstance(value, str)]  # fmt: skip
    return found + of_the_whole(elements, types)


def of_the_whole(elements, types):
    links = {i: [*listed(e.get("supportedBy")), *listed(e.get("inContextOf"))]
             for i, e in elements.items()}  # fmt: skip
    named = {end for ends in links.values() for end in ends}
    tops = [i for i in elements if i not in named and "challenges" not in elements[i]]
    found = [] if len(tops) == 1 else [f"C01: the tops are {tops}"]
    found += [f"C02: the top {i} is no goal" for i in tops if types[i] != "Goal"]
    seen, todo = set(), list(tops) + [i for i in elements if "challenges" in elements[i]]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += links.get(one, ())
    return found + [f"C08 {i}: not reachable" for i in sorted(set(elements) - seen)]


def type_of(id_):
    return next((kind for prefix, kind in PREFIXES if id_.startswith(prefix)), None)


def listed(ends):
    return [ends] if isinstance(ends, str) else list(ends or ())
