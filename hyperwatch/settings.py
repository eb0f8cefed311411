"""Settings, all of them from the environment (or a `.env` file) with defaults that work.

The README's table tells them to people; `.env.example` is the same table to copy. What cannot be is refused
here, at boot, with the variable's name and what it takes.
"""

from decimal import Decimal
from pathlib import Path

import dj_database_url
from environs import Env
from marshmallow.validate import NoneOf, OneOf, Range, Regexp

from hyperwatch.embedded import addresses
from hyperwatch.logging import configure_logging

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(env.str("ENV_FILE", str(BASE_DIR / ".env")), recurse=False)

VAR_DIR: Path = env.path("VAR_DIR", BASE_DIR / "var")

# What a stranger may see
DEBUG: bool = env.bool("DEBUG", False)
# The example's placeholder is public.
SECRET_KEY: str = env.str("SECRET_KEY", "", validate=NoneOf(["change-me"])) or addresses.secret_key(VAR_DIR)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", ["*"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ALLOWED_ORIGINS", [])
CORS_ALLOW_ALL_ORIGINS: bool = "*" in CORS_ALLOWED_ORIGINS or not CORS_ALLOWED_ORIGINS
if CORS_ALLOW_ALL_ORIGINS:
    CORS_ALLOWED_ORIGINS = []
CORS_URLS_REGEX = r"^/(api|health)"
CORS_EXPOSE_HEADERS = [
    "X-Request-ID",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
]
WEBSOCKET_ALLOWED_ORIGINS: list[str] = env.list("WEBSOCKET_ALLOWED_ORIGINS", ["*"])
SECURE_CROSS_ORIGIN_OPENER_POLICY = None
X_FRAME_OPTIONS = "DENY"

# Where it listens
SERVER_HOST: str = env.str("SERVER_HOST", "0.0.0.0")  # noqa: S104 (a server is there to be reached)
SERVER_PORT: int = env.int("PORT", None) or env.int("SERVER_PORT", 8080, validate=Range(1, 65535))
CONSUMER_PORT: int = env.int("CONSUMER_PORT", 8081, validate=Range(0, 65535))

# PostgreSQL: unset means the embedded one, whose address is known whether it runs or not
DATABASE_URL: str = env.str("DATABASE_URL", "")
DATABASES = {"default": dj_database_url.parse(DATABASE_URL or addresses.database_url(VAR_DIR))}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# A host that swallows packets is not waited for longer; what the URL says comes first.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    **DATABASES["default"].get("OPTIONS", {}),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis: unset means layers and caches in memory, which reach as far as the process
REDIS_URL: str = env.str("REDIS_URL", "")
if REDIS_URL:
    # redis-py reads with a time limit of its own that is as long as the layer's blocking read: None keeps
    # idle subscribers alive.
    redis_host = {"address": REDIS_URL, "socket_timeout": None}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_host], "prefix": env.str("REDIS_PREFIX", "hyperwatch")},
        }
    }
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": env.str("REDIS_PREFIX", "hyperwatch"),
            "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}}
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Kafka: unset means the embedded one, where one runs
KAFKA_BOOTSTRAP_SERVERS: str = env.str("KAFKA_BOOTSTRAP_SERVERS", "") or addresses.kafka(VAR_DIR)
KAFKA_TOPIC_TRANSACTIONS: str = env.str("KAFKA_TOPIC_TRANSACTIONS", "hyperliquid.transactions")
KAFKA_TOPIC_COMPUTED_DATA: str = env.str("KAFKA_TOPIC_COMPUTED_DATA", "hyperliquid.computed_data")
KAFKA_GROUP_ID: str = env.str("KAFKA_GROUP_ID", "hyperwatch")
KAFKA_REPLICATION_FACTOR: int = env.int("KAFKA_REPLICATION_FACTOR", 1, validate=Range(1, 16))
KAFKA_SESSION_TIMEOUT_MS: int = env.int("KAFKA_SESSION_TIMEOUT_MS", 10_000, validate=Range(1_000, 300_000))
KAFKA_BATCH: int = env.int("KAFKA_BATCH", 2_000, validate=Range(1, 100_000))
MESSAGE_MAX_BYTES: int = env.int("MESSAGE_MAX_BYTES", 512 * 1024, validate=Range(1_024, 64 * 1024 * 1024))

