from hyperwatch.api.filters import ParameterFilter, StrictFilterSet, end_time, page_number, page_size, start_time
from hyperwatch.api.parameters import FLAG, one_of
from whales.events import ActivityType


class WhaleFilter(StrictFilterSet):
    is_active = ParameterFilter(FLAG)
    page = page_number()
    page_size = page_size()


class ActivityFilter(StrictFilterSet):
    start_time = start_time("timestamp")
    end_time = end_time("timestamp")
    activity_type = ParameterFilter(one_of(ActivityType))
