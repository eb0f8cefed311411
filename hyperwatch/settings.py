"""Settings from the environment or a `.env` file, with working defaults.

`.env.example` lists all of them. Invalid values stop the start, all at once, each with its name and what it accepts.
"""

import logging
import os
from decimal import Decimal
from pathlib import Path

from corsheaders.defaults import default_headers

from hyperwatch.embedded import runtime_files
from hyperwatch.env import Settings
from hyperwatch.log_config import configure_logging
from hyperwatch.service_urls import parse_database_url
from realtime.kafka.client_settings import client_options

BASE_DIR = Path(__file__).resolve().parent.parent
# Installed from a wheel, BASE_DIR is site-packages: `.env` and data belong to the folder of the command.
WORK_DIR = BASE_DIR if (BASE_DIR / "manage.py").exists() else Path.cwd()

env_file = os.environ.get("ENV_FILE", "")
env = Settings(Path(env_file or WORK_DIR / ".env"), is_required=bool(env_file))

DATA_DIR = Path(env.text("DATA_DIR", str(WORK_DIR / "var")))

# Security and public access
DEBUG: bool = env.boolean("DEBUG", False)
SECRET_KEY: str = env.secret("SECRET_KEY") or env.generated("DATA_DIR", DATA_DIR, runtime_files.secret_key)
ALLOWED_HOSTS: list[str] = env.names("ALLOWED_HOSTS", ["*"])
CSRF_TRUSTED_ORIGINS: list[str] = env.origins("CSRF_TRUSTED_ORIGINS", also="")
CORS_ALLOWED_ORIGINS: list[str] = env.origins("CORS_ALLOWED_ORIGINS")
CORS_ALLOW_ALL_ORIGINS: bool = "*" in CORS_ALLOWED_ORIGINS or not CORS_ALLOWED_ORIGINS
if CORS_ALLOW_ALL_ORIGINS:
    CORS_ALLOWED_ORIGINS = []
