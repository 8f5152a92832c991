# A static binary, nothing else, run as nobody.
#
#   docker build -t refract .
#   docker run -v ./site:/site:ro -v refract-data:/data -p 8080:8080 refract
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /refract ./cmd/refract \
 && mkdir -p /empty/data /empty/tmp && chmod 1777 /empty/tmp

FROM scratch
COPY --from=build /refract /refract
COPY --from=build --chown=65534:65534 /empty/data /data
COPY --from=build /empty/tmp /tmp
USER 65534:65534
WORKDIR /
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s CMD ["/refract", "health", "--site", "/site"]
ENTRYPOINT ["/refract"]
CMD ["serve", "--site", "/site"]
