# sutro-mcp over stdio:
#   docker run -i --rm -e SUTRO_API_KEY sutro-mcp
# Over HTTP, to a team, which docs/operating.md explains:
#   docker run --rm -p 8000:8000 -e SUTRO_MCP_AUTH=… sutro-mcp serve --transport http --host 0.0.0.0
# Nothing needs to be written outside /cache and /tmp:
#   docker run -i --rm --read-only --tmpfs /tmp --tmpfs /cache:uid=10001 -e SUTRO_API_KEY sutro-mcp
#
# A tag can be pushed again under the same name. Whoever builds for production should add the digest that
# `docker buildx imagetools inspect` shows for this one: python:3.13.15-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.13.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src
COPY requirements/ requirements/

# The environment holds no pip of its own; the image's fills it, and stays behind in this stage.
RUN python -m venv --without-pip /opt/sutro-mcp \
 && pip --python /opt/sutro-mcp/bin/python install --require-hashes --no-deps --only-binary :all: --compile \
        -r requirements/runtime.txt \
 && pip install --require-hashes --no-deps --only-binary :all: -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY sutro_mcp/ sutro_mcp/
RUN python -m hatchling build --target wheel --directory /dist \
 && pip --python /opt/sutro-mcp/bin/python install --no-index --no-deps --compile /dist/*.whl

# Started once as in the image, it keeps what hosts ask first beside the compiled code, for quick answers.
RUN HOME=/home/sutro SUTRO_MCP_CACHE_DIR=/cache /opt/sutro-mcp/bin/sutro-mcp </dev/null

FROM ${PYTHON_IMAGE}

LABEL org.opencontainers.image.title="sutro-mcp" \
      org.opencontainers.image.description="MCP server for Sutro batch inference (sutro.sh)" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.url="https://sutro.sh" \
      org.opencontainers.image.documentation="https://docs.sutro.sh"

# A number, so that an orchestrator can see that it is not root.
RUN groupadd --system --gid 10001 sutro \
 && useradd --system --uid 10001 --gid 10001 --create-home sutro \
 && install --directory --owner 10001 --group 10001 --mode 0700 /cache /access

COPY --from=build /opt/sutro-mcp /opt/sutro-mcp

ENV PATH="/opt/sutro-mcp/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SUTRO_MCP_CACHE_DIR=/cache

# MCP over HTTP; probes and metrics, where SUTRO_MCP_ADMIN_PORT says so.
EXPOSE 8000 9090

USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["sutro-mcp"]
