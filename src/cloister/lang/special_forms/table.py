"""All special forms by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloister.lang.special_forms import (
    binding,
    comprehension,
    context,
    control,
    data,
    errors,
    loops,
    match,
    metadata,
    modules,
    objects,
    pipelines,
    plan,
    profile,
    types,
)
from cloister.lang.special_forms.form import SpecialForm

SPECIAL_FORMS: Final[Mapping[str, SpecialForm]] = MappingProxyType(
    binding.FAMILY.forms
    | control.FAMILY.forms
    | loops.FAMILY.forms
    | comprehension.FAMILY.forms
    | errors.FAMILY.forms
    | pipelines.FAMILY.forms
    | match.FAMILY.forms
    | plan.FAMILY.forms
    | profile.FAMILY.forms
    | context.FAMILY.forms
    | metadata.FAMILY.forms
    | objects.FAMILY.forms
    | data.FAMILY.forms
    | modules.FAMILY.forms
    | types.FAMILY.forms
)
"""Every head that is not an ordinary call."""
