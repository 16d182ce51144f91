"""All special forms by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.lang.special_forms import absent, binding, control, data, errors, loops, plan
from cloister.lang.special_forms.form import SpecialForm

SPECIAL_FORMS: Final[Mapping[str, SpecialForm]] = MappingProxyType(
    absent.FAMILY.forms
    | binding.FAMILY.forms
    | control.FAMILY.forms
    | loops.FAMILY.forms
    | errors.FAMILY.forms
    | plan.FAMILY.forms
    | data.FAMILY.forms
)
"""Every head that is not an ordinary call."""
