"""Settings, all of them from the environment (or a `.env` file) with defaults that work.

The README's table tells them to people; `.env.example` is the same table to copy. What cannot be is refused
here, at boot, with the variable's name and what it takes: everything at once, before anything is made of it.
"""

import os
from decimal import Decimal
from pathlib import Path

import dj_database_url

from hyperwatch.configuration import Settings
from hyperwatch.embedded import addresses
from hyperwatch.logging import configure_logging

BASE_DIR = Path(__file__).resolve().parent.parent
# Installed from a wheel, BASE_DIR is site-packages: `.env` and data belong to the folder of the command.
WORK_DIR = BASE_DIR if (BASE_DIR / "manage.py").exists() else Path.cwd()

env_file = os.environ.get("ENV_FILE", "")
env = Settings(Path(env_file or WORK_DIR / ".env"), is_asked_for=bool(env_file))

VAR_DIR = Path(env.text("VAR_DIR", str(WORK_DIR / "var")))

# What a stranger may see
DEBUG: bool = env.flag("DEBUG", False)
SECRET_KEY: str = env.secret("SECRET_KEY") or env.kept("VAR_DIR", VAR_DIR, addresses.secret_key)
ALLOWED_HOSTS: list[str] = env.names("ALLOWED_HOSTS", ["*"])
CSRF_TRUSTED_ORIGINS: list[str] = env.origins("CSRF_TRUSTED_ORIGINS", also="")
CORS_ALLOWED_ORIGINS: list[str] = env.origins("CORS_ALLOWED_ORIGINS")
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
    "X-Hyperwatch-Head",
    "X-Hyperwatch-Epoch",
]
WEBSOCKET_ALLOWED_ORIGINS: list[str] = env.origins("WEBSOCKET_ALLOWED_ORIGINS", ["*"])
X_FRAME_OPTIONS = "DENY"
# How many proxies of ours stand before it: that many forwarded addresses are believed
NUM_PROXIES: int = env.whole("NUM_PROXIES", 0, 0, 16)

# Whether clients reach it by https and in no other way: the outermost proxy ends TLS, and says so in a header that
# only a proxy's word makes true
HTTPS: bool = env.flag("HTTPS", False)
if HTTPS and not NUM_PROXIES:
    env.refuse("HTTPS", "takes a proxy before it that ends TLS: set NUM_PROXIES, or all would be sent to nobody")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# What orchestrators and Prometheus ask without the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health(/ready)?$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
# Browsers ignore it over plain HTTP, and complain.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if HTTPS else None
# HSTS speaks for this host; those below its name and the browsers' list are for the owner of the name (W005, W021).
# Without HTTPS one check of ours says what four of Django's would (checks.py).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not HTTPS:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# Where it listens
SERVER_HOST: str = env.host("SERVER_HOST", "0.0.0.0")  # noqa: S104 (a server is there to be reached)
SERVER_PORT: int = env.whole("SERVER_PORT", 8080, 1, 65535)
if env.text("PORT"):
    SERVER_PORT = env.whole("PORT", SERVER_PORT, 1, 65535)
# Where whoever asks in another shell finds it: unset means what a running `up` was given
RUNNING_PORT = SERVER_PORT
if not (env.text("PORT") or env.text("SERVER_PORT")):
    RUNNING_PORT = addresses.port(VAR_DIR) or SERVER_PORT
