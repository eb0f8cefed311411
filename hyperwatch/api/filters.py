"""Filter sets that reject invalid values.

A domain's filter set names its parameters. The `Parameter` of each describes the accepted values, both for error
messages and for the OpenAPI document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from django import forms
from django.http import QueryDict
from django_filters.filters import Filter
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework.exceptions import ValidationError

from hyperwatch.api.parameters import ID, PAGE_SIZES, TIME_PARAMETER, Parameter

# A QuerySet of any model, with that model's own methods.
Query = Any

REQUIRED_TEXT = "parameter is required"
# Lower bound, upper bound, and the relation that the lower one must not have to the upper one.
ORDERED_PAIRS = (("start_time", "end_time", "after"), ("min_value_usd", "max_value_usd", "above"))


class AllValuesInput(forms.TextInput):
    """Returns all values of a parameter, so that a repeated one can be rejected."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[str]:
        return data.getlist(name) if hasattr(data, "getlist") else [data[name]] if name in data else []

    def format_value(self, value: Any) -> str | None:
        return ", ".join(value) if isinstance(value, list) else super().format_value(value)


class ParameterField(forms.Field):
    widget = AllValuesInput

    def __init__(self, *, parameter: Parameter[Any], **options: Any) -> None:
        super().__init__(error_messages={"required": REQUIRED_TEXT}, help_text=parameter.takes, **options)
        self.parameter = parameter

    def to_python(self, value: Any) -> Any:
        try:
            return self.parameter.parse(value)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class ParameterFilter(Filter):
    """A query parameter of a list, compared with a column."""

    field_class = ParameterField

    def __init__(
        self, parameter: Parameter[Any], field_name: str | None = None, lookup: str = "exact", **options: Any
    ) -> None:
        super().__init__(field_name, lookup, parameter=parameter, **options)
        self.parameter = parameter
        self.is_required = bool(options.get("required"))

    def conditions(self, value: Any) -> dict[str, Any]:
        """Lookups for `QuerySet.filter` with this value."""
        return {f"{self.field_name}__{self.lookup_expr}": value}

    def read(self, texts: Sequence[str]) -> Any:
        """Returns the value, None if absent; raises ValueError with the reason."""
        value = self.parameter.parse(texts)
        if value is None and self.is_required:
            raise ValueError(REQUIRED_TEXT)
        return value


class ViewParameter(ParameterFilter):
    """A parameter that is compared with no column. The view reads it from `parameters`."""

    def conditions(self, value: Any) -> dict[str, Any]:
        return {}


def range_errors(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each lower bound above its upper bound, with the reason."""
    for first, second, relation in ORDERED_PAIRS:
        low, high = values.get(first), values.get(second)
        if low is not None and high is not None and low > high:
            yield first, f"must not be {relation} {second}"


class ParameterForm(forms.Form):
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name, reason in range_errors(cleaned):
            self.add_error(name, reason)
        return cleaned


class StrictFilterSet(FilterSet):
    """`ignored_params` are accepted from clients without effect.

    Lists use `read` and `apply`. The form takes ten times as long and is used by the browsable pages only.
    """

    ignored_params: ClassVar[tuple[str, ...]] = ()

    class Meta:
        form = ParameterForm

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """The value of each parameter, None if absent; raises ValidationError with all reasons."""
        values, reasons = dict[str, Any](), dict[str, list[str]]()
        for name, parameter_filter in cast(Mapping[str, ParameterFilter], cls.base_filters).items():
            try:
                values[name] = parameter_filter.read(query.getlist(name))
            except ValueError as error:
                reasons[name] = [f"{name} {error}"]
        for name, reason in range_errors(values):
            reasons[name] = [f"{name} {reason}"]
        if reasons:
            raise ValidationError(reasons)
        return values

    @classmethod
    def apply(cls, queryset: Query, values: Mapping[str, Any]) -> Query:
        conditions = dict[str, Any]()
        for name, value in values.items():
            if value is not None:
                conditions |= cast(ParameterFilter, cls.base_filters[name]).conditions(value)
        return queryset.filter(**conditions) if conditions else queryset

    def filter_queryset(self, queryset: Query) -> Query:
        return self.apply(queryset, self.form.cleaned_data)


def page_number() -> ViewParameter:
    """With `page_size`, for `pagination.numbered_page`."""
    return ViewParameter(ID)


def page_size() -> ViewParameter:
    return ViewParameter(PAGE_SIZES)


def start_time(field_name: str) -> ParameterFilter:
    """`start_time` ≤ t; with `end_time` the contract's half-open window."""
    return ParameterFilter(TIME_PARAMETER, field_name, "gte")


def end_time(field_name: str) -> ParameterFilter:
    return ParameterFilter(TIME_PARAMETER, field_name, "lt")


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists with the view's filter set and its `parameters`."""

    def filter_queryset(self, request: Any, queryset: Query, view: Any) -> Query:
        filterset: type[StrictFilterSet] | None = view.filterset_class
        # Filters apply to lists, not to an object that the path names.
        if view.detail or filterset is None:
            return queryset
        return filterset.apply(queryset, view.parameters)
