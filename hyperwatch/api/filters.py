"""Filter sets that refuse what cannot be.

A domain's filter set names its parameters; each says by a `Parameter` what it takes, to the client who is refused
and to the OpenAPI document alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from django import forms
from django.http import QueryDict
from django_filters.filters import Filter
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework.exceptions import ValidationError

from hyperwatch.api.parameters import TIME_PARAMETER, Parameter

# Of whatever model, with its own methods.
Query = Any

REQUIRED = "parameter is required"
# The first of a pair must not be so of the second.
PAIRS = (("start_time", "end_time", "after"), ("min_value_usd", "max_value_usd", "above"))


class GivenOnce(forms.TextInput):
    """Hands on every value given under a name, so that a second one can be refused."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[str]:
        return data.getlist(name) if hasattr(data, "getlist") else [data[name]] if name in data else []

    def format_value(self, value: Any) -> str | None:
        return ", ".join(value) if isinstance(value, list) else super().format_value(value)


class ParameterField(forms.Field):
    widget = GivenOnce

    def __init__(self, *, parameter: Parameter[Any], **options: Any) -> None:
        super().__init__(error_messages={"required": REQUIRED}, help_text=parameter.takes, **options)
        self.parameter = parameter

    def to_python(self, value: Any) -> Any:
        try:
            return self.parameter.parse(value)
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
        self.is_required = bool(options.get("required"))

    def conditions(self, value: Any) -> dict[str, Any]:
        """What rows must meet where this value is given."""
        return {f"{self.field_name}__{self.lookup_expr}": value}

    def read(self, texts: Sequence[str]) -> Any:
        """The value given, None where none is; raises ValueError with the reason."""
        value = self.parameter.parse(texts)
        if value is None and self.is_required:
            raise ValueError(REQUIRED)
        return value


class ViewParameter(ParameterFilter):
    """A parameter that no column is compared with: the view finds it in `parameters`."""

    def conditions(self, value: Any) -> dict[str, Any]:
        return {}


def range_errors(asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parameters that go before others and are behind them, with the reason."""
    for first, second, relation in PAIRS:
        low, high = asked.get(first), asked.get(second)
        if low is not None and high is not None and low > high:
            yield first, f"must not be {relation} {second}"


class ParameterForm(forms.Form):
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name, reason in range_errors(cleaned):
            self.add_error(name, reason)
        return cleaned


class StrictFilterSet(FilterSet):
    """`tolerated` are parameters that clients send and that change nothing.

    A list is read by `read` and `narrowed`; the form, ten times as slow, is for pages that show one.
    """

    ignored_params: ClassVar[tuple[str, ...]] = ()

    class Meta:
        form = ParameterForm

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """The value of each parameter, None where none is given; raises ValidationError for what cannot be."""
        asked, reasons = dict[str, Any](), dict[str, list[str]]()
        for name, one in cast(Mapping[str, ParameterFilter], cls.base_filters).items():
            try:
                asked[name] = one.read(query.getlist(name))
            except ValueError as error:
                reasons[name] = [f"{name} {error}"]
        for name, reason in range_errors(asked):
            reasons[name] = [f"{name} {reason}"]
        if reasons:
            raise ValidationError(reasons)
        return asked

    @classmethod
    def apply(cls, queryset: Query, asked: Mapping[str, Any]) -> Query:
        """What of `queryset` is asked for."""
        conditions = dict[str, Any]()
        for name, value in asked.items():
            if value is not None:
                conditions |= cast(ParameterFilter, cls.base_filters[name]).conditions(value)
        return queryset.filter(**conditions) if conditions else queryset

    def filter_queryset(self, queryset: Query) -> Query:
        return self.apply(queryset, self.form.cleaned_data)


def start_time(field_name: str) -> ParameterFilter:
    """`start_time` ≤ t, with `end_time` the half-open window of the contract."""
    return ParameterFilter(TIME_PARAMETER, field_name, "gte")


def end_time(field_name: str) -> ParameterFilter:
    return ParameterFilter(TIME_PARAMETER, field_name, "lt")


class StrictFilterBackend(DjangoFilterBackend):
    """Filters lists by the view's filter set, and what it has read into the view's `parameters`."""

    def filter_queryset(self, request: Any, queryset: Query, view: Any) -> Query:
        filterset: type[StrictFilterSet] | None = view.filterset_class
        # What a path names is not filtered away.
        if view.detail or filterset is None:
            return queryset
        return filterset.apply(queryset, view.parameters)
