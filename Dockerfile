# A static binary, the CA certificates, and nothing else, run as nobody.
#
#   docker build -t refract --build-arg VERSION="$(git describe --tags --always)" --build-arg COMMIT="$(git rev-parse HEAD)" .
#   docker run --read-only --tmpfs /tmp -v ./site:/site:ro -v refract-data:/data -p 8080:8080 refract
#
# The site's `data` is relative to /, so that the default is the volume /data.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG COMMIT=unknown
RUN make build VERSION="$VERSION" COMMIT="$COMMIT" \
 && mkdir -p /root-fs/data /root-fs/tmp /root-fs/etc/ssl/certs \
 && chmod 1777 /root-fs/tmp && chown 65534:65534 /root-fs/data \
 && cp /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ \
 && cp bin/refract LICENSE /root-fs/

FROM scratch
COPY --from=build /root-fs /
USER 65534:65534
WORKDIR /
VOLUME /data
EXPOSE 8080 8443 8443/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/refract", "health", "--site", "/site"]
ENTRYPOINT ["/refract"]
CMD ["serve", "--site", "/site"]
