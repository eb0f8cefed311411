"""How the admin writes times: a second holds many facts, and Django's own format ends at the minute."""

DATETIME_FORMAT = "Y-m-d H:i:s"
