# syntax=docker/dockerfile:1

# The build takes .git with it, because the version that the binary reports is
# the one that Go reads there.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /defendersync ./cmd/defendersync

# No shell, no package manager, no root. PostgreSQL is not in it either: set
# DATABASE_URL. The configuration is mounted as /etc/defendersync/config.yaml;
# its server.listen has to be 0.0.0.0:8080 to be reached from outside.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /defendersync /defendersync
WORKDIR /etc/defendersync
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["/defendersync", "health"]
ENTRYPOINT ["/defendersync"]
CMD ["run"]
