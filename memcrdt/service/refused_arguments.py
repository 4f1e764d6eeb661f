"""Say in plain words why an argument does not fit its type. Agents and people read it, who know nothing of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: The forms of texts that arguments have to match.
ID: Final = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
NOT_BLANK: Final = r"\S"

_FORMS: Final[Mapping[str, str]] = {
    ID: "give the id of a memory, which has 26 characters",
    NOT_BLANK: "give a text that is not blank",
}
# The words for each type of error of pydantic. What stands in braces is in the context of the error.
_WORDS: Final[Mapping[str, str]] = {
    "missing": "it is missing; give it",
    "extra_forbidden": "there is no argument of this name; leave it out",
    "json_invalid": "the content is not JSON",
    "string_type": "give a text",
    "string_too_short": "give at least {min_length:,} characters",
    "string_too_long": "give at most {max_length:,} characters",
    "string_pattern_mismatch": "it does not have the form {pattern}",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a number that is not infinite",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "greater_than": "give more than {gt:,.15g}",
    "greater_than_equal": "give at least {ge:,.15g}",
    "less_than": "give less than {lt:,.15g}",
    "less_than_equal": "give at most {le:,.15g}",
    "list_type": "give a list",
    "too_short": "give at least {min_length:,} of them",
    "too_long": "give at most {max_length:,} of them",
    "dict_type": "give a JSON object",
    "model_type": "give a JSON object",
    "model_attributes_type": "give a JSON object",
    "literal_error": "give {expected}",
    "enum": "give {expected}",
    "value_error": "{error}",
}


def reason_of(error: Mapping[str, Any]) -> str:
    """Return why an argument was refused, and what to give.

    Args:
        error: An item of `errors()` of pydantic's ValidationError.
    """
    context = error.get("ctx", {})
    words = _FORMS.get(context.get("pattern", "")) or _WORDS.get(error["type"])
    return str(error["msg"]) if words is None else words.format_map(context)
