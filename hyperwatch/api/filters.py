"""Filter sets that refuse what cannot be.

A domain's filter set names its parameters; each says by a `Parameter` what it takes, to the client who is refused
and to the OpenAPI document alike.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django_filters.filters import Filter
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework.exceptions import ValidationError

from hyperwatch.api.parameters import MOMENT, Parameter

# Of whatever model, with its own methods.
Query = Any


class GivenOnce(forms.TextInput):
    """Hands on every value given under a name, so that a second one can be refused."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[str]:
        return data.getlist(name) if hasattr(data, "getlist") else [data[name]] if name in data else []

    def format_value(self, value: Any) -> str | None:
        return ", ".join(value) if isinstance(value, list) else super().format_value(value)


class ParameterField(forms.Field):
    widget = GivenOnce

    def __init__(self, *, parameter: Parameter[Any], **options: Any) -> None:
        required = {"required": "parameter is required"}
        super().__init__(error_messages=required, help_text=parameter.takes, **options)
        self.parameter = parameter

    def to_python(self, value: Any) -> Any:
        try:
            return self.parameter.of(value)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class ParameterFilter(Filter):
    """A parameter of a list, and the column it is compared with."""

    field_class = ParameterField

    def __init__(
        self, parameter: Parameter[Any], field_name: str | None = None, lookup: str = "exact", **options: Any
    ) -> None:
        super().__init__(field_name, lookup, parameter=parameter, **options)
        self.parameter = parameter


class ViewParameter(ParameterFilter):
    """A parameter that no column is compared with: the view finds it in `parameters`."""

    def filter(self, queryset: Query, value: Any) -> Query:
        return queryset


class ParameterForm(forms.Form):
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        self._check_pair("start_time", "end_time", "after")
        self._check_pair("min_value_usd", "max_value_usd", "above")
        return cleaned

    def _check_pair(self, first: str, second: str, relation: str) -> None:
        low, high = self.cleaned_data.get(first), self.cleaned_data.get(second)
        if low is not None and high is not None and low > high:
            self.add_error(first, f"must not be {relation} {second}")


class StrictFilterSet(FilterSet):
    """`tolerated` are parameters that clients send and that change nothing."""

    tolerated: ClassVar[tuple[str, ...]] = ()

    class Meta:
        form = ParameterForm


def start_time(field_name: str) -> ParameterFilter:
    """`start_time` ≤ t, with `end_time` the half-open window of the contract."""
    return ParameterFilter(MOMENT, field_name, "gte")


def end_time(field_name: str) -> ParameterFilter:
    return ParameterFilter(MOMENT, field_name, "lt")


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists by the view's filter set, and leaves what was asked in the view's `parameters`."""

    def filter_queryset(self, request: Any, queryset: Query, view: Any) -> Query:
        # What a path names is not filtered away.
        filterset = None if view.detail else self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise ValidationError(_named(filterset.errors))
        view.parameters = filterset.form.cleaned_data
        return filterset.qs


def _named(errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: [f"{name} {reason}" for reason in reasons] for name, reasons in errors.items()}
