# syntax=docker/dockerfile:1
# The container of scheduled dumps and drills: dbprotect, and the PostgreSQL that a restore is proven with. It needs a
# writable /scratch and nothing else; built by the stack, or by: docker build -t dbprotect .

# An exact version, but no digest: what the registry serves under it tomorrow may be rebuilt. Pin what you have looked at:
#   docker build --build-arg NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:<digest> .
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev
COPY bin ./bin
COPY scripts ./scripts
COPY checks ./checks
COPY LICENSE ./
RUN node bin/pack.js /packed

FROM ${NODE_IMAGE}
# A backup is restored on a server of its own major.
ARG POSTGRES_MAJORS="14 15 16 17 18"
# Extensions that the databases use, as packages of PostgreSQL's own repository name them: "pgvector cron postgis-3".
ARG POSTGRES_EXTENSIONS=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The repository's key comes with Debian's postgresql-common. Minor versions are not pinned: they are the bug fixes.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
  && mkdir -p /etc/postgresql-common/createcluster.d \
  && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/dbprotect.conf \
  && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
  && packages=() \
  && for major in ${POSTGRES_MAJORS}; do \
       packages+=("postgresql-${major}"); \
       for extension in ${POSTGRES_EXTENSIONS}; do packages+=("postgresql-${major}-${extension}"); done; \
     done \
  && apt-get install --yes --no-install-recommends "${packages[@]}" \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /packed /opt/dbprotect
RUN ln -s /opt/dbprotect/cli.js /usr/local/bin/dbprotect \
  && install --directory --owner=node --group=node --mode=0700 /scratch
ENV NODE_ENV=production \
  TMPDIR=/scratch \
  DBPROTECT_CACHE=/scratch/cache \
  DBPROTECT_REPORTS=/scratch/reports
# An empty volume takes over its owner.
VOLUME ["/scratch"]
WORKDIR /opt/dbprotect
# By number, so that a runtime that refuses root can tell.
USER 1000:1000
CMD ["dbprotect", "--help"]
