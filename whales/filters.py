from hyperwatch.api.filters import ParameterFilter, StrictFilterSet, end_time, start_time
from hyperwatch.api.parameters import FLAG, one_of
from whales.events import ActivityType


class WhaleFilter(StrictFilterSet):
    is_active = ParameterFilter(FLAG)


class ActivityFilter(StrictFilterSet):
    start_time = start_time("timestamp")
    end_time = end_time("timestamp")
    activity_type = ParameterFilter(one_of(ActivityType))
