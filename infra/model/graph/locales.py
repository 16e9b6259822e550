"""The locale in which a graph changes the case of text, replaced by one that every machine has.

onnxruntime asks the C library for the locale that a StringNormalizer names, by default en_US.UTF-8
(core/providers/cpu/text/string_normalizer.cc), and fails to load the model where it is missing.
"""

from collections.abc import Iterable

from onnx import AttributeProto, NodeProto, helper

PORTABLE = "C.UTF-8"  # in glibc it has the case mapping of en_US.UTF-8
EVERYWHERE = (PORTABLE, "C.utf8", "C", "POSIX")
DEFAULT = "en_US.UTF-8"  # of onnxruntime, where the attribute is absent
# Languages whose glibc locales map I and i to other letters: those that copy LC_CTYPE of tr_TR.
DOTLESS = ("az", "crh", "ku", "tr", "tt")


def make_portable(nodes: Iterable[NodeProto]) -> tuple[list[str], list[str]]:
    """Give each StringNormalizer among `nodes` a locale that Lambda has.

    Returns what was changed, and why the model cannot be served: one line for each locale.
    """
    changes: list[str] = []
    problems: list[str] = []
    for node in nodes:
        attributes = {one.name: one for one in node.attribute}
        if node.op_type != "StringNormalizer" or not _changes_case(attributes):
            continue
        locale = _read_text(attributes["locale"]) if "locale" in attributes else DEFAULT
        if locale.partition("_")[0] in DOTLESS:
            problems.append(
                f"StringNormalizer asks for the locale {locale}, which Lambda does not have, and "
                f"{PORTABLE} changes the case of I and i differently: export the model with that"
            )
        elif locale not in EVERYWHERE:
            if "locale" in attributes:
                node.attribute.remove(attributes["locale"])
            node.attribute.append(helper.make_attribute("locale", PORTABLE))
            asked = f"the locale {locale}" if locale else "the machine's own locale"
            changes.append(
                f"StringNormalizer asks for {asked}, which Lambda may not have: replaced by "
                f"{PORTABLE}, which changes the case of all letters as en_US.UTF-8 does"
            )
    return list(dict.fromkeys(changes)), list(dict.fromkeys(problems))


def _changes_case(attributes: dict[str, AttributeProto]) -> bool:
    """Return whether the locale matters: to change case, or to compare with stop words."""
    action = attributes.get("case_change_action")
    sensitive = attributes.get("is_case_sensitive")
    if action is not None and _read_text(action) != "NONE":
        return True
    return "stopwords" in attributes and (sensitive is None or sensitive.i != 1)


def _read_text(attribute: AttributeProto) -> str:
    """Return an attribute's text; it is empty where a function takes it from its caller."""
    return attribute.s.decode(errors="replace")
