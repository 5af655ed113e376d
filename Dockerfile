# One image for every process; docker-compose.yml says which of them a container is.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sender ./sender
COPY workers ./workers
# Neither the embedded servers nor the test tools: this image is for servers given by URL.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/sender && /opt/sender/bin/pip install .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sender
COPY --from=build /opt/sender /opt/sender
ENV PATH="/opt/sender/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A volume that is mounted here is the user's too.
RUN install --directory --owner=sender /var/lib/sender
USER sender
# Celery and beat write their small files here; a tmpfs in docker-compose.yml.
WORKDIR /tmp
CMD ["sender", "--help"]
