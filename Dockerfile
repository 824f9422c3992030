# DockerOps on a Swarm manager; deploy/dockerops-stack.yml runs it.
#
#   docker build .                      builds the program first
#   docker build --target released .    takes it from dist/, where deploy/release/build.sh put it
ARG ALPINE=alpine:3.22
ARG DOCKER=docker:28-cli
ARG RUST=rust:1-bookworm

FROM ${DOCKER} AS docker

FROM ${ALPINE} AS base
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="DockerOps" \
      org.opencontainers.image.description="Makes a Docker Swarm be what a Git repository says" \
      org.opencontainers.image.source="https://github.com/TomBedinoVT/DockerOps" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# ssh for DOCKER_HOST=ssh://, and ssh-keyscan for known_hosts; git over ssh is in the program. gpg for OpenPGP signatures.
RUN apk add --no-cache ca-certificates gnupg openssh-client tzdata
COPY --from=docker /usr/local/bin/docker /usr/local/bin/docker
COPY deploy/entrypoint.sh /usr/local/bin/entrypoint.sh
ENV HOME=/root DOCKEROPS_DB_PATH=/data/dockerops.db DOCKEROPS_LISTEN=127.0.0.1:8080
VOLUME /data
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
CMD ["run"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD wget -q -O /dev/null "http://127.0.0.1:${DOCKEROPS_LISTEN##*:}/healthz"

FROM ${ALPINE} AS picked
COPY dist /dist
RUN cp "/dist/dockerops-linux-$(uname -m)" /dockerops && chmod 755 /dockerops

FROM base AS released
COPY --from=picked /dockerops /usr/local/bin/dockerops

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN deploy/release/build.sh /dist && cp "/dist/dockerops-linux-$(uname -m)" /dockerops

FROM base
COPY --from=build /dockerops /usr/local/bin/dockerops