# The stream
STREAM_RING_BYTES: int = env.int("STREAM_RING_BYTES", 16 * 1024 * 1024, validate=Range(64 * 1024))
STREAM_REPLAY_MAX: int = env.int("STREAM_REPLAY_MAX", 100_000, validate=Range(0))
STREAM_HEADS_SECONDS: float = env.float("STREAM_HEADS_SECONDS", 2.0, validate=Range(0.05, 60))
WEBSOCKET_FRAME_BYTES: int = env.int("WEBSOCKET_FRAME_BYTES", 64 * 1024, validate=Range(1_024, 16 * 1024 * 1024))
WEBSOCKET_COMPRESSION: bool = env.bool("WEBSOCKET_COMPRESSION", False)
WEBSOCKET_PING_SECONDS: int = env.int("WEBSOCKET_PING_SECONDS", 20, validate=Range(1, 3600))
WEBSOCKET_PONG_SECONDS: int = env.int("WEBSOCKET_PONG_SECONDS", 30, validate=Range(1, 3600))
WEBSOCKET_CONNECTIONS: int = env.int("WEBSOCKET_CONNECTIONS", 10_000, validate=Range(1))
WEBSOCKET_CONNECTIONS_PER_ADDRESS: int = env.int("WEBSOCKET_CONNECTIONS_PER_ADDRESS", 250, validate=Range(0))
WEBSOCKET_PARAM_VALUES: int = env.int("WEBSOCKET_PARAM_VALUES", 1_000, validate=Range(1))
WHALE_LARGE_TRADE_USD: Decimal = env.decimal("WHALE_LARGE_TRADE_USD", Decimal(1_000_000), validate=Range(0))

# Who comes how often, for each client: a number of requests by `second`, `minute`, `hour` or `day`
a_rate = Regexp(r"[1-9][0-9]{0,8}/(second|minute|hour|day)\Z", error="Takes a rate, like 6000/minute.")
THROTTLE_READS: str = env.str("THROTTLE_READS", "6000/minute", validate=a_rate)
THROTTLE_WRITES: str = env.str("THROTTLE_WRITES", "120/minute", validate=a_rate)
# Frames from a WebSocket client, for each connection; too many refused ones close it
THROTTLE_FRAMES: str = env.str("THROTTLE_FRAMES", "600/minute", validate=a_rate)
THROTTLE_REFUSED_FRAMES: str = env.str("THROTTLE_REFUSED_FRAMES", "100/minute", validate=a_rate)
# With False reads need a key or an admin's session too
READS_OPEN: bool = env.bool("READS_OPEN", True)
# How many proxies of ours stand before it: that many forwarded addresses are believed
NUM_PROXIES: int = env.int("NUM_PROXIES", 0, validate=Range(0, 16))

# The first admin, made by `init_db` and `up`
ADMIN_USERNAME: str = env.str("ADMIN_USERNAME", "admin")
ADMIN_PASSWORD: str = env.str("ADMIN_PASSWORD", "")
ADMIN_EMAIL: str = env.str("ADMIN_EMAIL", "")

# Whatever a person looks at says so; `up` sets it for the demo market.
MARKET_IS_SIMULATED: bool = env.bool("MARKET_IS_SIMULATED", False)

LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO", validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]))
LOG_FORMAT: str = env.str("LOG_FORMAT", "console", validate=OneOf(["console", "json"]))
LOGGING_CONFIG = None
configure_logging(LOG_LEVEL, LOG_FORMAT)

DOMAINS = ["transactions", "liquidations", "ratios", "whales"]

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "rest_framework_api_key",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "hyperwatch",
    "realtime",
    *DOMAINS,
]

MIDDLEWARE = [
    "hyperwatch.middleware.RequestLogMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "hyperwatch.urls"
ASGI_APPLICATION = "hyperwatch.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "hyperwatch" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "hyperwatch.startpage.market",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
# Without `collectstatic` they are served from where they lie.
WHITENOISE_USE_FINDERS = True

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": [
        "hyperwatch.api.renderers.EnvelopeRenderer",
        "hyperwatch.api.renderers.BrowsableEnvelopeRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "hyperwatch.api.negotiation.JsonUnlessBrowser",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "hyperwatch.api.keys.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["hyperwatch.api.keys.ReadsOpenWritesByKey"],
    "DEFAULT_THROTTLE_CLASSES": [
        "hyperwatch.api.throttling.ReadThrottle",
        "hyperwatch.api.throttling.WriteThrottle",
    ],
    "DEFAULT_FILTER_BACKENDS": ["hyperwatch.api.filters.StrictFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "hyperwatch.api.pagination.PageOrCursor",
    "DEFAULT_SCHEMA_CLASS": "hyperwatch.api.schema.EnvelopeSchema",
    "NUM_PROXIES": NUM_PROXIES,
    "EXCEPTION_HANDLER": "hyperwatch.api.errors.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Hyperwatch",
    "DESCRIPTION": "What happens on the Hyperliquid exchange: liquidations, long/short ratios, liquidation maps, "
    "positions, transactions and the activities of watched whales. [What comes live](/docs/ws) has a page of its own.",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "SideEnum": "hyperwatch.formats.Side",
        "TransactionSideEnum": "hyperwatch.formats.TransactionSide",
    },
}