CONSUMER_PORT: int = env.whole("CONSUMER_PORT", 8081, 0, 65535)
HTTP_THREADS: int = env.whole("HTTP_THREADS", 16, 1, 1_000)
HTTP_STATEMENT_SECONDS: float = env.number("HTTP_STATEMENT_SECONDS", 30.0, 0.1, 3_600)
# What a client may send, and how long it may take; DATA_UPLOAD_MAX_MEMORY_SIZE is Django's name for the first
HTTP_BODY_BYTES: int = env.whole("HTTP_BODY_BYTES", 1024 * 1024, 1_024, 1024 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = HTTP_BODY_BYTES
HTTP_HEADER_BYTES: int = env.whole("HTTP_HEADER_BYTES", 16 * 1024, 1_024, 1024 * 1024)
HTTP_URL_BYTES: int = env.whole("HTTP_URL_BYTES", 8 * 1024, 128, 1024 * 1024)
HTTP_REQUEST_SECONDS: int = env.whole("HTTP_REQUEST_SECONDS", 30, 1, 3_600)
HTTP_CONNECTIONS_PER_ADDRESS: int = env.whole("HTTP_CONNECTIONS_PER_ADDRESS", 250, 0, 10**6)
CLIENT_STALL_SECONDS: int = env.whole("CLIENT_STALL_SECONDS", 60, 1, 3_600)
ANSWERS_KEPT_BYTES: int = env.whole("ANSWERS_KEPT_BYTES", 32 * 1024 * 1024, 0, 2**40)

# PostgreSQL: unset means what a running `up` was given, else the embedded one, whose address is always known
DATABASE_URL: str = env.database("DATABASE_URL")
EMBEDDED_POSTGRES: str = env.programs("EMBEDDED_POSTGRES")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis: unset means what a running `up` was given, else in memory: no further than this process
REDIS_URL: str = env.redis("REDIS_URL") or addresses.redis_url(VAR_DIR)
REDIS_PREFIX: str = env.matching("REDIS_PREFIX", "hyperwatch", r"[!-~]{1,100}\Z", "1 to 100 letters, digits and signs")
if REDIS_URL:
    # redis-py reads with a time limit of its own that is as long as the layer's blocking read: None keeps
    # idle subscribers alive.
    redis_host = {"address": REDIS_URL, "socket_timeout": None}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_host], "prefix": REDIS_PREFIX},
        }
    }
    CACHES = {
        "default": {
            "BACKEND": "hyperwatch.api.counting.CountingRedis",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": REDIS_PREFIX,
            "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}}
    # Each client has a few counters in it; beyond Django's 300 some would begin anew.
    CACHES = {"default": {"BACKEND": "hyperwatch.api.counting.CountingMemory", "OPTIONS": {"MAX_ENTRIES": 100_000}}}

# Kafka: unset means what a running `up` was given or brought
KAFKA_BOOTSTRAP_SERVERS: str = env.servers("KAFKA_BOOTSTRAP_SERVERS")
KAFKA_IS_GIVEN: bool = bool(KAFKA_BOOTSTRAP_SERVERS)
KAFKA_BOOTSTRAP_SERVERS = KAFKA_BOOTSTRAP_SERVERS or addresses.kafka(VAR_DIR)
KAFKA_TOPIC_TRANSACTIONS: str = env.topic("KAFKA_TOPIC_TRANSACTIONS", "hyperliquid.transactions")
KAFKA_TOPIC_COMPUTED_DATA: str = env.topic("KAFKA_TOPIC_COMPUTED_DATA", "hyperliquid.computed_data")
if KAFKA_TOPIC_COMPUTED_DATA == KAFKA_TOPIC_TRANSACTIONS:
    env.refuse("KAFKA_TOPIC_COMPUTED_DATA", "takes another topic than KAFKA_TOPIC_TRANSACTIONS")
KAFKA_GROUP_ID: str = env.matching("KAFKA_GROUP_ID", "hyperwatch", r"[!-~]{1,249}\Z", "a name without spaces")
KAFKA_REPLICATION_FACTOR: int = env.whole("KAFKA_REPLICATION_FACTOR", 1, 1, 16)
KAFKA_SESSION_TIMEOUT_MS: int = env.whole("KAFKA_SESSION_TIMEOUT_MS", 10_000, 1_000, 300_000)
CONSUMER_STUCK_SECONDS: int = env.whole("CONSUMER_STUCK_SECONDS", 60, 2, 86_400)
KAFKA_BATCH: int = env.whole("KAFKA_BATCH", 2_000, 1, 100_000)
MESSAGE_MAX_BYTES: int = env.whole("MESSAGE_MAX_BYTES", 512 * 1024, 1_024, 64 * 1024 * 1024)

# The stream
STREAM_RING_BYTES: int = env.whole("STREAM_RING_BYTES", 16 * 1024 * 1024, 64 * 1024, 2**40)
STREAM_REPLAY_MAX: int = env.whole("STREAM_REPLAY_MAX", 100_000, 0, 10**9)
STREAM_HEADS_SECONDS: float = env.number("STREAM_HEADS_SECONDS", 2.0, 0.05, 60)
# Days that a stream's facts are kept, like transactions=30,liquidations=365; one that is not named is kept for ever
STREAM_RETENTION_DAYS: dict[str, float] = env.days("STREAM_RETENTION_DAYS")
WEBSOCKET_FRAME_BYTES: int = env.whole("WEBSOCKET_FRAME_BYTES", 64 * 1024, 1_024, 16 * 1024 * 1024)
WEBSOCKET_COMPRESSION: bool = env.flag("WEBSOCKET_COMPRESSION", False)
WEBSOCKET_PING_SECONDS: int = env.whole("WEBSOCKET_PING_SECONDS", 20, 1, 3_600)
WEBSOCKET_PONG_SECONDS: int = env.whole("WEBSOCKET_PONG_SECONDS", 30, 1, 3_600)
WEBSOCKET_CONNECTIONS: int = env.whole("WEBSOCKET_CONNECTIONS", 10_000, 1, 10**6)
WEBSOCKET_CONNECTIONS_PER_ADDRESS: int = env.whole("WEBSOCKET_CONNECTIONS_PER_ADDRESS", 250, 0, 10**6)
WEBSOCKET_PARAM_VALUES: int = env.whole("WEBSOCKET_PARAM_VALUES", 1_000, 1, 10**6)
WHALE_LARGE_TRADE_USD: Decimal = env.amount("WHALE_LARGE_TRADE_USD", Decimal(1_000_000))

# Who comes how often, for each client
THROTTLE_READS: str = env.rate("THROTTLE_READS", "6000/minute")
THROTTLE_WRITES: str = env.rate("THROTTLE_WRITES", "120/minute")
# Attempts to log in to the admin, from each address
THROTTLE_LOGINS: str = env.rate("THROTTLE_LOGINS", "10/minute")
# Frames from a WebSocket client, for each connection; too many refused ones close it
THROTTLE_FRAMES: str = env.rate("THROTTLE_FRAMES", "600/minute")
THROTTLE_REFUSED_FRAMES: str = env.rate("THROTTLE_REFUSED_FRAMES", "100/minute")
# With False reads need a key or an admin's session too
READS_OPEN: bool = env.flag("READS_OPEN", True)

# The first admin, made by `init_db` and `up`
ADMIN_USERNAME: str = env.matching("ADMIN_USERNAME", "admin", r"[\w.@+-]{1,150}\Z", "letters, digits and @ . + - _")
ADMIN_PASSWORD: str = env.text("ADMIN_PASSWORD")
ADMIN_EMAIL: str = env.text("ADMIN_EMAIL")

# Whether `up` brings the simulated market
DEMO: bool = env.flag("DEMO", True)
# Whatever a person looks at says so; `up` sets it for the demo market.
MARKET_IS_SIMULATED: bool = env.flag("MARKET_IS_SIMULATED", False)

LOG_LEVEL: str = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
LOG_FORMAT: str = env.choice("LOG_FORMAT", "console", ["console", "json"])
LOGGING_CONFIG = None

env.check()
configure_logging(LOG_LEVEL, LOG_FORMAT)

DATABASES = {"default": dj_database_url.parse(DATABASE_URL or addresses.database_url(VAR_DIR))}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["CONN_MAX_AGE"] = None
# A host that swallows packets is not waited for longer; what the URL says comes first.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # Ours are short: to compile a statement, or to start processes for it, takes longer than to run it.
    "options": "-c jit=off -c max_parallel_workers_per_gather=0",
    **DATABASES["default"].get("OPTIONS", {}),
}

DOMAINS = ["transactions", "liquidations", "ratios", "whales"]

INSTALLED_APPS = [
    # First: its `runserver` is the one that counts.
    "hyperwatch",
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
    "realtime",
    *DOMAINS,
]

MIDDLEWARE = [
    "hyperwatch.security.SecurityHeadersMiddleware",
    "hyperwatch.middleware.RequestLogMiddleware",
    "hyperwatch.compression.CompressionMiddleware",
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
FORMAT_MODULE_PATH = "hyperwatch.written"

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
    "positions, transactions and the activities of watched whales. A parameter that is not told here is refused, since "
    "a misspelt one would find everything; so is a field of a body. [What comes live](/docs/ws) has a page of its own.",
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