CORS_URLS_REGEX = r"^/(api|health)"
CORS_ALLOW_HEADERS = [*default_headers, "if-none-match"]
CORS_EXPOSE_HEADERS = [
    "ETag",
    "Content-Disposition",
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
# Number of trusted proxies in front: as many addresses of X-Forwarded-For are trusted
NUM_PROXIES: int = env.integer("NUM_PROXIES", 0, 0, 16)

# All clients use HTTPS: the outermost proxy terminates TLS and sets X-Forwarded-Proto. Without a trusted proxy a client
# could forge that header, and requests without it would be redirected without end.
BEHIND_TLS_PROXY: bool = env.boolean("BEHIND_TLS_PROXY", False)
if BEHIND_TLS_PROXY and not NUM_PROXIES:
    env.reject("BEHIND_TLS_PROXY", "needs a proxy that terminates TLS: set NUM_PROXIES to the number of proxies")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS_PROXY
# Orchestrators and Prometheus connect without the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health(/ready)?$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if BEHIND_TLS_PROXY else 0
# Browsers ignore this header over plain HTTP and log a warning.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if BEHIND_TLS_PROXY else None
# HSTS covers this host only. Subdomains and preloading are the domain owner's decision (W005, W021).
# Without BEHIND_TLS_PROXY the check in checks.py replaces four of Django's.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not BEHIND_TLS_PROXY:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# Servers
SERVER_HOST: str = env.host("SERVER_HOST", "0.0.0.0")  # noqa: S104 (servers accept remote clients)
SERVER_PORT: int = env.integer("SERVER_PORT", 8080, 1, 65535)
if env.text("PORT"):
    SERVER_PORT = env.integer("PORT", SERVER_PORT, 1, 65535)
# The web server's port for commands in another shell: that of a running `up` if no port is set here
RUNNING_PORT = SERVER_PORT
if not (env.text("PORT") or env.text("SERVER_PORT")):
    RUNNING_PORT = runtime_files.port(DATA_DIR) or SERVER_PORT
CONSUMER_STATUS_PORT: int = env.integer("CONSUMER_STATUS_PORT", 8081, 0, 65535)
HTTP_WORKER_THREADS: int = env.integer("HTTP_WORKER_THREADS", 16, 1, 1_000)
DATABASE_STATEMENT_TIMEOUT_SECONDS: float = env.number("DATABASE_STATEMENT_TIMEOUT_SECONDS", 30.0, 0.1, 3_600)
# Time for the queries of a filtered list, which may have to search the whole stream
SEARCH_TIMEOUT_SECONDS: float = env.number("SEARCH_TIMEOUT_SECONDS", 2.0, 0.05, 3_600)
# Limits of a request; DATA_UPLOAD_MAX_MEMORY_SIZE is Django's own limit of the body
HTTP_MAX_BODY_BYTES: int = env.integer("HTTP_MAX_BODY_BYTES", 1024 * 1024, 1_024, 1024 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = HTTP_MAX_BODY_BYTES
HTTP_MAX_HEADER_BYTES: int = env.integer("HTTP_MAX_HEADER_BYTES", 16 * 1024, 1_024, 1024 * 1024)
HTTP_MAX_REQUEST_LINE_BYTES: int = env.integer("HTTP_MAX_REQUEST_LINE_BYTES", 8 * 1024, 128, 1024 * 1024)
HTTP_REQUEST_TIMEOUT_SECONDS: int = env.integer("HTTP_REQUEST_TIMEOUT_SECONDS", 30, 1, 3_600)
HTTP_MAX_CONNECTIONS_PER_IP: int = env.integer("HTTP_MAX_CONNECTIONS_PER_IP", 250, 0, 10**6)
TCP_USER_TIMEOUT_SECONDS: int = env.integer("TCP_USER_TIMEOUT_SECONDS", 60, 1, 3_600)
RESPONSE_CACHE_MAX_BYTES: int = env.integer("RESPONSE_CACHE_MAX_BYTES", 32 * 1024 * 1024, 0, 2**40)

# PostgreSQL: unset means the database of a running `up`, else the embedded one, which has a fixed address
DATABASE_URL: str = env.database_url("DATABASE_URL")
EMBEDDED_POSTGRES: str = env.postgres_programs("EMBEDDED_POSTGRES")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis: unset means that of a running `up`, else memory, which other processes cannot reach
REDIS_URL: str = env.redis_url("REDIS_URL") or runtime_files.redis_url(DATA_DIR)
REDIS_PREFIX: str = env.matching(
    "REDIS_PREFIX", "hyperwatch", r"[!-~]{1,100}\Z", "1 to 100 letters, digits and punctuation marks"
)
if REDIS_URL:
    # redis-py's default read timeout is as long as the layer's blocking read and would close idle subscribers.
    redis_host = {"address": REDIS_URL, "socket_timeout": None}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_host], "prefix": REDIS_PREFIX},
        }
    }
    CACHES = {
        "default": {
            "BACKEND": "hyperwatch.limits.rate_counter.RedisRateCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": REDIS_PREFIX,
            "OPTIONS": {"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}}
    # Each client needs a few counters. Django's default of 300 entries would evict some, which then restart at 0.
    CACHES = {
        "default": {"BACKEND": "hyperwatch.limits.rate_counter.MemoryRateCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
    }

# Kafka: unset means the broker of a running `up`, given or embedded
KAFKA_BOOTSTRAP_SERVERS: str = env.servers("KAFKA_BOOTSTRAP_SERVERS")
KAFKA_IS_GIVEN: bool = bool(KAFKA_BOOTSTRAP_SERVERS)
KAFKA_BOOTSTRAP_SERVERS = KAFKA_BOOTSTRAP_SERVERS or runtime_files.kafka(DATA_DIR)
# TLS, SASL and further options of librdkafka for every Kafka client
KAFKA_CLIENT_OPTIONS: dict[str, str] = client_options(env)
KAFKA_TOPIC_TRANSACTIONS: str = env.topic("KAFKA_TOPIC_TRANSACTIONS", "hyperliquid.transactions")
KAFKA_TOPIC_COMPUTED_DATA: str = env.topic("KAFKA_TOPIC_COMPUTED_DATA", "hyperliquid.computed_data")
if KAFKA_TOPIC_COMPUTED_DATA == KAFKA_TOPIC_TRANSACTIONS:
    env.reject("KAFKA_TOPIC_COMPUTED_DATA", "must differ from KAFKA_TOPIC_TRANSACTIONS")
KAFKA_GROUP_ID: str = env.matching("KAFKA_GROUP_ID", "hyperwatch", r"[!-~]{1,249}\Z", "a name without spaces")
KAFKA_REPLICATION_FACTOR: int = env.integer("KAFKA_REPLICATION_FACTOR", 1, 1, 16)
KAFKA_SESSION_TIMEOUT_MS: int = env.integer("KAFKA_SESSION_TIMEOUT_MS", 10_000, 1_000, 300_000)
CONSUMER_WATCHDOG_SECONDS: int = env.integer("CONSUMER_WATCHDOG_SECONDS", 60, 2, 86_400)
KAFKA_MAX_BATCH_MESSAGES: int = env.integer("KAFKA_MAX_BATCH_MESSAGES", 2_000, 1, 100_000)
KAFKA_MAX_MESSAGE_BYTES: int = env.integer("KAFKA_MAX_MESSAGE_BYTES", 512 * 1024, 1_024, 64 * 1024 * 1024)

# Streams and WebSocket
STREAM_HISTORY_MAX_BYTES: int = env.integer("STREAM_HISTORY_MAX_BYTES", 16 * 1024 * 1024, 64 * 1024, 2**40)
STREAM_REPLAY_MAX: int = env.integer("STREAM_REPLAY_MAX", 100_000, 0, 10**9)
STREAM_SYNC_INTERVAL_SECONDS: float = env.number("STREAM_SYNC_INTERVAL_SECONDS", 2.0, 0.05, 60)
# Retention by stream in days, such as transactions=30,liquidations=365; a stream without an entry has none
STREAM_RETENTION_DAYS: dict[str, float] = env.days("STREAM_RETENTION_DAYS")
WEBSOCKET_MAX_MESSAGE_BYTES: int = env.integer("WEBSOCKET_MAX_MESSAGE_BYTES", 64 * 1024, 1_024, 16 * 1024 * 1024)
WEBSOCKET_COMPRESSION: bool = env.boolean("WEBSOCKET_COMPRESSION", False)
WEBSOCKET_PING_INTERVAL_SECONDS: int = env.integer("WEBSOCKET_PING_INTERVAL_SECONDS", 20, 1, 3_600)
WEBSOCKET_PING_TIMEOUT_SECONDS: int = env.integer("WEBSOCKET_PING_TIMEOUT_SECONDS", 30, 1, 3_600)
WEBSOCKET_MAX_CONNECTIONS: int = env.integer("WEBSOCKET_MAX_CONNECTIONS", 10_000, 1, 10**6)
WEBSOCKET_MAX_CONNECTIONS_PER_IP: int = env.integer("WEBSOCKET_MAX_CONNECTIONS_PER_IP", 250, 0, 10**6)
WEBSOCKET_MAX_FILTER_VALUES: int = env.integer("WEBSOCKET_MAX_FILTER_VALUES", 1_000, 1, 10**6)
WHALE_LARGE_TRADE_USD: Decimal = env.decimal("WHALE_LARGE_TRADE_USD", Decimal(1_000_000))

# Rates for each client
THROTTLE_READS: str = env.rate("THROTTLE_READS", "6000/minute")
THROTTLE_WRITES: str = env.rate("THROTTLE_WRITES", "120/minute")
# Login attempts from each address
THROTTLE_LOGINS: str = env.rate("THROTTLE_LOGINS", "10/minute")
# Messages, control frames and fragments from each WebSocket connection; too many invalid ones close it
WEBSOCKET_MESSAGE_RATE: str = env.rate("WEBSOCKET_MESSAGE_RATE", "600/minute")
WEBSOCKET_INVALID_MESSAGE_RATE: str = env.rate("WEBSOCKET_INVALID_MESSAGE_RATE", "100/minute")
# False: reads need an API key or an admin session
ALLOW_ANONYMOUS_READS: bool = env.boolean("ALLOW_ANONYMOUS_READS", True)

# The first admin, created by `init_db` and `up`
ADMIN_USERNAME: str = env.matching("ADMIN_USERNAME", "admin", r"[\w.@+-]{1,150}\Z", "letters, digits and @ . + - _")
ADMIN_PASSWORD: str = env.text("ADMIN_PASSWORD")
ADMIN_EMAIL: str = env.text("ADMIN_EMAIL")

# Whether `up` runs the simulated market
DEMO_MARKET: bool = env.boolean("DEMO_MARKET", True)
# All pages label the data as simulated; `up` sets it with DEMO_MARKET.
SIMULATED_DATA: bool = env.boolean("SIMULATED_DATA", False)

LOG_LEVEL: str = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
LOG_FORMAT: str = env.choice("LOG_FORMAT", "console", ["console", "json"])
LOGGING_CONFIG = None

# Docker Compose and the tests read these names of `.env`.
warnings = env.check(also_known=["POSTGRES_PASSWORD", "WEB_PORTS", "ENV_FILE", "KAFKA_LIBS"])
configure_logging(LOG_LEVEL, LOG_FORMAT)
for warning in warnings:
    logging.getLogger(__name__).warning(warning)

DATABASES = {"default": parse_database_url(DATABASE_URL or runtime_files.database_url(DATA_DIR))}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["CONN_MAX_AGE"] = None
# Time limits for a host that drops packets; options in DATABASE_URL have priority.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    # The queries are short: JIT compilation or parallel workers would take longer than they save.
    "options": "-c jit=off -c max_parallel_workers_per_gather=0",
    **DATABASES["default"].get("OPTIONS", {}),
}

DOMAINS = ["transactions", "liquidations", "ratios", "whales"]

INSTALLED_APPS = [
    # First, because its `runserver` must replace that of staticfiles.
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
    "hyperwatch.middleware.security_headers.SecurityHeadersMiddleware",
    "hyperwatch.middleware.request_log.RequestLogMiddleware",
    "hyperwatch.middleware.compression.CompressionMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "hyperwatch.middleware.host_check.HostCheckMiddleware",
    "hyperwatch.middleware.slash_redirect.SlashRedirectMiddleware",
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
                "hyperwatch.pages.start.simulated_data",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
# Serves static files from the packages when `collectstatic` was not run.
WHITENOISE_USE_FINDERS = True

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
FORMAT_MODULE_PATH = "hyperwatch.locale_formats"

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
    "DEFAULT_PERMISSION_CLASSES": ["hyperwatch.api.keys.AnonymousReadOrApiKey"],
    "DEFAULT_THROTTLE_CLASSES": [
        "hyperwatch.limits.throttling.ReadThrottle",
        "hyperwatch.limits.throttling.WriteThrottle",
    ],
    "DEFAULT_FILTER_BACKENDS": ["hyperwatch.api.filters.StrictFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "hyperwatch.api.pagination.HybridPagination",
    "DEFAULT_SCHEMA_CLASS": "hyperwatch.api.schema.EnvelopeSchema",
    "NUM_PROXIES": NUM_PROXIES,
    "EXCEPTION_HANDLER": "hyperwatch.api.errors.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Hyperwatch",
    "DESCRIPTION": "Data of the Hyperliquid exchange: liquidations, liquidation maps, long/short ratios, transactions, "
    "positions and activities of watched wallets.\n\n"
    "Each response is an envelope with `code`, `message`, `data` and `timestamp`; `code` equals the HTTP status. "
    "Errors have `error` and, for invalid fields, `details`. Amounts and prices are decimal strings, times are UTC.\n\n"
    "Lists are ordered newest first. Read them by `page`, or by `cursor` for a walk that stays consistent while rows "
    "arrive. Lists are also available as CSV. Unknown query parameters and body fields return 400.\n\n"
    "For live data, subscribe to the [WebSocket](/docs/ws) with `since` set to the `head` of a response.",
    "VERSION": "v1",
    "TAGS": [
        {"name": "Liquidations", "description": "Liquidated positions, their statistics, and the liquidation map."},
        {"name": "Ratios", "description": "Long and short shares of the open positions of each coin."},
        {"name": "Transactions", "description": "Fills, transfers, deposits, withdrawals, and open positions."},
        {"name": "Whales", "description": "Watched wallets and their activities."},
        {"name": "System", "description": "Coins with stored data."},
    ],
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
