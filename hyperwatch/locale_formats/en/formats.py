"""Time format of the admin. Shows seconds, since Django's own format ends at the minute."""

DATETIME_FORMAT = "Y-m-d H:i:s"
