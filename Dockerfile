# Earshot in a container. One image; which process it runs is the command's business (compose.yaml).
FROM python:3.11-slim-bookworm

# pg_dump and pg_restore back up and restore a PostgreSQL store; they must not be older than the server.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 earshot

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY config/ config/
COPY queries/ queries/
COPY triggers/ triggers/
COPY dashboard/ dashboard/
RUN pip install --no-cache-dir --constraint constraints.txt --editable . \
 && mkdir -p /data /backups \
 && chown -R earshot:earshot /data /backups

USER earshot
ENV EARSHOT_DATA=/data PYTHONUNBUFFERED=1
VOLUME ["/data", "/backups"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "triggers", "run"]
